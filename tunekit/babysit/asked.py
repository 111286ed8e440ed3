"""What a call from Python asks for, checked before any work is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunekit.babysit.course import Rules
from tunekit.babysit.folder import Folder
from tunekit.babysit.nowhere import Nowhere
from tunekit.babysit.nudges import Knob, Settings
from tunekit.babysit.steer import FILE, content, template
from tunekit.config import check_name
from tunekit.errors import ConfigError, ResumeError, SpaceError
from tunekit.store import other_name

__all__ = ["checked_start", "kept_in", "place_of", "settings_of"]


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


def place_of(out: str | Path | None, name: str | None) -> Path | None:
    """The model's folder; None where it is to be in memory."""
    if out is None:
        return None
    if not name:
        raise ConfigError("name must be given where out is, got none")
    check_name(name)
    return Path(out) / name


def settings_of(
    space: Mapping[str, Any],
    start: Settings,
    monitor: str,
    direction: str,
    seed: int,
    rules: Rules,
) -> dict[str, Any]:
    """All that a model which goes on must have been begun with, plain."""
    return {
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


@contextmanager
def kept_in(
    path: Path | None, settings: Mapping[str, Any]
) -> Iterator[Folder | Nowhere]:
    """Where all is kept, while nobody else trains there.

    Args:
        path: The folder, which is made where there is none; None for memory.
        settings: What :func:`settings_of` gives.

    Raises:
        ConfigError: It cannot be made.
        ResumeError: It holds another model, or another process trains that.
    """
    if path is None:
        yield Nowhere()
        return
    folder = Folder(path)
    if not folder.exists:
        folder.create(settings, None)
    with folder.alone():
        _go_on(folder, settings)
        yield folder


def _go_on(folder: Folder, settings: Mapping[str, Any]) -> None:
    """Refuse a model that was begun otherwise, unless nothing of it was trained."""
    before = folder.settings()
    changed = [
        key
        for key in sorted({*settings, *before})
        if before.get(key) != settings.get(key)
    ]
    if not changed:
        return
    is_module = "start" in before
    if is_module and folder.stand() is None and not folder.lines.size:
        # An earlier call was wrong. What is half done was begun by that.
        for path in (folder.path / "checkpoints").iterdir():
            path.unlink()
        steer = folder.path / FILE
        if content(steer) == template(before["start"]):
            steer.unlink()
        folder.widen(settings)
        return
    key = changed[0]
    raise ResumeError(
        f'the model "{folder.path.name}" was begun with {key} {before.get(key)}, now '
        f"{settings.get(key)}",
        other_name(folder.path),
    )
