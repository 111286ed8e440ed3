"""What a journal tells, though it was damaged: a pure function of it and its copy.

    journal.log         all lines, each with a checksum
    journal.copy    the same lines, the last ones of which may be missing

A damaged line is taken from the copy. Where the copy is damaged at the same place, or
there is none, lines are lost, and nobody knows of which trial: then every trial that
was open at that place goes back to what was told of it before, and is trained again
from there. It comes to the same values, since its random streams depend on it alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunekit.lines import CREATES, Operation, is_whole, opened, sealed

__all__ = ["Recovered", "recovered"]

_ENDED = {1, 2, 3}
"""Optuna's states COMPLETE, PRUNED and FAIL."""
_WORKER = "mended"


@dataclass(frozen=True)
class Recovered:
    """The lines that a journal should hold, and what was wrong with it.

    Attributes:
        lines: Whole lines, each of which can be read.
        damaged: Whether they are other lines than the journal's.
        torn: Whether the journal only ends within a line, which is left out.
        again: Numbers of the trials that were put back to an earlier epoch.
    """

    lines: bytes
    damaged: bool = False
    torn: bool = False
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
    if (whole or not journal) and whole.startswith(copy) and _in_order(whole):
        return Recovered(whole, torn=whole != journal)
    entries = _merged(journal, copy)
    if None not in entries:
        lines = b"".join(filter(None, entries))
        if lines and _in_order(lines):
            return Recovered(lines, damaged=True)
    lines, again = _put_back(entries, study)
    return Recovered(lines, damaged=True, again=again)


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


def _put_back(
    entries: Sequence[bytes | None], study: Mapping[str, Any]
) -> tuple[bytes, list[int]]:
    """Lines without those that nobody can rely on, and the trials that go back."""
    logs = [opened(line) if line is not None else None for line in entries]
    logs = logs[: _readable(logs)]
    if not logs or logs[0] is None or logs[0]["op_code"] != Operation.CREATE_STUDY:
        about = {"op_code": int(Operation.CREATE_STUDY), "worker_id": _WORKER, **study}
        logs.insert(0, about)
    made, ended, lost = _lives(logs)
    n_trials = 1 + max((_trial(log) for log in logs if log), default=-1)
    n_trials = max(n_trials, len(made))
    # A trial's lines count up to the first place after its making where some are lost.
    until: dict[int, float] = {}
    for number in range(n_trials):
        if number not in made:
            until[number] = -1
            continue
        first = next((i for i in lost if i > made[number]), math.inf)
        over = first == math.inf or first > ended.get(number, math.inf)
        until[number] = math.inf if over else first
    again = [number for number, last in until.items() if last < math.inf]
    told: list[Mapping[str, Any]] = []
    aimed: set[int] = set()
    n_made, numbers = 0, {i: number for number, i in made.items()}
    for i, log in enumerate(logs):
        if log is None:
            continue
        number = _trial(log)
        if log["op_code"] == Operation.CREATE_TRIAL:
            if i not in numbers:
                continue  # told twice
            number = numbers[i]
            while n_made < number:
                told.append(_stand_in(n_made, log))
                n_made += 1
            n_made += 1
        elif number >= 0 and i >= until[number]:
            continue
        if _aim(log) is not None:
            aimed.add(number)
        told.append(log)
    model = next((log for log in logs if log and "datetime_start" in log), {})
    told += [_stand_in(number, model) for number in range(n_made, n_trials)]
    # Where a trial begins: the first aim there was is that of all new ones.
    aim = next((_aim(log) for log in logs if log and _aim(log) is not None), None)
    if aim is not None:
        told += [
            _attribute("trial_id", number, Operation.TRIAL_USER_ATTR, "to_epoch", aim)
            for number in again
            if number not in aimed
        ]
    told.append(_attribute("study_id", 0, Operation.STUDY_USER_ATTR, "finished", False))
    return b"".join(map(sealed, told)), again


def _readable(logs: Sequence[Mapping[str, Any] | None]) -> int:
    """How many logs can be told apart by trial.

    After a loss, the trials of lines that do not say their number are anybody's.
    """
    lost = None
    for i, log in enumerate(logs):
        if log is None:
            lost = i if lost is None else lost
            continue
        unnamed = log["op_code"] == Operation.CREATE_TRIAL and "trial_id" not in log
        if unnamed and lost is not None:
            return lost
    return len(logs)


def _lives(
    logs: Sequence[Mapping[str, Any] | None],
) -> tuple[dict[int, int], dict[int, int], list[float]]:
    """Where each trial is made and ended, and where lines are lost."""
    made: dict[int, int] = {}
    ended: dict[int, int] = {}
    lost: list[float] = []
    n_trials, last = 0, -1
    for i, log in enumerate(logs):
        if log is None:
            lost.append(i)
        elif log["op_code"] == Operation.CREATE_TRIAL:
            number = log.get("trial_id", n_trials)
            if number > n_trials and not (lost and lost[-1] > last):
                lost.append(i - 0.5)  # without a trace
            if number >= n_trials:
                made[number] = last = i
                n_trials = number + 1
                if log.get("state") in _ENDED:
                    ended[number] = i
        elif log["op_code"] == Operation.TRIAL_STATE and log["state"] in _ENDED:
            ended.setdefault(log["trial_id"], i)
    return made, ended, lost


def _trial(log: Mapping[str, Any]) -> int:
    """The trial that a log tells of; -1 where it is the study."""
    number: int = log.get("trial_id", -1)
    return number


def _aim(log: Mapping[str, Any]) -> int | None:
    """How far a trial is to be trained, where a log says so."""
    told = log.get("user_attr") or log.get("user_attrs") or {}
    aim: int | None = told.get("to_epoch")
    return aim


def _stand_in(number: int, like: Mapping[str, Any]) -> dict[str, Any]:
    """A trial of which all is lost: with this, the later ones keep their numbers."""
    return {
        "op_code": int(Operation.CREATE_TRIAL),
        "worker_id": _WORKER,
        "study_id": like.get("study_id", 0),
        "datetime_start": like.get("datetime_start"),
        "trial_id": number,
    }


def _attribute(
    whose: str, number: int, operation: Operation, name: str, value: Any
) -> dict[str, Any]:
    return {
        "op_code": int(operation),
        "worker_id": _WORKER,
        whose: number,
        "user_attr": {name: value},
    }
