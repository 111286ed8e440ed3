"""What a command names: classes and functions of one's own, and scales as text."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tunekit.errors import ConfigError, SpaceError, did_you_mean
from tunekit.space import Categorical, Range, Scale, scale_of

__all__ = ["named", "space_of"]

_RANGE = ".."


def named(text: str, option: str) -> Any:
    """What ``package.module:Name`` names; modules of the working folder, too.

    Args:
        text: The name.
        option: Who asks, for the message.

    Raises:
        ConfigError: If there is none.

    Example:
        >>> named("math:sqrt", "module")(9.0)
        3.0
    """
    where, colon, name = str(text).partition(":")
    if not (where and colon and name):
        raise ConfigError(
            f'{option} must be package.module:Name, got "{text}"; such as '
            "mypackage.mymodule:MyModule"
        )
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(where)
    except ImportError as error:
        raise ConfigError(
            f'{option} "{text}" must be importable from here, got: {error}'
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            near = did_you_mean(part, [n for n in vars(found) if not n.startswith("_")])
            raise ConfigError(f'{option}: "{where}" has no "{part}"{near}')
        found = getattr(found, part)
    return found


def space_of(settings: Mapping[str, Any]) -> tuple[dict[str, Scale], dict[str, Any]]:
    """The scales, and what is fixed, of a space as text or TOML has it.

    Args:
        settings: By name ``{scale, low, high}``, text such as ``log 1e-4..1e-1``,
            ``one-minus-log 0.9..0.999``, ``int 1..4``, ``a,b,c``, a list of choices, or
            a value, which is fixed.

    Raises:
        SpaceError: What is none of these.

    Example:
        >>> space_of({"lr": "log 1e-4..1e-1", "act": "relu,gelu", "width": 64})
        ({'lr': LogUniform(low=0.0001, high=0.1), 'act': Categorical(choices=\
('relu', 'gelu'))}, {'width': 64})
    """
    scales: dict[str, Scale] = {}
    fixed: dict[str, Any] = {}
    for name, setting in settings.items():
        try:
            found = _read(setting)
        except (SpaceError, ValueError) as error:
            raise SpaceError(f'space "{name}": {error}') from None
        if isinstance(found, Scale):
            scales[name] = found
        else:
            fixed[name] = found
    if not scales:
        raise SpaceError(
            "space must hold a hyperparameter that varies, got none; such as "
            '--set "lr=log 1e-4..1e-1"'
        )
    return scales, fixed


def _read(setting: Any) -> Any:
    if isinstance(setting, Mapping):
        return scale_of(setting)
    if isinstance(setting, list):
        return Categorical(setting)
    if not isinstance(setting, str):
        return setting
    kind, _, span = setting.strip().rpartition(" ")
    if _RANGE in span:
        low, _, high = span.partition(_RANGE)
        known = [scale.setting for scale in Range.__subclasses__()]
        if not kind:
            raise SpaceError(
                f'a range must say its scale ({", ".join(known)}), got "{setting}"; '
                f'such as "{known[0]} {setting}"'
            )
        return scale_of({"scale": kind, "low": _value(low), "high": _value(high)})
    if "," in setting:
        return Categorical([_value(each) for each in setting.split(",")])
    return _value(setting)


def _value(text: str) -> Any:
    """A number or a truth where the text reads as one, else the text."""
    text = text.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    readers: tuple[Callable[[str], Any], ...] = (int, float)
    for read in readers:
        try:
            return read(text)
        except ValueError:
            continue
    return text
