"""The best new configuration: many are drawn, and the best of them are moved.

The best configuration often has some hyperparameters at an end of their range: moves
are clipped to the space, not turned back from its sides, and some leap to an end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from tunekit.sampler.belief import Belief
from tunekit.sampler.cube import Floats

__all__ = ["Proposal", "by_chance", "propose"]

_REGION, _NEAR, _EVERYWHERE = 200, 350, 150
"""Candidates in the region, around promising trials, and in the whole space."""
_PROMISING = 5
"""Trials around which candidates are drawn."""
_ROUNDS, _MOVED, _MOVES = 4, 12, 150
"""How often the best candidates are moved, how many of them, and moves in all."""
_APART = 0.005
"""What is nearer than this to a trial, on every axis, is that trial again."""
_AGAIN = 1e-9
"""What it is worth to begin a trial again; where all have been tried, the best is."""
_DRAWN = 100
"""Random configurations that tell what one is worth."""
_LEAPS = 0.1
"""Share of a move's coordinates that leap to an end, to another choice or anywhere."""


@dataclass(frozen=True)
class Proposal:
    """A point of the cube, (P,), and what it is worth an epoch."""

    point: Floats
    rate: float


def propose(belief: Belief, rng: np.random.Generator) -> Proposal:
    """The candidate that is worth most."""
    cube, points_TP = belief.history.cube, belief.history.points
    n_axes = len(cube.axes)
    lowest_T = np.full(len(points_TP), np.inf)
    np.minimum.at(lowest_T, belief.history.trial, belief.history.values)
    promising = points_TP[np.argsort(lowest_T, kind="stable")[:_PROMISING]]
    sizes = np.exp(rng.uniform(np.log(0.01), np.log(0.3), (_NEAR, 1)))
    points = cube.snapped(
        np.concatenate(
            [
                belief.region.draw(rng.random((_REGION, n_axes))),
                _moved(promising, sizes, rng),
                rng.random((_EVERYWHERE, n_axes)),
            ]
        )
    )
    worth = _Worth(belief)
    rates_HN = worth.rates(points)
    rates = rates_HN.max(0)
    order = np.argsort(-rates, kind="stable")[:_MOVED]
    # Where they are best, others will be: a move is judged at those rungs alone.
    at = [belief.rungs[h] for h in np.unique(rates_HN[:, order].argmax(0))]
    for round_ in range(_ROUNDS):
        widest = 0.2 / 2**round_
        sizes = widest * np.exp(rng.uniform(-2.0, 0.0, (_MOVES, 1)))
        more = cube.snapped(_moved(points[order], sizes, rng))
        points = np.concatenate([points[order], more])
        rates = np.concatenate([rates[order], worth.rates(more, at).max(0)])
        order = np.argsort(-rates, kind="stable")[:_MOVED]
    chosen = int(np.argmax(rates))
    masked = belief.conditions.masked(points[chosen : chosen + 1])[0]
    return Proposal(masked, float(rates[chosen]))


def by_chance(belief: Belief, rng: np.random.Generator) -> float:
    """What a configuration drawn at random is worth an epoch, on average."""
    cube = belief.history.cube
    points = cube.snapped(rng.random((_DRAWN, len(cube.axes))))
    return float(belief.rates(points).max(0).mean())


class _Worth:
    """Rates of candidates; next to nothing for a trial that there is already.

    Promotions tell more of that one. Noise would make it look worth another look, and
    an end of a range is met exactly again and again.
    """

    def __init__(self, belief: Belief) -> None:
        known = belief.history
        self._belief = belief
        points = np.concatenate([known.points, known.pending])
        self._tried = cKDTree(known.cube.features(points))

    def rates(self, points_NP: Floats, rungs: Sequence[int] | None = None) -> Floats:
        """By rung, (H, N)."""
        masked = self._belief.conditions.masked(points_NP)
        features = self._belief.history.cube.features(masked)
        far, _ = self._tried.query(features, p=np.inf, distance_upper_bound=_APART)
        again = np.where(np.isfinite(far), _AGAIN, 1.0)
        return np.asarray(self._belief.rates(points_NP, rungs) * again)


def _moved(centres_CP: Floats, sizes_N1: Floats, rng: np.random.Generator) -> Floats:
    """Points around some, a few coordinates of each moved, (N, P)."""
    n, n_axes = len(sizes_N1), centres_CP.shape[1]
    points = centres_CP[rng.integers(len(centres_CP), size=n)]
    # What does not count where we come from may count where we go.
    points = np.where(np.isnan(points), rng.random(points.shape), points)
    moved = rng.random((n, n_axes)) < np.maximum(rng.random((n, 1)), 1.5 / n_axes)
    steps = points + sizes_N1 * rng.standard_normal((n, n_axes))
    anywhere = rng.random((n, n_axes))
    ends = np.where(
        anywhere < 0.4, 0.0, np.where(anywhere < 0.8, 1.0, 5 * anywhere - 4)
    )
    leaps = rng.random((n, n_axes)) < _LEAPS
    return np.clip(np.where(moved, np.where(leaps, ends, steps), points), 0.0, 1.0)
