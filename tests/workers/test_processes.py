"""Workers in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from forked import python
from made_up import reopen
from optuna.trial import FrozenTrial, TrialState

from tunekit.budget import epochs_of
from tunekit.config import Config
from tunekit.space import Space
from tunekit.store import Store, check_same, settings_of
from tunekit.workers import Setup, Worker, stop


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A study of small, slow trials on the embedded table."""
    config = Config(
        out=str(tmp_path),
        n_trials=50,
        max_epochs=300,
        patience=300,
        pruner="none",
        sampler="random",
        space={"width": 8, "n_layers": 1, "batch_size": 32},
    )
    setup = Setup.of(config)
    Store.create(config.folder, setup.settings, setup.table.describe())
    setup.open()
    return config.folder


def wait_for(condition: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def trials_of(folder: Path) -> list[FrozenTrial]:
    return reopen(folder).trials()


def taken_up(store: Store, space: Space) -> list[int]:
    """The numbers of all trials that nobody holds; they are ours then."""

    def one() -> int | None:
        trial = store.next_trial(lambda trials, step: False, space.suggest)
        return None if trial is None else trial.number

    return [*iter(one, None)]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_a_worker_that_is_stopped_can_be_followed_by_another(digits: Path) -> None:
    worker = Worker.start(digits, 1, {})
    wait_for(lambda: epochs_of(trials_of(digits)) >= 2 or worker.code is not None)
    assert worker.code is None, worker.last_words()
    began = time.monotonic()
    stop([worker], patience=60)
    assert time.monotonic() - began < 50
    assert worker.process.returncode == 143
    store = reopen(digits)
    running = [t.number for t in store.trials() if t.state == TrialState.RUNNING]
    assert len(running) == 8
    # Nobody holds them: we can take them up, with what they have.
    space = Setup.of(Config.from_mapping(store.settings)).space
    assert taken_up(store, space) == running
    store.release_all()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_a_worker_whose_parent_is_gone_stops(tmp_path: Path) -> None:
    config = Config(
        out=str(tmp_path),
        n_trials=500,
        max_epochs=2,
        pruner="none",
        sampler="random",
        space={"width": 8, "n_layers": 1, "batch_size": 256},
    )
    setup = Setup.of(config)
    Store.create(config.folder, setup.settings, setup.table.describe())
    setup.open()
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tunekit.workers import Worker\n"
        "worker = Worker.start(Path(sys.argv[1]), 1, {})\n"
        "print(worker.process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(config.folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    try:
        wait_for(lambda: epochs_of(trials_of(config.folder)) >= 2)
        parent.kill()
        parent.communicate()
        wait_for(lambda: not alive(pid), 240)
    finally:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    trials = trials_of(config.folder)
    assert 0 < len(trials) < 500
    # Those it was training are nobody's now, and can be taken up.
    running = [t.number for t in trials if t.state == TrialState.RUNNING]
    assert len(running) <= 8
    store = reopen(config.folder)
    assert taken_up(store, setup.space) == running
    store.release_all()


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    return state != "Z"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "must be a study folder"),
        ([], "folder"),
        (["nowhere", "--treads", "2"], 'did you mean "threads"'),
    ],
)
def test_a_worker_says_in_one_line_what_is_wrong(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = python("-m", "tunekit.workers", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not [*tmp_path.iterdir()]


def test_a_worker_refuses_a_table_that_has_changed(tmp_path: Path) -> None:
    csv = tmp_path / "t.csv"
    csv.write_text("x,y\n" + "1,a\n2,b\n" * 20)
    config = Config(data=str(csv), target="y", out=str(tmp_path / "runs"), n_trials=1)
    setup = Setup.of(config)
    Store.create(config.folder, setup.settings, setup.table.describe())
    csv.write_text("x,y\n" + "1,a\n3,b\n" * 20)
    worker = Worker.start(config.folder, 1, {})
    assert worker.process.wait(60) == 2
    assert "other data" in worker.last_words()
    worker.close()
    assert not (config.folder / "journal.log").exists()


def test_settings_written_down_are_the_settings_of_a_worker(tmp_path: Path) -> None:
    """Whatever was asked for, the folder alone makes the same study again."""
    for split in ("60/20/20", "17/7/3", "1/1/1", "0.7/0.2/0.1", "8/7/3"):
        config = Config(
            out=str(tmp_path / split.replace("/", "-")),
            split=split,
            space={"lr": "1e-3..1e-2", "width": 8},
        )
        setup = Setup.of(config)
        Store.create(config.folder, setup.settings, setup.table.describe())
        read = settings_of(config.folder)
        again = Setup.of(
            Config.from_mapping({**read, "out": config.out, "name": config.name})
        )
        assert again.settings == setup.settings == read
        check_same(config.folder, again.settings, again.table.describe())
