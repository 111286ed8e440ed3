"""The scales on which hyperparameters are searched.

Each range is searched on its right scale: a learning rate on the log scale, momentum
and the betas by the logarithm of their gap to one (1 - x), counts as integers. A scale
knows how to ask an Optuna trial for a value and what Optuna stores for it; people
always read the value itself. Only this module knows that ``OneMinusLogUniform`` stores
the gap.

Example:
    >>> import optuna
    >>> trial = optuna.trial.FixedTrial({"lr": 0.01, "one_minus_momentum": 0.05})
    >>> LogUniform(1e-4, 1e-1).suggest(trial, "lr")
    0.01
    >>> OneMinusLogUniform(0.5, 0.99).suggest(trial, "momentum")
    0.95
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tunekit.errors import SpaceError

if TYPE_CHECKING:
    import optuna

__all__ = [
    "Categorical",
    "IntLogUniform",
    "IntUniform",
    "LogUniform",
    "OneMinusLogUniform",
    "Range",
    "Scale",
    "Uniform",
]

Choice = None | bool | int | float | str


class Scale(ABC):
    """How one hyperparameter is searched."""

    @abstractmethod
    def distribution(self) -> optuna.distributions.BaseDistribution:
        """What Optuna stores beside the value."""

    @abstractmethod
    def nearest(self, value: Any) -> Any:
        """The value of this scale nearest to ``value``."""

    @abstractmethod
    def levels(self, n: int) -> list[Any]:
        """At most ``n`` values evenly spaced on the scale, for a grid."""

    @abstractmethod
    def as_setting(self) -> Any:
        """This scale as it stands in TOML."""

    def stored_name(self, name: str) -> str:
        """The name under which Optuna stores the hyperparameter."""
        return name

    def to_stored(self, value: Any) -> Any:
        """What Optuna stores for a value."""
        return value

    def from_stored(self, stored: Any) -> Any:
        """The value for what Optuna stored."""
        return stored

    def suggest(self, trial: optuna.trial.BaseTrial, name: str) -> Any:
        """Ask a trial (Trial, FrozenTrial or FixedTrial) for a value.

        Raises:
            ValueError: From Optuna, when the trial holds another kind of distribution.
        """
        from optuna import distributions as d

        distribution, stored = self.distribution(), self.stored_name(name)
        if isinstance(distribution, d.CategoricalDistribution):
            return trial.suggest_categorical(stored, distribution.choices)
        if isinstance(distribution, d.IntDistribution):
            return trial.suggest_int(
                stored, distribution.low, distribution.high, log=distribution.log
            )
        assert isinstance(distribution, d.FloatDistribution)
        return self.from_stored(
            trial.suggest_float(
                stored, distribution.low, distribution.high, log=distribution.log
            )
        )


@dataclass(frozen=True)
class Range(Scale):
    """A scale between two ends, both included."""

    low: float
    high: float
    setting: ClassVar[str]
    integer: ClassVar[bool] = False
    log: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse ends that make no range."""
        got = f"got low={self.low}, high={self.high}"
        for end in (self.low, self.high):
            if isinstance(end, bool) or not isinstance(end, int | float):
                raise SpaceError(f"low and high must be numbers, {got}")
            # Compared, not converted: an integer may be too large for a float.
            if not abs(end) <= sys.float_info.max:
                raise SpaceError(f"low and high must be finite, {got}")
            if self.integer and end != int(end):
                raise SpaceError(f"low and high must be whole numbers, {got}")
        if not self.low < self.high:
            raise SpaceError(f"low must be below high, {got}")
        if self.log and self.low <= 0:
            raise SpaceError(f"low must be above 0 on a log scale, {got}")
        if self.integer:
            object.__setattr__(self, "low", int(self.low))
            object.__setattr__(self, "high", int(self.high))

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """A float or integer distribution, with ``log`` as the scale says."""
        from optuna import distributions as d

        if self.integer:
            return d.IntDistribution(int(self.low), int(self.high), log=self.log)
        return d.FloatDistribution(float(self.low), float(self.high), log=self.log)

    def nearest(self, value: Any) -> Any:
        """``value`` moved inside the range."""
        inside = min(max(value, self.low), self.high)
        return round(inside) if self.integer else float(inside)

    def levels(self, n: int) -> list[Any]:
        """Evenly spaced values from low to high; the middle for one."""
        if n == 1:
            return [self.nearest(self._at(0.5))]
        inner = [self.nearest(self._at(i / (n - 1))) for i in range(1, n - 1)]
        # The ends as they were given, not as rounding leaves them.
        ends = self.nearest(self.low), self.nearest(self.high)
        return list(dict.fromkeys([ends[0], *inner, ends[1]]))

    def as_setting(self) -> dict[str, Any]:
        """``{scale, low, high}``."""
        return {"scale": self.setting, "low": self.low, "high": self.high}

    def _at(self, share: float) -> float:
        """The value at a share of the way from low to high."""
        if self.log:
            return float(self.low * (self.high / self.low) ** share)
        return float(self.low + (self.high - self.low) * share)


class Uniform(Range):
    """Every value equally likely.

    Example:
        >>> Uniform(0.0, 0.5).levels(3)
        [0.0, 0.25, 0.5]
    """

    setting = "uniform"


class LogUniform(Range):
    """Every factor equally likely; for learning rates, weight decay, eps.

    Example:
        >>> [round(v, 6) for v in LogUniform(1e-4, 1e-2).levels(3)]
        [0.0001, 0.001, 0.01]
    """

    setting = "log"
    log = True


class IntUniform(Range):
    """Every whole number equally likely.

    Example:
        >>> IntUniform(1, 4).levels(9)
        [1, 2, 3, 4]
    """

    setting = "int"
    integer = True


class IntLogUniform(Range):
    """Whole numbers, every factor equally likely; for widths.

    Example:
        >>> IntLogUniform(16, 64).levels(3)
        [16, 32, 64]
    """

    setting = "int-log"
    integer = True
    log = True


class OneMinusLogUniform(Range):
    """The gap to one, 1 - x, is log-uniform; for momentum, beta1, beta2.

    From 0.9 to 0.999 half of the values lie above 0.99, because what counts is over how
    many steps, 1 / (1 - x), an average runs. Optuna stores the gap under
    ``one_minus_<name>`` with ``log=True``.

    Example:
        >>> [round(v, 4) for v in OneMinusLogUniform(0.9, 0.999).levels(3)]
        [0.9, 0.99, 0.999]
        >>> OneMinusLogUniform(0.9, 0.999).stored_name("momentum")
        'one_minus_momentum'
    """

    setting = "one-minus-log"

    def __post_init__(self) -> None:
        """Refuse ends that make no range below one."""
        super().__post_init__()
        if self.high >= 1:
            got = f"got low={self.low}, high={self.high}"
            raise SpaceError(f"high must be below 1 on a one-minus-log scale, {got}")
        if 1.0 - self.high == 1.0 - self.low:
            got = f"got low={self.low}, high={self.high}"
            raise SpaceError(f"low must be below high by more than rounding, {got}")

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """The distribution of the gap."""
        from optuna import distributions as d

        return d.FloatDistribution(1.0 - self.high, 1.0 - self.low, log=True)

    def stored_name(self, name: str) -> str:
        """``one_minus_<name>``."""
        return f"one_minus_{name}"

    def to_stored(self, value: Any) -> Any:
        """The gap, inside the distribution in spite of rounding."""
        return min(max(1.0 - value, 1.0 - self.high), 1.0 - self.low)

    def from_stored(self, stored: Any) -> Any:
        """The value, inside the range and exact at its ends in spite of rounding."""
        if stored <= 1.0 - self.high:
            return float(self.high)
        if stored >= 1.0 - self.low:
            return float(self.low)
        return float(1.0 - stored)

    def _at(self, share: float) -> float:
        ratio = (1.0 - self.high) / (1.0 - self.low)
        return float(1.0 - (1.0 - self.low) * ratio**share)


@dataclass(frozen=True, init=False)
class Categorical(Scale):
    """One of a few choices, in no order.

    Example:
        >>> Categorical("adam", "sgd") == Categorical(["adam", "sgd"])
        True
    """

    choices: tuple[Choice, ...]

    def __init__(self, *choices: Choice | Sequence[Choice]) -> None:
        """Take the choices one by one or as one sequence."""
        flat: list[Any] = list(choices)
        if len(flat) == 1 and isinstance(flat[0], Sequence):
            flat = [flat[0]] if isinstance(flat[0], str) else list(flat[0])
        if not flat:
            raise SpaceError("at least one choice must be given, got none")
        if any(not isinstance(c, bool | int | float | str | None) for c in flat):
            raise SpaceError(f"choices must be plain values, got {flat}")
        # Optuna finds a stored choice by ==, so that 1 and True would be one.
        if len(set(flat)) < len(flat):
            raise SpaceError(f"choices must differ from one another, got {flat}")
        object.__setattr__(self, "choices", tuple(flat))

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """A categorical distribution."""
        from optuna import distributions as d

        return d.CategoricalDistribution(self.choices)

    def nearest(self, value: Any) -> Any:
        """``value`` if it is a choice, the nearest number, else the first choice."""
        if value in self.choices:
            return value
        numbers = [c for c in self.choices if isinstance(c, int | float)]
        if isinstance(value, int | float) and numbers:
            return min(numbers, key=lambda choice: abs(choice - value))
        return self.choices[0]

    def levels(self, n: int) -> list[Any]:
        """All choices, whatever ``n``: they have no order to thin out by."""
        return list(self.choices)

    def as_setting(self) -> list[Any]:
        """The choices as a list."""
        return list(self.choices)
