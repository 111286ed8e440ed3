"""The folder of a study: looked for, refused, made, written to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tunekit.errors import ConfigError, StoppedError, one_line
from tunekit.files import UNFINISHED, write_sealed, write_toml
from tunekit.store.same import check_same

__all__ = ["check_place", "create", "exists", "writing"]


def exists(folder: Path) -> bool:
    """Whether ``folder`` holds a study."""
    try:
        return (folder / "study.toml").is_file()
    except OSError:  # such as a name too long: making it will say so
        return False


def check_place(folder: Path) -> None:
    """Refuse a place where :func:`create` could not make a folder.

    Raises:
        ConfigError: If something is in the way.
    """
    above = folder
    try:
        while not above.exists():
            above = above.parent
        possible = above.is_dir() and os.access(above, os.W_OK)
    except OSError:
        possible = False
    if not possible:
        raise ConfigError(
            f"{folder} must be a folder that can be written, and {above} is none; "
            "choose another --out"
        )


def create(
    folder: Path, settings: Mapping[str, Any], described: Mapping[str, Any]
) -> None:
    """Make the folder of a new study.

    Args:
        folder: Where; parents are made.
        settings: Every setting, plain values.
        described: What was read, and the split.

    Raises:
        ConfigError: If the folder cannot be written, or holds something else.
        ResumeError: If it holds another study.
    """
    wanted = [folder / part for part in ("leases", "checkpoints", "tb")]
    split = folder / "split.json"
    missing: list[Path] = []
    try:
        if exists(folder):  # another command has just made it
            return check_same(folder, settings, described)
        found = [path.name for path in folder.iterdir()] if folder.exists() else []
        if "journal.log" in found:
            raise ConfigError(
                f"{folder} holds the trials of a study, but no study.toml; restore "
                "that from a copy, or choose another --name"
            )
        # A study whose making was cut short is made again; all else is not ours.
        leftovers = {split.name, *(path.name for path in wanted)}
        foreign = sorted(name for name in found if name not in leftovers)
        foreign = [name for name in foreign if not name.startswith(UNFINISHED)]
        if foreign:
            raise ConfigError(
                f"{folder} must be new or a study, got a folder with other files "
                f"({one_line(foreign[0])}); choose another --name"
            )
        ours = [split, *wanted, folder, *folder.parents]
        missing += [path for path in ours if not path.exists()]
        for path in wanted:
            path.mkdir(parents=True, exist_ok=True)
        write_sealed(split, described)
        write_toml(folder / "study.toml", settings)
    except OSError as error:
        for path in missing:
            with suppress(OSError):
                path.unlink() if path == split else path.rmdir()
        why = error.strerror or str(error)
        raise ConfigError(
            f"{folder} must be a folder that can be written, got: {why}; "
            "choose another --out"
        ) from None


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Storage that cannot be written stops the study, in one line; it fails no trial.

    Optuna's journal answers a failed write with the error, or with a failed assertion.
    """
    try:
        yield
    except (OSError, AssertionError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise StoppedError(
            f"{folder} must be writable, got: {why}; make room or mend that, and run "
            "the same command again: what was recorded is kept"
        ) from error
