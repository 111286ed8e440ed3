"""What a journal tells, though it was damaged: a pure function of it and its copy.

    journal.log         all lines, each with a checksum
    journal.copy        the same lines, the last ones of which may be missing

A damaged line is taken from the copy. Where the copy is damaged at the same place, or
there is none, a line of which one byte has changed is repaired by its checksum. Others
are lost; :mod:`tunekit.patched` says what becomes of the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunekit.lines import CREATES, Operation, is_whole, opened, repaired, sealed
from tunekit.patched import patched

__all__ = ["Recovered", "recovered"]


@dataclass(frozen=True)
class Recovered:
    """The lines that a journal should hold, and what was wrong with it.

    Attributes:
        lines: Whole lines, each of which can be read.
        damaged: Whether they are other lines than the journal's.
        torn: Whether the journal only ends within a line, which is left out.
        stale: Whether it is the copy alone that is damaged.
        again: Numbers of the trials that were put back to an earlier epoch.
    """

    lines: bytes
    damaged: bool = False
    torn: bool = False
    stale: bool = False
    again: Sequence[int] = ()


def recovered(journal: bytes, copy: bytes, study: Mapping[str, Any]) -> Recovered:
    r"""All that a journal and its copy still tell.

    Args:
        journal: The content of ``journal.log``.
        copy: That of ``journal.copy``; nothing where there is none.
        study: ``study_name`` and ``directions``, should the first line be lost.

    Example:
        >>> about = {"study_name": "s", "directions": [1]}
        >>> line = sealed({"op_code": 0, "worker_id": "w", **about})
        >>> recovered(line + b"{", line, about) == Recovered(line, torn=True)
        True
        >>> recovered(b"\0" * 99, line, about) == Recovered(line, damaged=True)
        True
    """
    whole = journal[: journal.rfind(b"\n") + 1]
    # Bytes without any line were not torn: there is no telling what they held.
    if (whole or not journal) and _in_order(whole):
        torn = whole != journal
        if whole.startswith(copy):
            return Recovered(whole, torn=torn)
        if len(copy) <= len(whole) and not all(map(is_whole, _split(copy))):
            return Recovered(whole, torn=torn, stale=True)
    entries = _merged(journal, copy)
    if None not in entries:
        lines = b"".join(filter(None, entries))
        if lines and _in_order(lines):
            return Recovered(lines, damaged=True)
    logs = [opened(line) if line is not None else None for line in entries]
    told, again = patched(logs, study)
    return Recovered(b"".join(map(sealed, told)), damaged=True, again=again)


def _split(content: bytes) -> list[bytes]:
    """Lines with their ends; the last one may have none."""
    *lines, rest = content.split(b"\n")
    return [line + b"\n" for line in lines] + ([rest] if rest else [])


def _in_order(content: bytes) -> bool:
    """Whether all lines are as they were written, and none that makes a trial lacks."""
    n_trials = 0
    for i, line in enumerate(_split(content)):
        if not is_whole(line):
            return False
        if i == 0 or line.startswith(CREATES):
            log = opened(line) or {}
            if i == 0 and log["op_code"] != Operation.CREATE_STUDY:
                return False
            if log["op_code"] == Operation.CREATE_TRIAL:
                if log.get("trial_id", n_trials) != n_trials:
                    return False
                n_trials += 1
    return True


def _merged(journal: bytes, copy: bytes) -> list[bytes | None]:
    """The whole lines of both; None wherever some are lost."""
    entries: list[bytes | None] = []
    spare = _split(copy)
    if spare and all(map(is_whole, spare)):
        # The copy is what was written; of the journal, what the copy has not yet got.
        known = set(spare)
        entries += spare
        start = 0
        for line in _split(journal):
            if line not in known:
                if is_whole(line):
                    entries.append(line)
                elif start >= len(copy) and line.endswith(b"\n"):
                    entries.append(None)
            start += len(line)
        return entries
    found: dict[int, bytes] = {}
    for content in (copy, journal):
        start = 0
        for line in _split(content):
            if is_whole(line):
                found[start] = line
            elif (once := repaired(line)) is not None:
                found.setdefault(start, once)
            start += len(line)
    end = 0
    for start in sorted(found):
        if start >= end:
            if start > end:
                entries.append(None)
            entries.append(found[start])
            end = start + len(found[start])
    if end <= max(journal.rfind(b"\n"), copy.rfind(b"\n")):
        entries.append(None)
    return entries
