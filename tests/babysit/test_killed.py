"""Killed at any moment, a babysat model comes to what it would have come to."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tunekit.babysit import rounds as babysit_rounds
from tunekit.babysit.folder import Folder

from .child import run
from .conftest import SMALL, Call, Undisturbed, came_to, one_line

posix = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
PRELOADED = ["tunekit.babysit.job", "tunekit.vectorized", "tunekit.workers.setup"]
PRELOADED += ["tunekit.winner.judge", "tunekit.vectorized.shard"]
BUDGET = ["--budget-epochs", "60", "--interval", "3"]


class Killed(BaseException):
    """The process is gone."""


def arguments(table_csv: Path, runs: Path, name: str) -> list[str]:
    data = ["--data", str(table_csv), "--target", "kind"]
    return [*data, "--out", str(runs), "--name", name, *SMALL, *BUDGET]


@posix
def test_killed_five_times_it_ends_as_if_never_killed(
    call: Call, runs: Path, table_csv: Path, undisturbed: Undisturbed
) -> None:
    whole = came_to(undisturbed(BUDGET))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    given, folder = arguments(table_csv, runs, "killed"), Folder(runs / "killed")
    rng, seen = random.Random(0), []
    for kill in range(1, 6):
        process = context.Process(target=run, args=(given,))
        process.start()
        deadline = time.monotonic() + 120
        # Somewhere within each sixth of its rounds.
        while len(folder.history()) < len(whole[0]) * kill // 6:
            assert process.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        seen.append(len(folder.history()))
    assert seen == sorted(seen)
    assert seen[-1] < len(whole[0])
    assert call(*BUDGET, name="killed") == 0
    assert came_to(runs / "killed") == whole
    assert not [*(runs / "killed").rglob(".tunekit-*")]


@pytest.mark.parametrize("after", [False, True])
def test_gone_at_any_write_it_ends_as_if_it_never_was(
    call: Call,
    runs: Path,
    after: bool,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = came_to(undisturbed(BUDGET))
    monkeypatch.setattr(babysit_rounds, "_KEEP_SECONDS", 0.0)
    rng, real, left, kills = random.Random(int(after)), os.fsync, [0], 0

    def fsync(handle: int) -> None:
        if after:
            real(handle)
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    while True:
        left[0] = rng.randint(5, 40)
        try:
            assert call(*BUDGET, name="killed") == 0
        except Killed:
            kills += 1
        else:
            break
    assert kills >= 5
    assert came_to(runs / "killed") == whole


@posix
@pytest.mark.parametrize(("signum", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_stopped_by_a_signal_the_same_command_goes_on(
    call: Call,
    runs: Path,
    table_csv: Path,
    signum: str,
    code: int,
    undisturbed: Undisturbed,
) -> None:
    whole = came_to(undisturbed(BUDGET))
    given = arguments(table_csv, runs, "stopped")
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tunekit.babysit", *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    folder = Folder(runs / "stopped")
    deadline = time.monotonic() + 120
    while len(folder.history()) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(getattr(signal, signum))
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.strip() == (
        f"stopped; all is kept in {folder.path}, and the same command goes on"
    )
    assert len(folder.history()) < len(whole[0])
    assert call(*BUDGET, name="stopped") == 0
    assert came_to(runs / "stopped") == whole


def test_two_processes_do_not_train_one_model(
    call: Call, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--budget-epochs", "3") == 0
    before = came_to(runs / "model")
    capsys.readouterr()
    with Folder(runs / "model").alone():
        assert call("--budget-epochs", "9") == 2
    line = one_line(capsys)
    assert "is being trained by another process" in line
    assert "--name model-2" in line
    assert came_to(runs / "model") == before
    assert call("--budget-epochs", "9") == 0
