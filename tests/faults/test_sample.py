"""A sample of the faults that ``experiments/03-nothing-is-lost`` tries in full.

In a process of its own without threads: it forks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from forked import python

RUN = Path(__file__).parents[2] / "experiments" / "03-nothing-is-lost" / "run.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are forked"),
]


def measured(part: str, out: Path) -> dict[str, Any]:
    """What a part came to; all that it says, where anything failed."""
    words = ("--quick", "--part", part, "--out", str(out))
    done = python(str(RUN), *words, cwd=out, warn="default", timeout=400)
    report = out / "report.json"
    found = json.loads(report.read_text("utf-8"))[part] if report.exists() else {}
    assert done.returncode == 0, (found.get("faults"), done.stdout, done.stderr)
    assert found["faults"] == []
    return dict(found)


def test_killed_at_random_moments_a_study_goes_on(tmp_path: Path) -> None:
    alone, beside = measured("kills", tmp_path)["runs"]
    assert (alone["kills"], beside["kills"]) == (2, 1)
    assert alone["same values"] == alone["studies"] > 0
    for run in (alone, beside):
        assert run["studies"] > 0
        assert run["left running"] == run["twice"] == run["other than 40 trials"] == 0


def test_every_kind_of_file_is_recovered_or_refused_in_one_line(tmp_path: Path) -> None:
    kinds = measured("damage", tmp_path)["kinds"]
    assert len(kinds) == 11
    for kind, of in kinds.items():
        for what, found in of.items():
            assert sum(found.values()) == 2, (kind, what)
            assert found.keys() <= {"recovered", "one line"}, (kind, what)
    for kind in ("journal.log", "journal.copy", "checkpoints/*", "leases/*", "tb/*"):
        for found in kinds[kind].values():
            assert found == {"recovered": 2}


def test_odd_tables_and_configurations_are_taken_or_refused(tmp_path: Path) -> None:
    found = measured("fuzz", tmp_path)
    assert found["codes"].keys() == {"0", "2"}
    assert sum(found["codes"].values()) == 60
    assert found["codes"]["0"] >= 15
    assert sum(found["trained"].values()) == 4
