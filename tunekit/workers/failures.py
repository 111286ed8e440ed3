"""Failures in a row: whether trials fail for one reason, and which.

They are counted in the study, not in a process: workers share the count, and a study
that goes on and fails again stops at once. "In a row" is without a trial that ended
otherwise in between, which each failure says of itself: it carries how many had.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tunekit.errors import one_line
from tunekit.limit import TookLongerError

__all__ = ["common_cause", "described", "in_a_row"]

_ENDED = "ended_otherwise"
"""User attribute of a failed trial: trials that had ended otherwise by then."""
_LONGEST_REASON = 300


def described(error: Exception, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    r"""What a trial carries that fails now: its reason in one line, and its place.

    Args:
        error: What it failed with.
        trials: All trials, before this one ends.

    Example:
        >>> described(ValueError("shapes differ\nat length"), [])
        {'error': 'ValueError: shapes differ', 'ended_otherwise': 0}
    """
    name, lines = type(error).__name__, str(error).strip().splitlines()
    reason = f"{name}: {lines[0]}" if lines else name
    if isinstance(error, TookLongerError):
        reason = str(error)
    reason = one_line(reason)[:_LONGEST_REASON]
    return {"error": reason, _ENDED: _ended_otherwise(trials)}


def in_a_row(trials: Sequence[FrozenTrial]) -> list[str]:
    """The reasons of the trials that have failed since one ended otherwise."""
    known = _ended_otherwise(trials)
    return [
        str(trial.user_attrs.get("error"))
        for trial in trials
        if trial.state is TrialState.FAIL and trial.user_attrs.get(_ENDED) == known
    ]


def common_cause(reasons: Sequence[str]) -> str:
    """The commonest of these reasons; those that differ in numbers alone are one.

    Args:
        reasons: At least one.

    Example:
        >>> common_cause(["no 1 file", "no memory", "no 22 files", "no 3 file"])
        '2 of 4: no 3 file'
    """
    alike = [re.sub(r"\d+", "0", reason) for reason in reasons]
    [(most, n)] = Counter(alike).most_common(1)
    latest = max(place for place, each in enumerate(alike) if each == most)
    return f"{n} of {len(reasons)}: {reasons[latest]}"


def _ended_otherwise(trials: Sequence[FrozenTrial]) -> int:
    return sum(t.state.is_finished() and t.state is not TrialState.FAIL for t in trials)
