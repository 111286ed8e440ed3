"""A search space: scales by name, what is fixed, what counts under a condition.

Conditions make the space a tree: momentum is asked for only under SGD, the betas only
under Adam. The full constant distribution of a hyperparameter is suggested whenever it
counts.

Example:
    >>> import optuna
    >>> from tunekit.space import OneMinusLogUniform
    >>> space = Space(
    ...     {
    ...         "optimizer": Categorical("sgd", "adam"),
    ...         "momentum": OneMinusLogUniform(0.5, 0.99),
    ...     },
    ...     conditions={"momentum": Condition("optimizer", ("sgd",))},
    ... )
    >>> space.suggest(optuna.trial.FixedTrial({"optimizer": "adam"}))
    {'optimizer': 'adam'}
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunekit.errors import SpaceError
from tunekit.space.scales import Categorical, Range, Scale

if TYPE_CHECKING:
    import optuna

__all__ = ["Condition", "Space"]

_ENUMERABLE = 20_000
"""Up to this many grid points are listed one by one; beyond, they are drawn."""


@dataclass(frozen=True)
class Condition:
    """Counts only while another has one of ``values``, or is large enough."""

    parent: str
    values: tuple[Any, ...] = ()
    at_least: int | None = None

    def holds(self, value: Any) -> bool:
        """Whether the hyperparameter counts under this value of its parent."""
        if self.at_least is not None:
            return bool(value >= self.at_least)
        return value in self.values

    def __str__(self) -> str:
        """As a person would say it."""
        if self.at_least is not None:
            return f"{self.parent} at least {self.at_least}"
        return f"{self.parent} {' or '.join(map(str, self.values))}"


class Space:
    """Scales by name, fixed values and conditions; parents must stand before children.

    Attributes:
        scales: The hyperparameters that are searched, in the order they are asked for.
        fixed: Those that are not, with their value.
        idle: Names that can never count under what is fixed.
    """

    def __init__(
        self,
        scales: Mapping[str, Scale],
        *,
        fixed: Mapping[str, Any] | None = None,
        conditions: Mapping[str, Condition] | None = None,
    ) -> None:
        """Take scales, fixed values and conditions; single choices become fixed."""
        self.fixed: dict[str, Any] = dict(fixed or {})
        self.conditions = dict(conditions or {})
        self.scales: dict[str, Scale] = {}
        self.idle: list[str] = []
        for name, scale in scales.items():
            if isinstance(scale, Categorical) and len(scale.choices) == 1:
                self.fixed[name] = scale.choices[0]
            else:
                self.scales[name] = scale
        for name in [*self.scales]:
            if not any(self._outcomes(name)):
                del self.scales[name]
                self.idle.append(name)
        self.idle += [n for n in self.fixed if not any(self._outcomes(n))]

    def suggest(self, trial: optuna.trial.BaseTrial) -> dict[str, Any]:
        """Ask a trial for every hyperparameter that counts; human values."""
        params: dict[str, Any] = {}
        for name, scale in self.scales.items():
            if self._counts(name, params):
                params[name] = scale.suggest(trial, name)
        return params

    def from_stored(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The values for an Optuna trial's ``params``."""
        return {
            name: scale.from_stored(stored[scale.stored_name(name)])
            for name, scale in self.scales.items()
            if scale.stored_name(name) in stored
        }

    def to_stored(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """What Optuna stores for these values."""
        return {
            self.scales[name].stored_name(name): self.scales[name].to_stored(value)
            for name, value in params.items()
        }

    def distributions(
        self, params: Iterable[str]
    ) -> dict[str, optuna.distributions.BaseDistribution]:
        """Optuna's distributions of these hyperparameters, by stored name."""
        return {
            self.scales[name].stored_name(name): self.scales[name].distribution()
            for name in params
        }

    def nearest(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration of this space nearest to ``values`` (of every name)."""
        params: dict[str, Any] = {}
        for name, scale in self.scales.items():
            if self._counts(name, params):
                params[name] = scale.nearest(values[name])
        return params

    def grid(self, n: int, seed: int) -> list[dict[str, Any]]:
        """``n`` distinct points of a full grid, or all if it has fewer, shuffled.

        Every hyperparameter gets the same number of levels, at least two, and as many
        as the grid needs to have ``n`` points; of a larger one, a random part is taken.
        Points that differ only in what does not count are one.

        Args:
            n: Points wanted.
            seed: Seed of the order.
        """
        per = 2
        while True:
            axes = [scale.levels(per) for scale in self.scales.values()]
            # Counting is cheap, listing is not; joined points only show when listed.
            if math.prod(map(len, axes)) >= n or per >= n:
                points = self._points(axes, n, seed)
                if len(points) >= n or per >= n:
                    return points
            per += max(1, per // 4)

    def _points(self, axes: list[list[Any]], n: int, seed: int) -> list[dict[str, Any]]:
        """At most ``n`` distinct points of the grid over ``axes``, in random order."""
        points: dict[tuple[tuple[str, Any], ...], dict[str, Any]] = {}
        for combination in _combinations(axes, random.Random(seed), 50 * n):
            params: dict[str, Any] = {}
            for name, value in zip(self.scales, combination, strict=True):
                if self._counts(name, params):
                    params[name] = value
            points.setdefault(tuple(params.items()), params)
            if len(points) >= n:
                break
        return list(points.values())

    def always(self) -> list[str]:
        """The names that are searched and count in every configuration.

        Example:
            >>> from tunekit.space import Uniform
            >>> choice = Categorical("sgd", "adam")
            >>> Space(
            ...     {"optimizer": choice, "momentum": Uniform(0, 1)},
            ...     conditions={"momentum": Condition("optimizer", ("sgd",))},
            ... ).always()
            ['optimizer']
        """
        return [name for name in self.scales if all(self._outcomes(name))]

    def domains(self) -> dict[str, list[Any] | tuple[float, float]]:
        """What each may be: a list of choices, or a pair of the lowest and highest."""
        return {
            name: (scale.low, scale.high)
            if isinstance(scale, Range)
            else scale.levels(0)
            for name, scale in self.scales.items()
        }

    def as_settings(self) -> dict[str, Any]:
        """The whole space as it stands in TOML: searched and fixed, by name."""
        searched = {name: scale.as_setting() for name, scale in self.scales.items()}
        return {**searched, **self.fixed}

    def _counts(self, name: str, params: Mapping[str, Any]) -> bool:
        """Whether ``name`` counts beside the values chosen so far."""
        condition = self.conditions.get(name)
        if condition is None:
            return True
        if condition.parent in self.fixed:
            return condition.holds(self.fixed[condition.parent])
        return condition.parent in params and condition.holds(params[condition.parent])

    def _outcomes(self, name: str) -> list[bool]:
        """Whether ``name`` counts, under its parent's values from one end to the other.

        Parents have no parents of their own.
        """
        condition = self.conditions.get(name)
        if condition is None:
            return [True]
        if condition.parent in self.fixed:
            return [condition.holds(self.fixed[condition.parent])]
        parent = self.scales.get(condition.parent)
        return [condition.holds(v) for v in parent.levels(2)] if parent else [False]


def _combinations(
    axes: list[list[Any]], order: random.Random, most: int
) -> Iterator[tuple[Any, ...]]:
    """Points of the full grid in random order; of a large one, a part."""
    total = math.prod(len(axis) for axis in axes)
    if total <= _ENUMERABLE:
        points = list(itertools.product(*axes))
        order.shuffle(points)
        yield from points
        return
    for index in order.sample(range(total), min(total, most)):
        point: list[Any] = []
        for axis in axes:
            index, place = divmod(index, len(axis))
            point.append(axis[place])
        yield tuple(point)


def scale_of(setting: Mapping[str, Any]) -> Scale:
    """The scale for ``{scale, low, high}``.

    Raises:
        SpaceError: If a key is missing, unknown, or the ends make no range.
    """
    known = {scale.setting: scale for scale in _every_range()}
    extra = sorted(set(setting) - {"scale", "low", "high"})
    if extra or not {"scale", "low", "high"} <= set(setting):
        raise SpaceError(
            f"a range is {{scale, low, high}} or a text such as "
            f'"1e-4..1e-1", got {dict(setting)}'
        )
    if str(setting["scale"]) not in known:
        raise SpaceError(
            f"scale must be one of {', '.join(known)}, got {setting['scale']!r}"
        )
    return known[setting["scale"]](setting["low"], setting["high"])


def _every_range() -> list[type[Range]]:
    """The concrete range scales."""
    return [*Range.__subclasses__()]
