"""What a call from Python asks for, checked before any work is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunekit.babysit.course import Rules
from tunekit.babysit.folder import Folder
from tunekit.babysit.nowhere import Nowhere
from tunekit.babysit.nudges import Knob, Settings
from tunekit.config import check_name
from tunekit.errors import ConfigError, ResumeError, SpaceError
from tunekit.store import other_name

__all__ = ["checked_start", "kept_in"]


def checked_start(
    knobs: Mapping[str, Knob], start: Mapping[str, float], hold: Sequence[str]
) -> Settings:
    """The settings to begin with, in the order of the space."""
    if set(start) != set(knobs):
        raise SpaceError(
            f"start must have a value for each of {', '.join(knobs) or 'no'} "
            f"hyperparameters in space, got {', '.join(start) or 'none'}"
        )
    for name, knob in knobs.items():
        value = start[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SpaceError(f'start "{name}" must be a number, got {value!r}')
        if not knob.scale.low <= value <= knob.scale.high:
            raise SpaceError(
                f'start "{name}" must be between {knob.scale.low:g} and '
                f"{knob.scale.high:g}, got {value:g}"
            )
    for name in hold:
        if name not in knobs:
            raise ConfigError(f'hold must name what is in space, got "{name}"')
    return {name: float(start[name]) for name in knobs}


def kept_in(
    out: str | Path | None,
    name: str | None,
    space: Mapping[str, Any],
    start: Settings,
    monitor: str,
    direction: str,
    seed: int,
    rules: Rules,
) -> Folder | Nowhere:
    """Where all is kept; a folder that holds another model is refused."""
    if out is None:
        return Nowhere()
    if not name:
        raise ConfigError("name must be given where out is, got none")
    check_name(name)
    folder = Folder(Path(out) / name)
    settings: dict[str, Any] = {
        "monitor": monitor,
        "direction": direction,
        "seed": seed,
        "start": start,
        "space": {key: scale.as_setting() for key, scale in space.items()},
        "interval": rules.interval,
        "burst": rules.burst,
        "nudges": rules.nudges,
        "patience": rules.patience,
    }
    if not folder.exists:
        folder.create(settings, None)
        return folder
    before = folder.settings()
    for key in sorted({*settings, *before}):
        if before.get(key) != settings.get(key):
            raise ResumeError(
                f'the model "{name}" was begun with {key} {before.get(key)}, now '
                f"{settings.get(key)}",
                other_name(folder.path),
            )
    return folder
