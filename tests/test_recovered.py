"""What a journal and its copy tell together."""

from __future__ import annotations

from typing import Any

import pytest

from tunekit.lines import opened, sealed
from tunekit.recovered import Recovered, recovered

STUDY = {"study_name": "s", "directions": [1]}


def line(op_code: int, **more: Any) -> bytes:
    return sealed({"op_code": op_code, "worker_id": "w", **more})


def making(number: int) -> bytes:
    return line(4, study_id=0, datetime_start=None, trial_id=number)


def report(number: int, step: int) -> bytes:
    return line(7, trial_id=number, step=step, intermediate_value=1 / step)


FIRST = line(0, **STUDY)
LINES = [FIRST, making(0), report(0, 1), making(1), report(1, 1), report(0, 2)]
WHOLE = b"".join(LINES)


@pytest.mark.parametrize("kept", range(len(LINES) + 1))
def test_a_copy_may_lack_the_end(kept: int) -> None:
    copy = b"".join(LINES[:kept])
    assert recovered(WHOLE, copy, STUDY) == Recovered(WHOLE)
    assert recovered(WHOLE + b'{"op', copy, STUDY) == Recovered(WHOLE, torn=True)


@pytest.mark.parametrize("i", range(len(LINES)))
def test_a_line_that_is_lost_comes_from_the_copy(i: int) -> None:
    spoilt = b"#" * (len(LINES[i]) - 1) + b"\n"
    damaged = b"".join([*LINES[:i], spoilt, *LINES[i + 1 :]])
    gone = b"".join(LINES[:i] + LINES[i + 1 :])
    for journal in (damaged, gone):
        assert recovered(journal, WHOLE, STUDY) == Recovered(WHOLE, damaged=True)
    # What the copy has not got yet is the journal's.
    more = report(1, 2)
    assert recovered(damaged + more, WHOLE, STUDY).lines == WHOLE + more
    # A copy that is damaged itself is of no account.
    assert recovered(WHOLE, damaged, STUDY) == Recovered(WHOLE, stale=True)


def test_of_two_that_are_damaged_each_gives_what_it_has() -> None:
    for i in range(len(LINES)):
        for j in range(len(LINES)):
            one, two = ([*LINES] for _ in range(2))
            one[i], two[j] = (b"#" * (len(LINES[k]) - 1) + b"\n" for k in (i, j))
            found = recovered(b"".join(one), b"".join(two), STUDY)
            assert found.damaged
            assert (found.lines == WHOLE) == (i != j)


def test_a_report_that_is_lost_takes_those_after_it() -> None:
    lines = [*LINES, report(0, 3), report(1, 2)]
    lines[5] = b"##\n"
    found = recovered(b"".join(lines), b"", STUDY)
    assert found.again == [0]
    logs = [opened(each) for each in found.lines.splitlines(keepends=True)]
    reports = [(log["trial_id"], log["step"]) for log in logs if log and "step" in log]
    assert reports == [(0, 1), (1, 1), (1, 2)]


def test_a_trial_that_is_lost_keeps_its_number() -> None:
    lines = [*LINES]
    lines[1] = b"##\n"
    found = recovered(b"".join(lines), b"", STUDY)
    assert found.again == [0]
    logs = [opened(each) for each in found.lines.splitlines(keepends=True)]
    made = [log["trial_id"] for log in logs if log and log["op_code"] == 4]
    assert made == [0, 1]
    assert all(log and log.get("trial_id") != 0 for log in logs[2:])


def test_without_numbers_nothing_after_a_loss_is_anybodys() -> None:
    bare = line(4, study_id=0, datetime_start=None)
    found = recovered(FIRST + bare + b"##\n" + bare + report(1, 1), b"", STUDY)
    assert b'"step"' not in found.lines
    assert found.lines.count(b'"op_code":4') == 1


def test_nothing_at_all_begins_with_the_study() -> None:
    assert recovered(b"", b"", STUDY) == Recovered(b"")
    found = recovered(bytes(500), b"", STUDY)
    assert found.damaged
    log = opened(found.lines.splitlines(keepends=True)[0])
    assert log is not None
    assert {name: log[name] for name in STUDY} == STUDY
