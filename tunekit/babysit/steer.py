"""The file by which a person steps in while a model trains.

It is read before every round, and matters where it has changed: what it says then holds
from the next interval on. What it said before and still says is not said again, so that
a value that was nudged since is not set back by an edit of another line; but a value
beside a new ``hold`` of it is the one that is held. A file that
cannot be used changes nothing, and is complained of once.
"""

from __future__ import annotations

import json
import sys
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunekit.babysit.nudges import Knob, Settings
from tunekit.errors import ConfigError, did_you_mean, one_line

__all__ = ["FILE", "Edit", "content", "edit_of", "parsed", "said", "template"]

FILE = "steer.toml"
_SHOWN = 40
"""Characters of a value that is none."""
_MOST_SAID = 200
"""Characters of what is wrong with a file."""
_STEADY, _EMPTY = 0.05, 0.5
"""Seconds for which a file that has changed must stay as it is, and one that says
nothing: editors empty a file, or take it away, before they write it."""
_MOST_WAITS = 20


@dataclass(frozen=True)
class Edit:
    """What a person wants.

    Attributes:
        settings: New values of knobs.
        held: Knobs that are nudged no more; None where that is as before.
        stop: Whether training is to end here.
    """

    settings: Settings = field(default_factory=dict)
    held: list[str] | None = None
    stop: bool = False

    def __bool__(self) -> bool:
        return bool(self.settings) or self.held is not None or self.stop

    def __str__(self) -> str:
        parts = [f"{name} = {value:g}" for name, value in self.settings.items()]
        if self.held is not None:
            parts.append(f"hold = {self.held}")
        return ", ".join([*parts, *(["stop"] if self.stop else [])])


def template(settings: Mapping[str, float]) -> str:
    """The file as it is put there: all lines are comments."""
    values = "\n".join(f"# {name} = {value:g}" for name, value in settings.items())
    first = next(iter(settings), "lr")
    return (
        "# Steer this model while it trains: write a line and save. The file is read\n"
        "# before the next interval. A value holds from then on and goes on being\n"
        "# nudged, unless it is held. A line counts when it changes, and a value that\n"
        "# stands here when it is newly held. At the end of a budget the learning\n"
        "# rate falls to zero, also one that is written here, unless it is held.\n"
        f'{values}\n# hold = ["{first}"]  # nudged no more\n'
        "# stop = true  # end here, and judge the model\n"
    )


def parsed(text: str, knobs: Mapping[str, Knob]) -> dict[str, Any]:
    """What the file says.

    Args:
        text: Its content.
        knobs: The hyperparameters that can be set.

    Raises:
        ConfigError: One line, for anything that cannot be used.

    Example:
        >>> from tunekit.space import LogUniform
        >>> knobs = {"lr": Knob("lr", LogUniform(1e-6, 1.0), 2.0, "rate")}
        >>> parsed("lr = 0.5", knobs)
        {'lr': 0.5}
        >>> parsed("lr = 5", knobs)
        Traceback (most recent call last):
        tunekit.errors.ConfigError: steer.toml: lr must be between 1e-06 and 1, got 5
    """
    try:
        found = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Also what is no TOMLDecodeError: a number too long, tables too deep.
        got = one_line(str(error)[:_MOST_SAID])
        raise ConfigError(f"{FILE} must be TOML, got: {got}") from None
    for name, value in found.items():
        if name == "hold":
            _check_held(value, knobs)
        elif name == "stop":
            if not isinstance(value, bool):
                raise ConfigError(f"{FILE}: stop must be true or false, got {value!r}")
        elif name not in knobs:
            known = [*knobs, "hold", "stop"]
            raise ConfigError(
                f'{FILE}: unknown hyperparameter "{one_line(name[:_SHOWN])}"'
                f"{did_you_mean(name, known)}; "
                f"what can change in a running model is {', '.join(knobs)}"
            )
        else:
            found[name] = _checked(name, value, knobs[name])
    return found


def edit_of(now: Mapping[str, Any], before: Mapping[str, Any]) -> Edit:
    """What is asked for that was not asked for before.

    Example:
        >>> edit_of({"lr": 0.1, "dropout": 0.2}, {"lr": 0.1})
        Edit(settings={'dropout': 0.2}, held=None, stop=False)
        >>> edit_of({"lr": 0.1, "hold": ["lr"]}, {"lr": 0.1})
        Edit(settings={'lr': 0.1}, held=['lr'], stop=False)
    """
    held = now.get("hold", [])
    newly = {*held} - {*before.get("hold", [])}
    return Edit(
        settings={
            name: value
            for name, value in now.items()
            if name not in ("hold", "stop")
            and (before.get(name) != value or name in newly)
        },
        held=list(held) if held != before.get("hold", []) else None,
        stop=bool(now.get("stop")) and not before.get("stop"),
    )


def said(edit: Mapping[str, Any]) -> str:
    """An edit of the history in the words of the file.

    Example:
        >>> said({"lr": 0.1, "hold": ["lr"], "stop": True})
        'lr = 0.1, hold = ["lr"], stop = true'
    """
    return ", ".join(f"{name} = {json.dumps(value)}" for name, value in edit.items())


def content(path: Path, before: str | None = None) -> str:
    """The file's text; empty where there is none.

    Args:
        path: The file.
        before: What it said; a text that has changed is waited for until nobody seems
            to be writing it any more.

    Raises:
        ConfigError: It is no text.
    """
    text = _read(path)
    for _ in range(_MOST_WAITS):
        if text == before or before is None:
            break
        time.sleep(_STEADY if text.strip() else _EMPTY)
        was, text = text, _read(path)
        if text == was:
            break
    return text


def _read(path: Path) -> str:
    try:
        # Some editors begin a file with a mark that it is UTF-8.
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{FILE} must be a text, got: {one_line(str(error))}"
        ) from None


def _checked(name: str, value: Any, knob: Knob) -> float:
    scale = knob.scale
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # Compared, not converted: a whole number may be too large for a float.
    if not is_number or not abs(value) <= sys.float_info.max:
        got = one_line(repr(value)[:_SHOWN])
        raise ConfigError(f"{FILE}: {name} must be a number, got {got}")
    if not scale.low <= value <= scale.high:
        raise ConfigError(
            f"{FILE}: {name} must be between {scale.low:g} and {scale.high:g}, "
            f"got {value:g}"
        )
    return float(value)


def _check_held(value: Any, knobs: Mapping[str, Knob]) -> None:
    names = value if isinstance(value, list) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f'{FILE}: hold must be a list of names such as ["lr"], got {value!r}'
        )
    for name in names:
        if name not in knobs:
            got = one_line(name[:_SHOWN])
            raise ConfigError(
                f'{FILE}: hold must name hyperparameters, got "{got}"'
                f"{did_you_mean(name, knobs)}"
            )
