"""A search space as a cube: every hyperparameter on its own scale, from 0 to 1.

A *point* has one coordinate a hyperparameter, P in all: the share of the way from its
low to its high end, on a log scale where it has one; the middle of a whole number's
share; the middle of a choice's. *Features* are what a model sees, D columns: numbers as
in the point, a categorical hyperparameter as one column a choice, all choices equally
far from one another. What does not count in a trial stands in the middle.

Example:
    >>> from optuna.distributions import FloatDistribution
    >>> cube = Cube({"lr": FloatDistribution(1e-4, 1e-2, log=True)})
    >>> cube.point({"lr": 1e-3}).round(6), round(cube.params(np.array([0.5]))["lr"], 9)
    (array([0.5]), 0.001)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

__all__ = ["Axis", "Cube", "Floats"]

Floats = NDArray[np.float64]


class Axis:
    """One hyperparameter.

    Args:
        distribution: Optuna's.

    Attributes:
        n_choices: Choices of a categorical one; 0 for a number.
        step: Between two values of a number; None where all between are possible.
    """

    def __init__(self, distribution: BaseDistribution) -> None:
        self.distribution = distribution
        self.n_choices = 0
        self.step: float | None = None
        if isinstance(distribution, CategoricalDistribution):
            self.n_choices = len(distribution.choices)
            return
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        self.step = distribution.step
        self._log = distribution.log
        # Each whole number has a share as wide as it is likely: half a step beyond.
        margin = 0.5 * (self.step or 0)
        self._low = self._scaled(distribution.low - margin)
        self._width = self._scaled(distribution.high + margin) - self._low

    def unit(self, value: Any) -> float:
        """Where a value stands, in [0, 1]."""
        if self.n_choices:
            assert isinstance(self.distribution, CategoricalDistribution)
            index = self.distribution.to_internal_repr(value)
            return float((index + 0.5) / self.n_choices)
        if self._width <= 0:
            return 0.5
        share = (self._scaled(float(value)) - self._low) / self._width
        return min(max(share, 0.0), 1.0)

    def value(self, share: float) -> Any:
        """The value nearest to a place."""
        if self.n_choices:
            assert isinstance(self.distribution, CategoricalDistribution)
            index = min(max(int(share * self.n_choices), 0), self.n_choices - 1)
            return self.distribution.choices[index]
        d = self.distribution
        assert isinstance(d, FloatDistribution | IntDistribution)
        raw = self._low + self._width * min(max(share, 0.0), 1.0)
        raw = math.exp(raw) if self._log else raw
        raw = min(max(raw, d.low), d.high)
        if self.step:
            raw = d.low + self.step * round((raw - d.low) / self.step)
            raw = min(raw, d.high)  # what rounding adds
        return int(raw) if isinstance(d, IntDistribution) else float(raw)

    def snapped(self, shares_N: Floats) -> Floats:
        """Places moved to those of the values they stand for; NaN stays."""
        shares_N = np.clip(shares_N, 0.0, 1.0)
        if self.n_choices:
            index = np.minimum(np.floor(shares_N * self.n_choices), self.n_choices - 1)
            return np.asarray((index + 0.5) / self.n_choices)
        if self.step:
            # Few values, many places: each value is worked out once, as it is alone.
            d = self.distribution
            assert isinstance(d, FloatDistribution | IntDistribution)
            raw = self._low + self._width * shares_N
            raw = np.clip(np.exp(raw) if self._log else raw, d.low, d.high)
            steps, of_N = np.unique(
                np.round((raw - d.low) / self.step), return_inverse=True
            )
            values = np.minimum(d.low + self.step * steps, d.high)
            known = [v if math.isnan(v) else self.unit(v) for v in values.tolist()]
            return np.array(known)[of_N]
        return shares_N

    def _scaled(self, value: float) -> float:
        return math.log(value) if self._log else float(value)


class Cube:
    """Some hyperparameters together.

    Args:
        space: Distributions by name; their order is that of the coordinates.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self.space = dict(space)
        self.axes = {name: Axis(each) for name, each in self.space.items()}
        self.n_features = sum(max(1, axis.n_choices) for axis in self.axes.values())

    def point(self, params: Mapping[str, Any]) -> Floats:
        """The point of a configuration, (P,); NaN where it has no value."""
        return np.array(
            [
                axis.unit(params[name]) if name in params else math.nan
                for name, axis in self.axes.items()
            ]
        )

    def params(self, point_P: Floats) -> dict[str, Any]:
        """The configuration at a point; without what is NaN there."""
        return {
            name: axis.value(float(share))
            for (name, axis), share in zip(self.axes.items(), point_P, strict=True)
            if not math.isnan(share)
        }

    def snapped(self, points_NP: Floats) -> Floats:
        """Points moved to those of the configurations they stand for, (N, P)."""
        columns = [
            axis.snapped(points_NP[:, i]) for i, axis in enumerate(self.axes.values())
        ]
        return np.stack(columns, 1) if columns else points_NP

    def features(self, points_NP: Floats) -> Floats:
        """What a model sees of snapped points, (N, D)."""
        blocks = []
        for i, axis in enumerate(self.axes.values()):
            shares = points_NP[:, i]
            missing = np.isnan(shares)
            if not axis.n_choices:
                blocks.append(np.where(missing, 0.5, shares)[:, None])
                continue
            index = np.where(missing, -1.0, shares * axis.n_choices)
            chosen = np.minimum(index, axis.n_choices - 0.5).astype(int)
            # Two choices are one apart, as the two ends of a range.
            blocks.append((chosen[:, None] == np.arange(axis.n_choices)) / math.sqrt(2))
        return np.concatenate(blocks, 1) if blocks else np.zeros((len(points_NP), 0))
