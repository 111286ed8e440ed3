"""Whether a folder holds the very study that is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunekit.errors import ResumeError
from tunekit.files import read_toml, unsealed

__all__ = [
    "DEFINING",
    "FREED",
    "check_same",
    "in_few_words",
    "other_name",
    "settings_of",
]

DEFINING = (
    "target",
    "drop",
    "split",
    "max_epochs",
    "patience",
    "sampler",
    "pruner",
    "seed",
    "monitor",
    "direction",
    "enqueue",
    "warm_start",
)
"""Settings that cannot change within a study, beside its data and its space."""
FREED = "freed"
"""The study's user attribute: hyperparameters that were fixed when it was made."""


def settings_of(folder: Path) -> dict[str, Any]:
    """What a folder's ``study.toml`` says.

    Raises:
        ResumeError: If there is none, or it cannot be read.
    """
    path = folder / "study.toml"
    try:
        return read_toml(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ResumeError(
            f"{folder} must be a study folder, got no study.toml"
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ResumeError(
            f"{path} must be readable TOML, got: {why}; restore it from a copy",
            other_name(folder),
        ) from None


def check_same(
    folder: Path, settings: Mapping[str, Any], described: Mapping[str, Any]
) -> None:
    """Refuse to go on with other data, another space or another search.

    Raises:
        ResumeError: One line, with what differs and a name that is free.
    """
    before = settings_of(folder)
    differs = ""
    try:
        data = unsealed(json.loads((folder / "split.json").read_text("utf-8")))
    except (OSError, ValueError):
        raise ResumeError(
            f"{folder / 'split.json'} must be as it was written, and is damaged; "
            "restore it from a copy",
            other_name(folder),
        ) from None
    if data.get("fingerprint") != described["fingerprint"]:
        differs = f"other data ({data.get('source')}, now {described['source']})"
    for name in DEFINING:
        new = settings.get(name)
        # Folders of before it was recorded may go on.
        old = before.get(name, new if name == "monitor" else None)
        if not differs and old != new:
            differs = (
                f"{name.replace('_', '-')} {in_few_words(old)}, now {in_few_words(new)}"
            )
    old_space, new_space = before.get("space", {}), settings.get("space", {})
    for name in [*new_space, *old_space]:
        old, new = old_space.get(name), new_space.get(name)
        if not differs and old != new:
            differs = (
                f"another space ({name} {in_few_words(old)}, now {in_few_words(new)})"
            )
    if differs:
        raise ResumeError(
            f'the study "{folder.name}" was made with {differs}', other_name(folder)
        )


def in_few_words(value: Any) -> str:
    """A setting in few words."""
    if isinstance(value, Mapping):
        return f"{value.get('low')}..{value.get('high')} ({value.get('scale')})"
    if isinstance(value, list):
        return "/".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
    return "not set" if value is None else str(value)


def other_name(folder: Path) -> str:
    """A study name that is not taken."""
    n = 2
    while (folder.parent / f"{folder.name}-{n}").exists():
        n += 1
    return f"{folder.name}-{n}"
