"""Trials that kill their processes, and those that are only there when it happens."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from forked import python
from optuna.trial import FrozenTrial, TrialState

import tunekit
from tunekit.store import Store, settings_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")

CODE = """
import os, signal, sys
from pathlib import Path
import tunekit
folder, poison, at, in_flight, kills = Path(sys.argv[1]), *map(int, sys.argv[2:])

def make(params):
    made = 0
    for epoch in range(1, 7):
        if params["x"] == poison and epoch == at:
            os.kill(os.getpid(), signal.SIGKILL)
        if params["x"] == 0 and kills and epoch == 2:
            # Somebody kills the process, so many times, whatever it trains.
            seen = folder / "seen"
            seen.write_text(seen.read_text() + "x" if seen.exists() else "x")
            if len(seen.read_text()) <= kills:
                os.kill(os.getpid(), signal.SIGKILL)
        yield params["x"] + 1 / epoch

tunekit.tune(
    make, {"x": tunekit.IntUniform(0, 99)}, max_epochs=6, n_trials=6, pruner="none",
    enqueue=[{"x": n} for n in range(6)], in_flight=in_flight, out=folder, name="s",
)
"""


def run(folder: Path, poison: int, at: int, in_flight: int, kills: int = 0) -> int:
    words = [str(folder), *map(str, (poison, at, in_flight, kills))]
    return python("-c", CODE, *words, cwd=folder.parent).returncode


def trials(folder: Path) -> list[FrozenTrial]:
    assert settings_of(folder / "s")
    return Store(folder / "s").trials()


@pytest.mark.parametrize(("at", "in_flight", "deaths"), [(1, 4, 5), (3, 1, 3)])
def test_a_trial_that_kills_its_process_fails_alone(
    tmp_path: Path, at: int, in_flight: int, deaths: int
) -> None:
    codes = [run(tmp_path, 2, at, in_flight) for _ in range(deaths + 1)]
    assert codes == [-9] * deaths + [0]
    found = trials(tmp_path)
    assert len(found) == 6
    for trial in found:
        if trial.params["x"] != 2:
            assert trial.state == TrialState.COMPLETE
            assert trial.value == trial.params["x"] + 1 / 6
            continue
        assert trial.state == TrialState.FAIL
        told = f"its process ended {deaths} times while it was trained"
        assert trial.user_attrs["error"] == told
        assert trial.user_attrs["epochs"] == len(trial.intermediate_values) == at - 1
    assert not [*(tmp_path / "s" / "leases").glob("*-0*")]


def test_those_that_were_killed_beside_it_end_as_without_it(tmp_path: Path) -> None:
    """Killed at one epoch three times, thus tried alone: nothing comes to differ."""
    assert [run(tmp_path / "a", 99, 1, 4, kills=3) for _ in range(4)] == [-9] * 3 + [0]
    assert run(tmp_path / "b", 99, 1, 4) == 0
    one, other = trials(tmp_path / "a"), trials(tmp_path / "b")
    for a, b in zip(one, other, strict=True):
        assert (a.state, a.params, a.value) == (b.state, b.params, b.value)
        assert a.intermediate_values == b.intermediate_values
        unlike = {"seconds"}
        assert {k: v for k, v in a.user_attrs.items() if k not in unlike} == {
            k: v for k, v in b.user_attrs.items() if k not in unlike
        }
    first, second = (Store(tmp_path / n / "s").order() for n in "ab")
    assert first == second


def test_an_interruption_is_no_death(tmp_path: Path) -> None:
    """Stopped politely again and again, a trial is never given up."""

    def make(params: dict[str, int]) -> list[float]:
        raise KeyboardInterrupt

    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            tunekit.tune(
                make,
                {"x": tunekit.IntUniform(0, 99)},
                max_epochs=6,
                n_trials=1,
                out=tmp_path,
                name="s",
            )
    done = tunekit.tune(
        lambda params: [1.0] * 6,
        {"x": tunekit.IntUniform(0, 99)},
        max_epochs=6,
        n_trials=1,
        out=tmp_path,
        name="s",
    )
    assert [t.state for t in done.study.trials] == [TrialState.COMPLETE]
