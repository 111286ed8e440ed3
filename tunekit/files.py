"""Files that are either there whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunekit.process import signature

__all__ = [
    "UNFINISHED",
    "allow_many",
    "read_sealed",
    "read_toml",
    "unsealed",
    "write_bytes",
    "write_json",
    "write_sealed",
    "write_text",
    "write_toml",
]

UNFINISHED = ".tunekit-"
"""How the names of files begin whose writing was cut short."""

_SEAL = "checksum"
_TOML_SEAL = "# sha256 of what follows: "
_MANY = 8192
"""Files open at once: two for each open trial, and some for the rest."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file through a temporary one beside it, fsync and rename.

    A file that is replaced keeps its permissions; a new one gets the usual ones (the
    umask). Missing parents are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A short name of its own: what is beside ``path`` may be longer than it may.
    temporary = path.with_name(f"{UNFINISHED}{signature()}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, whole or not at all; line ends stay as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON (no NaN), readable, whole or not at all."""
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n")


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write strict JSON with a checksum of itself, whole or not at all."""
    write_json(path, {**value, _SEAL: _checksum(value)})


def read_sealed(text: str) -> dict[str, Any]:
    """What :func:`write_sealed` wrote, if nothing of it has changed since.

    Args:
        text: The content of the file.

    Raises:
        ValueError: If it is damaged.

    Example:
        >>> read_sealed('{"a": 1}')
        Traceback (most recent call last):
        ...
        ValueError: it does not fit its checksum
    """
    found = json.loads(text)
    seal = found.pop(_SEAL, None) if isinstance(found, dict) else None
    if seal is None or seal != _checksum(found):
        raise ValueError("it does not fit its checksum")
    return dict(found)


def unsealed(found: Any) -> dict[str, Any]:
    """What was written, without its checksum, if it has one, and that is right.

    Args:
        found: As it was read; without a checksum, an earlier version wrote it.

    Raises:
        ValueError: If it is no table, or damaged.

    Example:
        >>> unsealed({"a": 1, "checksum": "0"})
        Traceback (most recent call last):
        ...
        ValueError: it does not fit its checksum
    """
    if not isinstance(found, dict):
        raise ValueError("not a table")
    rest = {name: value for name, value in found.items() if name != _SEAL}
    if found.get(_SEAL, _checksum(rest)) != _checksum(rest):
        raise ValueError("it does not fit its checksum")
    return rest


def write_toml(path: Path, value: Mapping[str, Any]) -> None:
    """Write TOML below a comment with its checksum, whole or not at all."""
    import tomli_w

    text = tomli_w.dumps(value)
    write_text(path, f"{_TOML_SEAL}{_digest(text)}\n{text}")


def read_toml(text: str) -> dict[str, Any]:
    r"""What :func:`write_toml` wrote, if nothing of it has changed since.

    Args:
        text: The content of the file; without that comment, it is read as it is.

    Raises:
        ValueError: If it is damaged.

    Example:
        >>> read_toml("n_trials = 30")
        {'n_trials': 30}
        >>> read_toml("# sha256 of what follows: 0\nn_trials = 30")
        Traceback (most recent call last):
        ...
        ValueError: it does not fit its checksum; if you edited it, delete line 1
    """
    first, _, rest = text.partition("\n")
    if first.startswith(_TOML_SEAL) and first[len(_TOML_SEAL) :] != _digest(rest):
        raise ValueError(
            "it does not fit its checksum; if you edited it, delete line 1"
        )
    found = tomllib.loads(text)
    if not found:
        raise ValueError("it is empty")  # or cut off within its first line
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _checksum(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, allow_nan=False, sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def allow_many() -> None:
    """Let this process have as many files open as the system lets it.

    Every open trial holds two, and many systems begin with a limit of 256 or 1,024.
    """
    try:
        import resource
    except ImportError:  # not on Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MANY if hard == resource.RLIM_INFINITY else min(hard, _MANY)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
