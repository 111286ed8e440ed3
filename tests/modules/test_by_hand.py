"""A sample of what ``experiments/04-anybodys-module`` measures in full.

In a process of its own: it forks, for which it must have no threads.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUN = Path(__file__).parents[2] / "experiments" / "04-anybodys-module" / "run.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="files are read from /proc"),
]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("out")
    done = subprocess.run(
        [sys.executable, str(RUN), "--quick", "--part", "search", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    found = json.loads((out / "report.json").read_text("utf-8"))["search"]
    assert found["faults"] == []
    return dict(found["scripts"])


def test_a_search_takes_fewer_lines_than_by_hand(scripts: dict[str, Any]) -> None:
    assert scripts["by tunekit"]["lines"] <= scripts["by hand"]["lines"] / 2


def test_a_killed_search_loses_no_trial_and_comes_to_the_same(
    scripts: dict[str, Any],
) -> None:
    kills = scripts["by tunekit"]["kills"]
    assert kills["kills"] == 1
    assert kills["lost trials"] == 0
    assert kills["reached"] == kills["same values"] == kills["studies"] > 0


def test_nothing_is_left_in_the_process(scripts: dict[str, Any]) -> None:
    nothing: dict[str, Any] = {"open files": {}, "processes": {}}
    assert scripts["by tunekit"]["workers"]["left"] == nothing
    # And what is left would be seen: by hand, the database is open.
    assert scripts["by hand"]["workers"]["left"] != nothing


def test_the_best_weights_are_handed_over(scripts: dict[str, Any]) -> None:
    for run in scripts["by tunekit"]["whole"]:
        assert run["the model has it"]
        assert run["it is the lowest of all epochs"]
