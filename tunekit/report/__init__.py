"""Telling what happened: ``report.json`` and ``report.html``, from a study's folder.

Nothing is kept in memory between a study and its report, so that a report can be made
again at any time: ``python -m tunekit.report runs/digits``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tunekit.files import write_text
from tunekit.report.html import render
from tunekit.report.numbers import build

__all__ = ["build", "render", "write"]


def write(folder: Path) -> dict[str, Any]:
    """Write ``report.json`` and ``report.html`` into a study folder.

    Each file is replaced whole: a reader sees the old one or the new one.

    Args:
        folder: A study folder, finished or not.

    Returns:
        What ``report.json`` holds.

    Raises:
        ConfigError: The folder is no study.
        DataError: One of its files is damaged.
        OSError: The files cannot be written.
    """
    report = build(folder)
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    page = render(report)
    write_text(folder / "report.json", text + "\n")
    write_text(folder / "report.html", page)
    return report
