"""Values of options in the types that they are to have.

A command line gives texts, a TOML file and Python give values; all come to the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunekit.errors import ConfigError

__all__ = ["AT_LEAST", "TIMES", "as_flag", "parse_seconds", "typed"]

AT_LEAST: dict[str, int] = {
    "n_trials": 1,
    "max_epochs": 1,
    "budget_epochs": 1,
    "patience": 1,
    "workers": 1,
    "in_flight": 1,
    "final_seeds": 1,
    "keep_checkpoints": 0,
    "seed": 0,
}
"""The whole numbers, with the least that each may be."""
TIMES = ("timeout", "trial_timeout")
"""The limits of time."""
_REQUIRED = ("max_epochs", "patience", "workers", "seed", "final_seeds")
_PATHS = ("data", "target", "valid_data", "test_data", "warm_start")
_SWITCHES = ("stop_when_flat", "extend")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_seconds(text: str | float, option: str = "timeout") -> float:
    """Seconds from ``90``, ``90s``, ``10m``, ``1h30m``, ``2d``.

    Args:
        text: The duration.
        option: What it is of, for messages.

    Raises:
        ConfigError: If it is no duration.

    Example:
        >>> parse_seconds("1h30m"), parse_seconds(45)
        (5400.0, 45.0)
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    clean = str(text).strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", clean):
        return float(clean)
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", clean)
    if not parts or "".join(number + unit for number, unit in parts) != clean:
        raise ConfigError(
            f'{option} must be a time such as 90s, 10m or 2h, got "{text}"'
        )
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def as_flag(name: str) -> str:
    """An option's name as people type it."""
    return name.replace("_", "-")


def typed(name: str, value: Any) -> Any:
    """``value`` in the type of option ``name``.

    Raises:
        ConfigError: If it cannot be had in that type.
    """
    flag = as_flag(name)
    if name in TIMES:
        return None if value is None else parse_seconds(value, flag)
    if name == "split":
        return _shares(value)
    if name == "drop":
        columns = value.split(",") if isinstance(value, str) else value
        if not isinstance(columns, list | tuple) or not all(
            isinstance(column, str) for column in columns
        ):
            raise ConfigError(f"drop must list column names, got {value!r}")
        return tuple(sorted({column.strip() for column in columns}))
    if name == "space":
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"space must be a table of hyperparameters, got {value!r}"
            )
        return dict(value)
    if name in _SWITCHES:
        if not isinstance(value, bool):
            raise ConfigError(f"{flag} must be true or false, got {value!r:.80}")
        return value
    if name in AT_LEAST:
        if value is None and name not in _REQUIRED:
            return None
        # Python reads no longer texts of digits as integers.
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,99}", value.strip()):
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            got = f"{value!r:.80}"
            raise ConfigError(f"{flag} must be a whole number, got {got}")
        return value
    if isinstance(value, Path):
        value = str(value)
    if value is None and name in _PATHS:
        return None
    if not isinstance(value, str):
        raise ConfigError(f"{flag} must be text, got {value!r}")
    if not value and name in _PATHS:
        raise ConfigError(f"{flag} must not be empty")
    return value


def _shares(value: Any) -> tuple[float, ...]:
    """Three shares from ``60/20/20`` or a sequence."""
    parts = re.split(r"[/,]", value) if isinstance(value, str) else value
    try:
        if not isinstance(parts, list | tuple):
            raise TypeError
        shares = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        raise ConfigError(
            f"split must be three shares such as 60/20/20, got {value!r}"
        ) from None
    if not all(math.isfinite(share) for share in shares):
        raise ConfigError(f"split must be three finite shares, got {value!r}")
    return shares
