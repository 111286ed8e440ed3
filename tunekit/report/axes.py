"""Numbers as people read them: text, scales, and ticks at sensible round values.

The scales are those of the search space: ``uniform``, ``int``, ``log``, ``int-log``,
``one-minus-log`` (the gap to 1 is logarithmic) and ``choices``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Axis", "count", "duration", "number", "percent", "ticks", "value_text"]

NONE = "\N{EN DASH}"
"""What stands where there is no number."""

_PER_DECADE = ((1, 2, 5), (1, 3), (1,))


def number(value: float | None, digits: int = 4) -> str:
    """A number to ``digits`` significant digits, without a padded exponent.

    Example:
        >>> number(0.123456), number(1e-5), number(12)
        ('0.1235', '1e-5', '12')
    """
    if value is None or not math.isfinite(value):
        return NONE
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e6):
        return str(int(value))
    text = f"{value:.{digits}g}"
    mantissa, mark, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if mark else text


def count(value: float | None) -> str:
    """A count with its thousands apart.

    Example:
        >>> count(48842)
        '48,842'
    """
    return NONE if value is None else f"{value:,.0f}"


def percent(share: float | None) -> str:
    r"""A share of one as percent, finer where it is small.

    Example:
        >>> percent(0.0194), percent(0.5), percent(0.0)
        ('1.94\xa0%', '50.0\xa0%', '0\xa0%')
    """
    if share is None or not math.isfinite(share):
        return NONE
    hundred = 100 * share
    text = "0" if hundred == 0 else f"{hundred:.{1 if abs(hundred) >= 10 else 2}f}"
    return f"{text}\N{NO-BREAK SPACE}%"


def duration(seconds: float | None) -> str:
    """A time span in the units that fit it.

    Example:
        >>> duration(4.21), duration(75), duration(7500)
        ('4.2 s', '1 min 15 s', '2 h 5 min')
    """
    if seconds is None:
        return NONE
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def value_text(value: Any, scale: str = "uniform") -> str:
    """A hyperparameter's value: near 1 on its scale the gap keeps its digits.

    Example:
        >>> value_text(0.99987, "one-minus-log"), value_text(True), value_text("relu")
        ('0.99987', 'true', 'relu')
    """
    if value is None:
        return NONE
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, int | float):
        return str(value)
    if scale == "one-minus-log" and 0 < 1 - value < 1:
        decimals = 2 - math.floor(math.log10(1 - value))
        return f"{value:.{decimals}f}".rstrip("0")
    return number(value)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a picture: what it shows, and how values map to places on it.

    Example:
        >>> lr = Axis(title="lr", scale="log", low=1e-4, high=1e-2)
        >>> round(lr.place(1e-3), 3), lr.ticks(3)
        (0.5, [(0.0001, '0.0001'), (0.001, '0.001'), (0.01, '0.01')])
    """

    title: str
    scale: str = "uniform"
    low: float = 0.0
    high: float = 1.0
    choices: Sequence[Any] = ()

    def place(self, value: Any) -> float:
        """Where ``value`` lies, as a share of the axis; ends hold what lies outside."""
        if self.scale == "choices":
            known = [str(choice) for choice in self.choices]
            at = known.index(str(value)) if str(value) in known else 0
            return (at + 0.5) / max(1, len(known))
        low, high = self._warp(self.low), self._warp(self.high)
        if high == low:
            return 0.5
        return min(1.0, max(0.0, (self._warp(float(value)) - low) / (high - low)))

    def ticks(self, most: int = 6) -> list[tuple[Any, str]]:
        """Values worth a label, each with its text."""
        if self.scale == "choices":
            return [(choice, value_text(choice)) for choice in self.choices]
        values = ticks(self.low, self.high, self.scale, most)
        return [(value, value_text(value, self.scale)) for value in values]

    def _warp(self, value: float) -> float:
        if self.scale in ("log", "int-log") and self.low > 0:
            return math.log(max(value, self.low))
        if self.scale == "one-minus-log" and self.high < 1:
            return -math.log(max(1 - value, 1 - self.high))
        return value


def ticks(low: float, high: float, scale: str, most: int = 6) -> list[float]:
    """Round values between ``low`` and ``high``, at most ``most`` of them.

    Example:
        >>> ticks(0, 1, "uniform"), ticks(16, 512, "int-log")
        ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [16, 32, 64, 128, 256, 512])
        >>> ticks(0.9, 0.999, "one-minus-log", 3)
        [0.9, 0.99, 0.999]
    """
    if not high > low:
        return [low]
    if scale == "int-log" and low > 0:
        return _powers_of_two(low, high, most) or [low]
    if scale == "log" and low > 0:
        found = _log_ticks(low, high, most)
        return found if len(found) > 1 else _linear_ticks(low, high, most)
    if scale == "one-minus-log" and high < 1:
        # The gaps' ends are rounded: 1 - 0.999 is a hair above 0.001.
        gaps = _log_ticks(round(1 - high, 12), round(1 - low, 12), most)
        found = [round(1 - gap, 12) for gap in reversed(gaps)]
        return found if len(found) > 1 else _linear_ticks(low, high, most)
    return _linear_ticks(low, high, most, least_step=1.0 if scale == "int" else 0.0)


def _linear_ticks(
    low: float, high: float, most: int, least_step: float = 0.0
) -> list[float]:
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (1, 2, 5, 10, 20, 50):
        step = max(least_step, factor * power)
        first = math.ceil(low / step - 1e-9)
        last = math.floor(high / step + 1e-9)
        if last - first < most:
            break
    decimals = max(0, -math.floor(math.log10(step)))
    return [round(i * step, decimals) for i in range(first, last + 1)] or [low]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in _PER_DECADE:
        found = [
            float(f"{factor}e{decade}")
            for decade in range(first, last + 1)
            for factor in factors
            if low * (1 - 1e-9) <= float(f"{factor}e{decade}") <= high * (1 + 1e-9)
        ]
        if len(found) <= most:
            return found
    return found[:: math.ceil(len(found) / most)]


def _powers_of_two(low: float, high: float, most: int) -> list[float]:
    first, last = math.ceil(math.log2(low)), math.floor(math.log2(high))
    powers: list[float] = [2**k for k in range(first, last + 1)]
    return powers[:: max(1, math.ceil(len(powers) / most))]
