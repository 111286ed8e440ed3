"""Which hyperparameters count where, as the trials have shown.

An objective may ask for momentum only under SGD. Nobody tells a sampler: but where
every trial with one optimizer has a momentum and none with another, it is plain. What
does not count is then not a difference between two configurations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunekit.sampler.cube import Cube, Floats

__all__ = ["Conditions", "learned"]


@dataclass(frozen=True)
class _Rule:
    """An axis that counts at some places of another, its parent."""

    axis: int
    parent: int
    places: Floats
    """Places of the parent that were seen, ascending, (V,)."""
    counts: Floats
    """1.0 where the axis counted, (V,)."""
    ordered: bool
    """Whether an unseen place is as the nearest that was seen; else it counts."""

    def holds(self, places_N: Floats) -> NDArray[np.bool_]:
        """Whether the axis counts at places of its parent, (N,)."""
        nearest = np.abs(places_N[:, None] - self.places).argmin(1)
        counts: NDArray[np.bool_] = self.counts[nearest] > 0
        if not self.ordered:
            counts |= np.abs(self.places[nearest] - places_N) > 1e-9
        return counts


@dataclass(frozen=True)
class Conditions:
    """All rules of a space."""

    rules: tuple[_Rule, ...] = ()

    def masked(self, points_NP: Floats) -> Floats:
        """Snapped points, with NaN where a hyperparameter does not count."""
        masked = points_NP.copy()
        for rule in self.rules:
            counts = rule.holds(points_NP[:, rule.parent])
            masked[~counts, rule.axis] = np.nan
        return masked


def learned(cube: Cube, points_TP: Floats) -> Conditions:
    """The conditions that explain which hyperparameters trials lack.

    An axis has a condition where its presence is a function of one other axis, of
    discrete places, that every trial has.

    Example:
        >>> from optuna.distributions import CategoricalDistribution, FloatDistribution
        >>> space = {
        ...     "optimizer": CategoricalDistribution(("sgd", "adam")),
        ...     "momentum": FloatDistribution(0, 1),
        ... }
        >>> points = np.array([[0.25, 0.3], [0.75, np.nan]])
        >>> learned(Cube(space), points).masked(np.array([[0.75, 0.5]]))
        array([[0.75,  nan]])
    """
    present_TP = ~np.isnan(points_TP)
    always = present_TP.all(0)
    axes = [*cube.axes.values()]
    seen = {
        parent: np.unique(points_TP[:, parent], return_inverse=True)
        for parent in np.flatnonzero(always)
        if axes[parent].n_choices or axes[parent].step
    }
    rules = []
    for axis in np.flatnonzero(~always):
        found: list[_Rule] = []
        for parent, (places, of_T) in seen.items():
            share_V = np.bincount(of_T, present_TP[:, axis]) / np.bincount(of_T)
            if np.isin(share_V, (0.0, 1.0)).all():
                ordered = not axes[parent].n_choices
                found.append(_Rule(int(axis), int(parent), places, share_V, ordered))
        # The fewer places explain it, the less likely it is by chance.
        rules += sorted(found, key=lambda rule: len(rule.places))[:1]
    return Conditions(tuple(rules))
