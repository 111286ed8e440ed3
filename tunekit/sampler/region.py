"""The region that a search has narrowed to: a pure function of what was seen.

The region is the smallest box around the most promising trials, with a margin. A trial
is as promising as the model believes it to be *at the end*, not as its value at an
early rung says. On an axis that does not matter, promising trials lie everywhere and
the box stays wide; where the best lies on an edge, the box reaches further there; when
new trials elsewhere are found better, it moves to them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunekit.sampler.cube import Cube, Floats

__all__ = ["Region", "around", "whole"]

_SHARE = 0.2
"""Of the trials, those that the box is drawn around."""
_MARGIN = 0.05
"""The least margin, in units of the whole range."""
_EDGE = 0.15
"""The margin on a side where the best lies on the edge."""
_EVIDENCE = 4
"""Trials of a choice, none of them promising, before it is left out."""
_FEWEST = 3
"""Promising trials in which a hyperparameter counts, before they narrow it."""


@dataclass(frozen=True)
class Region:
    """A box in the cube.

    Attributes:
        low: Its lower corner, (P,).
        high: Its upper corner, (P,).
        choices: For each axis the choices that are left, or None for a number.
    """

    low: Floats
    high: Floats
    choices: tuple[tuple[int, ...] | None, ...]

    def draw(self, shares_NP: Floats) -> Floats:
        """Points of the region, from shares of each axis in [0, 1]."""
        points = self.low + shares_NP * (self.high - self.low)
        for i, left in enumerate(self.choices):
            if left is not None:
                index = _index(shares_NP[:, i], len(left))
                points[:, i] = (np.array(left)[index] + 0.5) / self._n_choices[i]
        return points

    def holds(self, point_P: Floats) -> bool:
        """Whether a point lies in it; coordinates that do not count do."""
        missing = np.isnan(point_P)
        inside = missing | ((point_P >= self.low) & (point_P <= self.high))
        for i, left in enumerate(self.choices):
            if left is not None and not missing[i]:
                inside[i] &= _index(point_P[i : i + 1], self._n_choices[i])[0] in left
        return bool(inside.all())

    def described(self, cube: Cube) -> dict[str, Any]:
        """The ends or the choices of every hyperparameter, as plain values."""
        found: dict[str, Any] = {}
        for i, (name, axis) in enumerate(cube.axes.items()):
            left = self.choices[i]
            if left is None:
                found[name] = [
                    axis.value(float(self.low[i])),
                    axis.value(float(self.high[i])),
                ]
            else:
                found[name] = [axis.value((c + 0.5) / axis.n_choices) for c in left]
        return found

    _n_choices: tuple[int, ...] = ()


def whole(cube: Cube) -> Region:
    """All of the space."""
    n = len(cube.axes)
    sizes = tuple(axis.n_choices for axis in cube.axes.values())
    choices = tuple(tuple(range(size)) if size else None for size in sizes)
    return Region(np.zeros(n), np.ones(n), choices, sizes)


def around(cube: Cube, points_TP: Floats, promise_T: Floats) -> Region:
    """The region around the most promising of some trials.

    Args:
        cube: The space.
        points_TP: The trials' points.
        promise_T: What each should come to at the end; lower is better.
    """
    everything = whole(cube)
    n_axes = len(cube.axes)
    n_best = max(n_axes + 3, math.ceil(_SHARE * len(points_TP)))
    if len(points_TP) < 2 * n_best:
        return everything
    order = np.argsort(promise_T, kind="stable")
    promising, best = points_TP[order[:n_best]], points_TP[order[0]]
    low, high = everything.low.copy(), everything.high.copy()
    choices: list[tuple[int, ...] | None] = []
    for i, axis in enumerate(cube.axes.values()):
        column = promising[:, i]
        column = column[~np.isnan(column)]
        if axis.n_choices:
            choices.append(_left(points_TP[:, i], column, axis.n_choices))
            continue
        choices.append(None)
        if len(column) < _FEWEST:
            continue
        ends = float(column.min()), float(column.max())
        margin = max(_MARGIN, 0.1 * (ends[1] - ends[0]))
        at_low = not math.isnan(best[i]) and best[i] - ends[0] < _MARGIN
        at_high = not math.isnan(best[i]) and ends[1] - best[i] < _MARGIN
        low[i] = max(0.0, ends[0] - (max(margin, _EDGE) if at_low else margin))
        high[i] = min(1.0, ends[1] + (max(margin, _EDGE) if at_high else margin))
    return Region(low, high, tuple(choices), everything._n_choices)


def _left(tried_T: Floats, promising: Floats, n_choices: int) -> tuple[int, ...]:
    """The choices still worth trying; all where too few promising trials have one."""
    if len(promising) < _FEWEST:
        return tuple(range(n_choices))

    def counts(shares: Floats) -> NDArray[np.int64]:
        shares = shares[~np.isnan(shares)]
        return np.bincount(_index(shares, n_choices), minlength=n_choices)

    tried, good = counts(tried_T), counts(promising)
    return tuple(
        choice
        for choice in range(n_choices)
        if good[choice] or tried[choice] < _EVIDENCE
    )


def _index(shares: Floats, n: int) -> NDArray[np.int64]:
    """Which of n equal parts each place lies in."""
    return np.minimum((shares * n).astype(np.int64), n - 1)
