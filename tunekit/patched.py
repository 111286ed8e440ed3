"""The logs of a journal of which some are lost, so that all that is left is true.

Nobody knows what the lost ones told. What is left shows which trials lack something:

- one whose making is lost gets a stand-in, so that later ones keep their numbers;
- one that may lack a hyperparameter is begun anew;
- one whose reports have a hole keeps those before it, and one that has ended, but with
  fewer reports than it says or without saying what it came to, has not ended.

Such trials are RUNNING and nobody's: the next worker trains them again, from their last
state before the hole. Their values are the same, since their random streams depend on
them alone; what is decided of them is decided anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunekit.lines import Operation

__all__ = ["patched"]

Log = Mapping[str, Any]

_FAIL = 3
_ENDED = {1, 2, _FAIL}
"""Optuna's states COMPLETE, PRUNED and FAIL."""
_WORKER = "mended"


@dataclass
class _Life:
    """What is left of a trial.

    Attributes:
        made: The place of the log that made it; None where that is lost.
        until: Its logs from this place on do not count.
        steps: Epochs reported.
        first: The place of its first report, or of its end.
        told: The user attributes told of it.
        state: How it ended; 0 while it had not.
    """

    made: int | None = None
    until: float = math.inf
    steps: set[int] = field(default_factory=set)
    first: float = math.inf
    told: dict[str, Any] = field(default_factory=dict)
    state: int = 0

    @property
    def reached(self) -> int:
        """Epochs reported before the first hole."""
        epoch = 0
        while epoch + 1 in self.steps:
            epoch += 1
        return epoch

    @property
    def lacks(self) -> bool:
        """Whether it has to be trained again in part."""
        if self.made is None or self.until < math.inf:
            return True
        reports = max(self.steps, default=0)
        if self.reached < max(reports, self.told.get("epochs") or 0):
            return True
        # What every trial of ours says at its end; another program's never does.
        missing = {"best_val_loss", "stopped"} - self.told.keys()
        return self.state in _ENDED - {_FAIL} and 0 < len(missing) < 2


def patched(
    logs: Sequence[Log | None], study: Mapping[str, Any]
) -> tuple[list[Log], list[int]]:
    """Logs that can be relied on, and the numbers of the trials to be trained again.

    Args:
        logs: In their order; None for each place where some are lost.
        study: ``study_name`` and ``directions``, should the first log be lost.

    Example:
        >>> made = {"op_code": 4, "study_id": 0, "datetime_start": None}
        >>> about = {"study_name": "s", "directions": [1]}
        >>> logs = [{"op_code": 0, **about}, None, {**made, "trial_id": 1}]
        >>> told, again = patched(logs, about)
        >>> [log.get("trial_id") for log in told], again
        ([None, 0, 1, None], [0])
    """
    left = [*logs[: _readable(logs)]]
    if not left or left[0] is None or left[0]["op_code"] != Operation.CREATE_STUDY:
        about = {"op_code": int(Operation.CREATE_STUDY), "worker_id": _WORKER, **study}
        left.insert(0, about)
    lives, lost = _lives(left)
    for life in lives:
        # Between its making and its first report a hyperparameter may be lost.
        early = (
            p for p in lost if life.made is not None and life.made < p < life.first
        )
        life.until = next(early, math.inf)
    again = [number for number, life in enumerate(lives) if life.lacks]
    told: list[Log] = []
    aimed: set[int] = set()
    n_made = 0
    for i, log in enumerate(left):
        if log is None:
            continue
        number = _trial(log)
        if log["op_code"] == Operation.CREATE_TRIAL:
            number = n_made if number < 0 else number
            if lives[number].made != i:
                continue  # told twice
            told += [_stand_in(each, log) for each in range(n_made, number)]
            n_made = number + 1
        elif number >= 0 and not _counts(log, i, lives[number]):
            continue
        if _aim(log) is not None:
            aimed.add(number)
        told.append(log)
    like: Log = next((log for log in left if log and "datetime_start" in log), {})
    told += [_stand_in(number, like) for number in range(n_made, len(lives))]
    # How far a new trial is trained: the first of these was one.
    aim = next((_aim(log) for log in left if log and _aim(log) is not None), None)
    told += [
        _attribute(Operation.TRIAL_USER_ATTR, "trial_id", number, {"to_epoch": aim})
        for number in again
        if number not in aimed and aim is not None
    ]
    unfinished = {"finished": False}
    told.append(_attribute(Operation.STUDY_USER_ATTR, "study_id", 0, unfinished))
    return told, again


def _readable(logs: Sequence[Log | None]) -> int:
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


def _lives(logs: Sequence[Log | None]) -> tuple[list[_Life], list[float]]:
    """What is left of each trial, and the places where logs are lost."""
    found: dict[int, _Life] = {}
    lost: list[float] = []
    n_trials, last = 0, -1
    for i, log in enumerate(logs):
        if log is None:
            lost.append(i)
            continue
        number, operation = _trial(log), log["op_code"]
        if operation == Operation.CREATE_TRIAL:
            number = n_trials if number < 0 else number
            if number < n_trials:
                continue  # told twice
            if number > n_trials and not (lost and lost[-1] > last):
                lost.append(i - 0.5)  # without a trace
            n_trials, last = number + 1, i
        if number < 0:
            continue
        life = found.setdefault(number, _Life())
        if operation == Operation.CREATE_TRIAL:
            life.made = i
        life.told |= log.get("user_attr") or log.get("user_attrs") or {}
        steps = {int(step) for step in log.get("intermediate_values", ())}
        steps |= {log["step"]} if operation == Operation.TRIAL_REPORT else set()
        life.steps |= steps
        life.state = log.get("state") or life.state
        if steps or life.state in _ENDED:
            life.first = min(life.first, i)
    numbers = range(max(found, default=-1) + 1)
    return [found.get(number, _Life()) for number in numbers], lost


def _counts(log: Log, place: int, life: _Life) -> bool:
    """Whether what a log tells of a trial still holds."""
    if life.made is None or place >= life.until:
        return False
    if not life.lacks:
        return True
    if log["op_code"] == Operation.TRIAL_STATE:
        return log["state"] not in _ENDED
    if log["op_code"] == Operation.TRIAL_REPORT:
        return bool(log["step"] <= life.reached)
    return "stopped" not in log.get("user_attr", ())


def _trial(log: Log) -> int:
    """The trial that a log tells of; -1 where it is the study, or does not say."""
    number: int = log.get("trial_id", -1)
    return number


def _aim(log: Log) -> int | None:
    """How far a trial is to be trained, where a log says so."""
    told = log.get("user_attr") or log.get("user_attrs") or {}
    aim: int | None = told.get("to_epoch")
    return aim


def _stand_in(number: int, like: Log) -> Log:
    """A trial whose making is lost."""
    return {
        "op_code": int(Operation.CREATE_TRIAL),
        "worker_id": _WORKER,
        "study_id": like.get("study_id", 0),
        "datetime_start": like.get("datetime_start"),
        "trial_id": number,
    }


def _attribute(
    operation: Operation, whose: str, number: int, told: Mapping[str, Any]
) -> Log:
    return {
        "op_code": int(operation),
        "worker_id": _WORKER,
        whose: number,
        "user_attr": told,
    }
