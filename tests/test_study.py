"""The main job from Python: its result, its interruption, where it can be called."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from optuna.trial import TrialState
from rich.console import Console

import tunekit
from tunekit import study as study_module
from tunekit.budget import epochs_of
from tunekit.config import Config
from tunekit.data import Table
from tunekit.errors import ResumeError, StoppedError
from tunekit.fit import LightningEngine
from tunekit.predict import Predictor
from tunekit.store import Store
from tunekit.study.clock import Clock
from tunekit.trial import Fitted, Run, State

SMALL: dict[str, Any] = {
    "n_trials": 2,
    "max_epochs": 3,
    "final_seeds": 1,
    "space": {"width": "8..16", "n_layers": 1, "batch_size": 32},
}


@pytest.fixture
def csv(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 150))
    frame = pd.DataFrame({"x": x, "z": z, "y": np.where(x + 0.3 * z > 0, "up", "down")})
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    return str(path)


@pytest.fixture
def options(csv: str, tmp_path: Path) -> dict[str, Any]:
    return {**SMALL, "data": csv, "target": "y", "out": str(tmp_path / "runs")}


def quiet() -> Console:
    return Console(file=StringIO(), width=100, highlight=False)


def run(options: dict[str, Any], **more: Any) -> tunekit.Result:
    return tunekit.run(Config(**{**options, **more}), console=quiet())


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Whatever happens, Ctrl-C is everyone else's again."""
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    yield
    after = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    assert after == before


# --- the result -----------------------------------------------------------------------


def test_everything_in_the_result_is_what_stands_in_the_folder(
    options: dict[str, Any], tmp_path: Path
) -> None:
    result = run(options, n_trials=3)
    folder = tmp_path / "runs" / "table"
    assert result.folder == folder
    assert result.report == json.loads((folder / "report.json").read_text())
    assert result.study.study_name == "table"
    stored = Store(folder).trials()
    assert [t.number for t in result.study.trials] == [t.number for t in stored]
    assert len(stored) == 3

    lowest = {t.number: min(t.intermediate_values.values()) for t in stored}
    best = min(lowest, key=lambda number: (lowest[number], number))
    assert result.best_value == lowest[best]
    assert result.report["best"]["number"] == best
    assert result.best_params == stored[best].user_attrs["params"]
    assert "one_minus_beta1" not in result.best_params

    frame = result.trials
    assert list(frame)[:5] == ["number", "state", "value", "epochs", "seconds"]
    assert frame["number"].tolist() == [0, 1, 2]
    assert frame["value"].tolist() == [lowest[n] for n in range(3)]
    assert frame["epochs"].tolist() == [len(t.intermediate_values) for t in stored]
    assert (frame["seconds"] > 0).all()
    for trial in stored:
        row = frame.loc[trial.number]
        for name, value in trial.user_attrs["params"].items():
            assert row[name] == value

    epochs = [epochs for epochs, _ in result.history]
    losses = [loss for _, loss in result.history]
    assert epochs == sorted(set(epochs))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == result.best_value
    assert epochs[-1] <= epochs_of(stored)
    assert stored[0].user_attrs["params"]["lr"] == 3e-3  # the default recipe is first

    rows = pd.read_csv(options["data"])
    test = json.loads((folder / "split.json").read_text())["test"]
    wrong = Predictor.load(folder).predict(rows.iloc[test]) != rows["y"].iloc[test]
    assert wrong.mean() == result.report["model"]["error"]


def test_no_test_row_is_asked_for_while_the_search_goes_on(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    asked: list[list[str]] = []
    real_train, real_rows = LightningEngine.train_until, Table.test_rows

    def train(self: LightningEngine, run: Run, on_epoch: Any) -> Fitted | State:
        trained.append(run.key)
        return real_train(self, run, on_epoch)

    def rows(self: Table) -> Any:
        asked.append([*trained])
        return real_rows(self)

    monkeypatch.setattr(LightningEngine, "train_until", train)
    monkeypatch.setattr(Table, "test_rows", rows)
    run(options, engine="lightning")
    assert asked[0] == [
        "trial-0",
        "trial-1",
        "trial-0",
        "final-0",
        "baseline",
    ]


def test_twice_in_one_process(options: dict[str, Any], tmp_path: Path) -> None:
    first = run(options)
    stamp = (first.folder / "report.json").stat().st_mtime_ns
    again = run(options)  # finished: nothing is done anew
    assert (first.folder / "report.json").stat().st_mtime_ns == stamp
    assert again.report == first.report
    assert again.best_params == first.best_params
    pd.testing.assert_frame_equal(again.trials, first.trials)

    other = run(options, name="other")
    assert other.folder == tmp_path / "runs" / "other"
    drop = ["seconds"]
    pd.testing.assert_frame_equal(
        other.trials.drop(columns=drop), first.trials.drop(columns=drop)
    )
    assert other.report["test"] == first.report["test"]

    more = run(options, n_trials=3)
    assert len(more.trials) == 3
    pd.testing.assert_frame_equal(more.trials[:2][list(first.trials)], first.trials)


def test_more_final_seeds_judge_anew_but_search_no_more(
    options: dict[str, Any],
) -> None:
    first = run(options)
    again = run(options, final_seeds=2)
    assert again.report["test"]["seeds"] == 2
    pd.testing.assert_frame_equal(again.trials, first.trials)


def test_refusals_are_errors_of_the_house(options: dict[str, Any]) -> None:
    run(options)
    with pytest.raises(ResumeError, match=r'such as name="table-2"$'):
        run(options, seed=1)
    with pytest.raises(tunekit.DataError):
        run(options, target="nope")
    with pytest.raises(tunekit.ConfigError):
        run(options, space={"lr": "1..0"})


def test_a_study_without_one_finite_loss_stops_in_one_line(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(self: LightningEngine, run: Run, on_epoch: Any) -> Fitted:
        return Fitted(curve=[], best_epoch=0, weights={}, diverged=True)

    monkeypatch.setattr(LightningEngine, "train_until", train)
    with pytest.raises(StoppedError) as caught:
        run(options, engine="lightning")
    assert "\n" not in str(caught.value)
    assert "none of 2 trials had one" in str(caught.value)


def test_where_all_trials_fail_the_reason_is_told(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr("tunekit.vectorized.shard.Member", broken)
    with pytest.raises(StoppedError) as caught:
        run(options, n_trials=2, in_flight=1)
    told = str(caught.value)
    assert "all of 2 did, the last with: RuntimeError: no such kernel" in told


def test_a_dry_run_writes_nothing(options: dict[str, Any], tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    console = quiet()
    study_module.dry_run(Config(**options), console=console)
    assert sorted(tmp_path.rglob("*")) == before
    assert isinstance(console.file, StringIO)
    assert "nothing was written" in console.file.getvalue()


# --- interruption ---------------------------------------------------------------------


def when(ready: Callable[[], bool], act: Callable[[], None]) -> threading.Thread:
    """Do something from another thread, as soon as there is reason to."""

    def wait() -> None:
        deadline = time.monotonic() + 240
        while not ready() and time.monotonic() < deadline:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def has_epochs(folder: Path, n: int) -> Callable[[], bool]:
    journal = folder / "journal.log"

    def ready() -> bool:
        return journal.exists() and journal.read_text().count('"step"') >= n

    return ready


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
@pytest.mark.parametrize("how", ["kill", "raise_signal"])
def test_ctrl_c_is_a_keyboard_interrupt_and_the_next_call_goes_on(
    options: dict[str, Any], tmp_path: Path, how: str
) -> None:
    whole = run(options, name="whole", max_epochs=8, n_trials=3)
    folder = tmp_path / "runs" / "broken"

    def act() -> None:
        if how == "kill":
            os.kill(os.getpid(), signal.SIGINT)
        else:
            signal.raise_signal(signal.SIGINT)

    thread = when(has_epochs(folder, 6), act)
    with pytest.raises(KeyboardInterrupt) as caught:
        run(options, name="broken", max_epochs=8, n_trials=3)
    thread.join()
    assert str(caught.value) == "SIGINT"
    assert caught.value.__suppress_context__
    trials = Store(folder).trials()
    assert epochs_of(trials) >= 6
    assert not [*(folder / "leases").glob("trial-*")]
    assert not (folder / "report.json").exists()
    assert Store(folder).study.user_attrs["seconds"] > 0

    ended = run(options, name="broken", max_epochs=8, n_trials=3)
    assert ended.report["trials"]["running"] == 0
    drop = ["seconds"]
    pd.testing.assert_frame_equal(
        ended.trials.drop(columns=drop), whole.trials.drop(columns=drop)
    )
    assert ended.report["test"] == whole.report["test"]
    states = {t.state for t in ended.study.trials}
    assert states <= {TrialState.COMPLETE, TrialState.PRUNED}


def test_from_another_thread(options: dict[str, Any]) -> None:
    found: list[Any] = []

    def call() -> None:
        try:
            found.append(run(options))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(240)
    assert isinstance(found[0], tunekit.Result), found
    assert len(found[0].trials) == 2
    # And then from the main one, on the same study.
    assert len(run(options, n_trials=3).trials) == 3


# --- as in a notebook -----------------------------------------------------------------


def executed(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Cells without a file, with every warning an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_where_there_is_no_file_but_an_event_loop(
    options: dict[str, Any], tmp_path: Path
) -> None:
    cell = f"""
    import asyncio, tunekit
    assert "__file__" not in globals()
    async def run_cell():
        return tunekit.run(tunekit.Config(**{options!r}))
    result = asyncio.run(run_cell())
    print(len(result.trials), result.best_value > 0)
    """
    code = f"exec(compile({textwrap.dedent(cell)!r}, '<cell 1>', 'exec'), {{}})"
    done = executed(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "2 True"


def test_errors_carry_no_terminal_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("x,\x1b[31my\n" + "1,a\n2,b\n" * 20)
    assert study_module.main(["--data", "t.csv", "--target", "\x1b[2Jz"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert "\\x1b[31my" in err


def test_a_report_that_was_not_written_any_more_is_written(
    options: dict[str, Any],
) -> None:
    first = run(options)
    page = first.folder / "report.html"
    (first.folder / "report.json").unlink()
    page.unlink()
    assert run(options).report == first.report
    assert json.loads((first.folder / "report.json").read_text()) == first.report
    assert page.exists()


# --- a time limit ---------------------------------------------------------------------


def shares(limit: float, started: float) -> list[float]:
    """Seconds for search, winner and report, if the start took so long."""
    now = time.monotonic()
    clock = Clock(now - started, limit)
    clock.share_out()
    assert clock.search_until is not None
    final_until = time.monotonic() + clock.seconds_left()
    ends = [now, clock.search_until, final_until, now - started + limit]
    return [after - before for before, after in itertools.pairwise(ends)]


@pytest.mark.parametrize(
    ("limit", "started", "expected"),
    [
        (20, 1, [15, 2, 2]),  # two seconds each at the end
        (60, 8, [40, 6, 6]),  # a slow start foretells a slow end
        (20, 8, [6, 3, 3]),  # but half of what it leaves is the search's
        (20, 16, [2, 1, 1]),
        (5, 1, [2, 1, 1]),
        (8.5, 0.5, [4, 2, 2]),
        (20, 20.5, [-0.5, 0, 0]),
        (20, 30, [-10, 0, 0]),  # nothing is left to share
    ],
)
def test_a_time_limit_is_shared_however_slow_the_start_was(
    limit: float, started: float, expected: list[float]
) -> None:
    # The clock goes on while we compute: on a busy machine for a moment.
    assert shares(limit, started) == pytest.approx(expected, abs=0.2)


def test_without_a_time_limit_nothing_is_kept_back() -> None:
    clock = Clock(time.monotonic() - 8, None)
    clock.share_out()
    assert clock.search_until is None
    assert clock.search_seconds_left is None
    assert clock.seconds_left() == math.inf


def test_earlier_calls_count_in_the_total() -> None:
    clock = Clock(time.monotonic() - 8, None)
    clock.before = 30.0
    assert clock.total == pytest.approx(38, abs=0.2)
