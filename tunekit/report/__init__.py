"""Telling what happened: ``report.json`` and ``report.html``, from a study's folder.

Nothing is kept in memory between a study and its report, so that a report can be made
again at any time: ``python -m tunekit.report runs/digits``.
"""

from __future__ import annotations

from tunekit.interrupt import is_command

is_command(__name__)  # before the rest is imported

import json
from pathlib import Path
from typing import Any

from tunekit.files import write_text
from tunekit.report.html import render
from tunekit.report.numbers import build

__all__ = ["build", "render", "renew", "write"]


def write(folder: Path, into: Path | None = None) -> dict[str, Any]:
    """Write ``report.json`` and ``report.html`` of a study.

    Each file is replaced whole: a reader sees the old one or the new one.

    Args:
        folder: A study folder, finished or not.
        into: Where they are written; into the study's folder when None.

    Returns:
        What ``report.json`` holds.

    Raises:
        ConfigError: The folder is no study.
        DataError: One of its files is damaged.
        OSError: The files cannot be written.
    """
    report = build(folder)
    _write(into or folder, _files(report))
    return report


def renew(folder: Path) -> tuple[dict[str, Any], bool]:
    """Write the report's files again where one is missing, damaged or out of date.

    Args:
        folder: A study folder, finished or not.

    Returns:
        What ``report.json`` holds, and whether the files were written.

    Raises:
        ConfigError: The folder is no study.
        DataError: One of its files is damaged.
        OSError: The files cannot be written.
    """
    report = build(folder)
    # A study that was moved, or is named by another path, has the same report.
    files = _files(report | {"folder": _told_folder(folder) or report["folder"]})
    stale = any(_text(folder / name) != text for name, text in files.items())
    if stale:
        _write(folder, _files(report))
    return report, stale


def _files(report: dict[str, Any]) -> dict[str, str]:
    """The text of each file."""
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    return {"report.json": text + "\n", "report.html": render(report)}


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        write_text(folder / name, text)


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, ValueError):
        return None


def _told_folder(folder: Path) -> str | None:
    """By which path the report that is there calls its folder."""
    try:
        told = json.loads(_text(folder / "report.json") or "null")["folder"]
    except (ValueError, TypeError, KeyError):
        return None
    return told if isinstance(told, str) else None
