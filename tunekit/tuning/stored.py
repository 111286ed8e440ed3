"""Values that a user gives, as Optuna stores them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import create_trial

from tunekit.errors import SpaceError
from tunekit.space import OneMinusLogUniform, Scale

__all__ = ["contains", "gaps", "human", "stored_value"]

_GAP = OneMinusLogUniform(0.1, 0.9)


def gaps(
    stored: Mapping[str, Any], asked: Mapping[str, BaseDistribution]
) -> dict[str, Any]:
    """Values whose gap to one is asked for, on the scale of one minus the value."""
    found = {}
    for name, value in stored.items():
        gap = _GAP.stored_name(name)
        if name not in asked and gap in asked and isinstance(value, int | float):
            name, value = gap, 1.0 - value
        found[name] = value
    return found


def human(
    stored: Mapping[str, Any], asked: Mapping[str, BaseDistribution]
) -> dict[str, Any]:
    """What Optuna stored, with gaps to one as the values that people read.

    Example:
        >>> gap = OneMinusLogUniform(0.5, 0.99)
        >>> human({"one_minus_x": 0.25}, {"one_minus_x": gap.distribution()})
        {'x': 0.75}
    """
    found = {}
    for name, value in stored.items():
        read, of = name.removeprefix(_GAP.stored_name("")), asked.get(name)
        gap = isinstance(of, FloatDistribution) and of.log and of.high < 1
        if read != name and read and read not in stored and gap:
            name, value = read, 1.0 - value
        found[name] = value
    return found


def stored_value(n: int, name: str, scale: Scale, value: Any) -> Any:
    """What Optuna stores for a value that lies on its scale.

    Args:
        n: Place among the configurations to try.
        name: The hyperparameter.
        scale: Its scale.
        value: In human units.

    Raises:
        SpaceError: If it does not lie there.
    """
    try:
        # As it is: what Optuna stores is moved inside, for rounding's sake.
        inside = scale.nearest(value) == value
        stored = scale.to_stored(value)
    except TypeError:
        inside, stored = False, None
    if not inside or not contains(scale.distribution(), stored):
        raise SpaceError(f'enqueue[{n}] "{name}" must be inside {scale}, got {value!r}')
    return stored


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether Optuna would take a value from this distribution."""
    try:
        create_trial(value=0.0, params={"x": value}, distributions={"x": distribution})
    except (TypeError, ValueError):
        return False
    return True
