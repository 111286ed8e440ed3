"""What was searched, by ``study.toml``: as scales, and as the page lists it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunekit.space import Categorical, Space
from tunekit.space.space import scale_of

__all__ = ["listed", "scales"]


def scales(table: Mapping[str, Any]) -> Space:
    """The scales of what was searched, which know what Optuna stores of a value.

    Raises:
        SpaceError: When an entry is no scale.

    Example:
        >>> entry = {"scale": "one-minus-log", "low": 0.5, "high": 0.99}
        >>> scales({"momentum": entry, "lr": 0.1}).from_stored(
        ...     {"one_minus_momentum": 0.25}
        ... )
        {'momentum': 0.75}
    """
    return Space(
        {
            name: Categorical(entry) if isinstance(entry, list) else scale_of(entry)
            for name, entry in table.items()
            if isinstance(entry, dict | list)
        }
    )


def listed(
    table: Mapping[str, Any], best: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What was searched, with the best trial's values, and what stood fixed.

    Example:
        >>> listed({"shape": ["constant", "funnel"], "lr": 0.1}, {"shape": "funnel"})[1]
        {'lr': 0.1}
    """
    searched: list[dict[str, Any]] = []
    fixed: dict[str, Any] = {}
    for name, entry in table.items():
        if isinstance(entry, dict):
            searched.append({"name": name, **entry, "best": best.get(name)})
        elif isinstance(entry, list):
            choices = {"scale": "choices", "choices": entry}
            searched.append({"name": name, **choices, "best": best.get(name)})
        else:
            fixed[name] = entry
    return searched, fixed
