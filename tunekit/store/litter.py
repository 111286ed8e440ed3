"""What killed processes left half-written in a study's folder, removed."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

from tunekit.files import UNFINISHED
from tunekit.process import is_gone

__all__ = ["sweep"]

_OLD_SECONDS = 86400.0
"""Nobody is still writing a file that was last written so long ago."""
_MODEL = ".model-"
"""How folders begin that a model is written to before it takes its place."""


def sweep(folder: Path) -> None:
    """Remove files whose writing was cut short; none that a process may still write.

    A model that was being replaced stays where no other one is in its place.

    Args:
        folder: A study's.
    """
    for part in (folder, folder / "checkpoints", folder / "leases"):
        for path in part.glob(f"{UNFINISHED}*"):
            if _is_left(path, path.name.removeprefix(UNFINISHED)):
                with suppress(OSError):
                    path.unlink()
    if (folder / "model").exists():
        for path in folder.glob(f"{_MODEL}*"):
            if _is_left(path, path.name.removeprefix(_MODEL)):
                shutil.rmtree(path, ignore_errors=True)


def _is_left(path: Path, signed: str) -> bool:
    try:
        old = time.time() - path.lstat().st_mtime > _OLD_SECONDS
    except OSError:
        return False
    return old or is_gone(signed)
