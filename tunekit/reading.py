"""A journal read and never written: any Optuna storage can be built on what it tells.

A damaged one is read as :mod:`tunekit.recovered` says; the folder stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend
from optuna.study import StudyDirection

from tunekit.files import read_toml
from tunekit.lines import creations, opened
from tunekit.recovered import Recovered, recovered

__all__ = ["COPY", "JOURNAL", "Reading", "look"]

JOURNAL, COPY = "journal.log", "journal.copy"


class Reading(BaseJournalBackend):
    """The logs in a study folder, as they are when it is made.

    Args:
        folder: The study's.

    Raises:
        OSError: If the journal cannot be read.
        ValueError: If it is damaged, and tells of no trial any more.
    """

    def __init__(self, folder: Path) -> None:
        found = look(folder)
        if found.damaged:
            if not creations(found.lines):
                raise ValueError("none of its lines is whole")
            logging.getLogger("tunekit").warning(
                "%s is damaged, read as far as it can be%s; running the study's "
                "command again mends it",
                folder / JOURNAL,
                f", {len(found.again)} trials only in part" if found.again else "",
            )
        lines = found.lines.splitlines(keepends=True)
        self._logs = [log for log in map(opened, lines) if log is not None]

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Everything from this log on."""
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Refused.

        Raises:
            PermissionError: Always.
        """
        raise PermissionError("a journal that is only read must not be written")


def look(folder: Path) -> Recovered:
    """What a folder's journal and its copy tell together.

    Raises:
        OSError: If the journal cannot be read.
    """
    try:
        # First: while somebody writes, it may lack what the journal has, never more.
        copy = (folder / COPY).read_bytes()
    except OSError:
        copy = b""
    journal = (folder / JOURNAL).read_bytes()
    return recovered(journal, copy, _about(folder))


def _about(folder: Path) -> Mapping[str, Any]:
    """What the first line of a journal says, by what else the folder holds."""
    try:
        settings = read_toml((folder / "study.toml").read_text("utf-8"))
    except (OSError, ValueError):
        settings = {}
    maximize = settings.get("direction") == "maximize"
    direction = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
    return {"study_name": folder.name, "directions": [direction.value]}
