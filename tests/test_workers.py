"""The loop of a search, with an engine of a few lines and no network."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from tunekit.budget import Budget, best_of, epochs_of
from tunekit.config import PRUNERS, SAMPLERS, Config
from tunekit.errors import StoppedError
from tunekit.search import pruner, sampler
from tunekit.seeds import seed_for
from tunekit.space import Space, recipe_space
from tunekit.store import Store, check_same, settings_of
from tunekit.trial import Fitted, Metrics, OnEpoch, Recipe, Run
from tunekit.workers import Setup, Worker, stop, work

ATTRIBUTES = {
    "best_val_loss",
    "best_val_score",
    "best_epoch",
    "engine",
    "epochs",
    "seconds",
    "params",
}
VARIED = {"lr": "1e-4..1e-1", "optimizer": "sgd,adam", "width": "16..64"}


def narrow() -> Space:
    """Five hyperparameters, one of them conditional and stored as a gap."""
    fixed = {
        name: getattr(Recipe(), name)
        for name in recipe_space({}).scales
        if name not in {*VARIED, "momentum"}
    }
    return recipe_space({**fixed, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, **VARIED})


class Killed(BaseException):
    """The process is gone."""


class Curves:
    """An engine whose losses are a formula of recipe, key and epoch."""

    name = "curves"

    def __init__(self, loss: Callable[[Run, int], float] | None = None) -> None:
        self.loss = loss or self.smooth
        self.epochs = 0
        """Epochs trained, again or not."""
        self.asked: list[str] = []

    @staticmethod
    def smooth(run: Run, epoch: int) -> float:
        noise = seed_for(run.seed, run.key, epoch) / 2**63
        away = abs(math.log10(run.recipe.lr) + 2) + abs(run.recipe.momentum - 0.9)
        return 0.1 + away + 2.0 / epoch + 0.2 * noise + run.recipe.width / 1000

    def event(self, run: Run, epoch: int, before: bool) -> None:
        """For those who want to be there."""

    def train(self, run: Run, on_epoch: OnEpoch) -> Fitted:
        self.asked.append(run.key)
        curve: list[Metrics] = []
        best, best_epoch, diverged = math.inf, 0, False
        for epoch in range(1, run.max_epochs + 1):
            self.event(run, epoch, before=True)
            self.epochs += 1
            loss = self.loss(run, epoch)
            curve.append(Metrics(loss, loss, 0.5, 1 / (1 + loss), 1e-3, 0.0))
            if math.isfinite(loss) and loss < best:
                best, best_epoch = loss, epoch
            diverged = not math.isfinite(loss)
            go_on = on_epoch(epoch, curve[-1])
            self.event(run, epoch, before=False)
            if not go_on or diverged or epoch - best_epoch >= run.patience:
                break
        return Fitted(curve=curve, best_epoch=best_epoch, weights={}, diverged=diverged)


def create(folder: Path, **options: Any) -> Path:
    config = Config(
        **{"sampler": "random", "pruner": "none", "max_epochs": 6, **options}
    )
    settings = {**config.as_settings(), "space": narrow().as_settings()}
    Store.create(folder, settings, {"fingerprint": "x", "source": "x"})
    return folder


def reopen(folder: Path) -> Store:
    """As a new process would."""
    settings = settings_of(folder)
    return Store(
        folder,
        sampler(
            settings["sampler"],
            narrow(),
            defaults=Recipe().as_dict(),
            seed=settings["seed"],
            n_trials=settings.get("n_trials"),
        ),
        pruner(settings["pruner"], settings["max_epochs"]),
    )


def search(store: Store, engine: Curves, budget: Budget, **extra: Any) -> None:
    work(store, engine, narrow(), budget, **extra)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = reopen(create(tmp_path / "s"))
    yield made
    made.release_all()


def leases(store: Store) -> list[str]:
    return [path.name for path in (store.folder / "leases").glob("trial-*")]


def timeless(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "value": trial.value,
        "params": trial.params,
        "curve": trial.intermediate_values,
        "rungs": {k: v for k, v in trial.system_attrs.items() if "rung" in k},
        "attrs": {k: v for k, v in trial.user_attrs.items() if k != "seconds"},
    }


# --- how trials end -------------------------------------------------------------------


def test_complete_trials_carry_everything(store: Store) -> None:
    heard: list[FrozenTrial] = []
    search(store, Curves(), Budget(n_trials=4), on_end=heard.append)
    trials = store.trials()
    assert [t.number for t in trials] == [0, 1, 2, 3]
    assert [t.number for t in heard] == [0, 1, 2, 3]
    assert leases(store) == []
    for trial in trials:
        attrs = trial.user_attrs
        assert trial.state == TrialState.COMPLETE
        assert set(attrs) == ATTRIBUTES | {"stopped"}
        curve = trial.intermediate_values
        assert sorted(curve) == [*range(1, 7)]
        assert trial.value == attrs["best_val_loss"] == min(curve.values())
        assert curve[attrs["best_epoch"]] == trial.value
        assert attrs["best_val_score"] == 1 / (1 + trial.value)
        assert attrs["epochs"] == 6
        assert attrs["engine"] == "curves"
        assert attrs["seconds"] >= 0
        assert attrs["stopped"] == ""
        assert attrs["params"] == narrow().from_stored(trial.params)
        assert heard[trial.number].user_attrs == attrs
    sgd = [t for t in trials if t.params["optimizer"] == "sgd"]
    assert sgd
    for trial in sgd:
        gap = trial.params["one_minus_momentum"]
        assert trial.user_attrs["params"]["momentum"] == 1 - gap
    json.dumps([t.user_attrs for t in trials], allow_nan=False)


def test_the_recipe_is_what_was_asked_for_with_what_is_fixed(store: Store) -> None:
    seen: list[Run] = []

    def loss(run: Run, epoch: int) -> float:
        seen.append(run)
        return 1.0 / epoch

    search(store, Curves(loss), Budget(n_trials=3))
    for trial in store.trials():
        run = next(r for r in seen if r.key == f"trial-{trial.number}")
        expected = Recipe().with_params(
            {**narrow().fixed, **trial.user_attrs["params"]}
        )
        assert run.recipe == expected
        assert (run.max_epochs, run.patience, run.seed) == (6, 10, 0)


def test_early_stop(tmp_path: Path) -> None:
    store = reopen(create(tmp_path / "s", max_epochs=9, patience=2))
    search(store, Curves(lambda run, e: 1 + abs(e - 3)), Budget(n_trials=1))
    (trial,) = store.trials()
    assert trial.state == TrialState.COMPLETE
    assert trial.value == 1
    assert len(trial.intermediate_values) == 5
    assert trial.user_attrs["stopped"] == "no longer improving"
    assert (trial.user_attrs["best_epoch"], trial.user_attrs["epochs"]) == (3, 5)


def test_weak_trials_are_stopped(tmp_path: Path) -> None:
    store = reopen(create(tmp_path / "s", max_epochs=9, pruner="halving"))
    # Every trial is worse than the one before it.
    engine = Curves(lambda run, e: int(run.key.removeprefix("trial-")) + 1 / e)
    search(store, engine, Budget(n_trials=6))
    first, *others = store.trials()
    assert first.state == TrialState.COMPLETE
    weak = [t for t in others if t.state == TrialState.PRUNED]
    assert len(weak) >= 3
    for trial in weak:
        assert trial.user_attrs["stopped"] == "weak"
        assert set(trial.user_attrs) == ATTRIBUTES | {"stopped"}
        assert trial.user_attrs["epochs"] == len(trial.intermediate_values) < 9
        # The value is the lowest, not merely the last.
        assert trial.user_attrs["best_val_loss"] == min(
            trial.intermediate_values.values()
        )
    assert leases(store) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [1, 3])
@pytest.mark.parametrize("name", PRUNERS)
def test_divergence(tmp_path: Path, bad: float, at: int, name: str) -> None:
    store = reopen(create(tmp_path / "s", pruner=name))
    search(store, Curves(lambda run, e: bad if e == at else 1 / e), Budget(n_trials=2))
    for trial in store.trials():
        attrs = trial.user_attrs
        assert trial.state == TrialState.PRUNED
        assert attrs["stopped"] == f"diverged at epoch {at}"
        assert len(trial.intermediate_values) == attrs["epochs"] == at
        assert trial.intermediate_values[at] == math.inf
        assert attrs["best_val_loss"] == (None if at == 1 else 1 / (at - 1))
        assert attrs["best_epoch"] == at - 1
    best = best_of(store.trials())
    assert (best is None) == (at == 1)


def test_an_engine_that_raises_fails_the_trial_alone(store: Store) -> None:
    def loss(run: Run, epoch: int) -> float:
        if run.key == "trial-1" and epoch == 3:
            raise ValueError("shapes differ\nat length")
        return 1.0 / epoch

    search(store, Curves(loss), Budget(n_trials=3))
    states = [t.state for t in store.trials()]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]
    failed = store.trials()[1]
    assert set(failed.user_attrs) >= ATTRIBUTES | {"error", "traceback"}
    assert failed.user_attrs["error"] == "ValueError: shapes differ"
    assert "in loss" in failed.user_attrs["traceback"]
    assert "at length" in failed.user_attrs["traceback"]
    assert sorted(failed.intermediate_values) == [1, 2]
    # What it had come to counts: the best trial is the lowest in any state.
    assert failed.user_attrs["best_val_loss"] == 0.5
    assert failed.user_attrs["best_val_score"] == 1 / 1.5
    assert (failed.user_attrs["best_epoch"], failed.user_attrs["epochs"]) == (2, 2)
    assert failed.user_attrs["params"] == narrow().from_stored(failed.params)
    assert leases(store) == []


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError(""), OSError(5, "I/O")])
def test_errors_of_every_kind_are_one_line(store: Store, error: Exception) -> None:
    def loss(run: Run, epoch: int) -> float:
        raise error

    with pytest.raises(StoppedError) as caught:
        search(store, Curves(loss), Budget(n_trials=9))
    assert "\n" not in str(caught.value)
    assert type(error).__name__ in store.trials()[0].user_attrs["error"]


def test_five_failures_in_a_row_stop_the_search(store: Store) -> None:
    broken = [True]

    def loss(run: Run, epoch: int) -> float:
        number = int(run.key.removeprefix("trial-"))
        if broken[0] and number != 3:
            raise ValueError(f"no. {number}")
        return 1.0 / epoch

    with pytest.raises(StoppedError) as caught:
        search(store, Curves(loss), Budget(n_trials=20))
    # 0, 1, 2 failed, 3 did not: the count began anew.
    assert [t.number for t in store.trials()] == [*range(9)]
    assert str(caught.value) == (
        "5 trials in a row failed, the last with: ValueError: no. 8; "
        "mend that and run the same command again"
    )
    assert leases(store) == []
    broken[0] = False
    search(store, Curves(loss), Budget(n_trials=11))
    assert [t.state for t in store.trials()[9:]] == [TrialState.COMPLETE] * 2


# --- budgets --------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 5, 6, 7, 12, 13])
def test_epochs_are_spent_exactly(store: Store, limit: int) -> None:
    engine = Curves()
    search(store, engine, Budget(epochs=limit))
    trials = store.trials()
    assert epochs_of(trials) == engine.epochs == limit
    assert all(t.state.is_finished() for t in trials)
    cut = limit % 6
    assert [t.state for t in trials[: limit // 6]] == [TrialState.COMPLETE] * (
        limit // 6
    )
    if cut:
        assert trials[-1].state == TrialState.PRUNED
        assert trials[-1].user_attrs["stopped"] == "budget"
        assert trials[-1].user_attrs["best_val_loss"] is not None
    # Nothing more is to be had.
    search(store, engine, Budget(epochs=limit))
    assert engine.epochs == limit


def test_a_larger_budget_goes_on(store: Store) -> None:
    engine = Curves()
    search(store, engine, Budget(n_trials=2))
    before = [timeless(t) for t in store.trials()]
    search(store, engine, Budget(n_trials=4))
    assert [timeless(t) for t in store.trials()][:2] == before
    assert len(store.trials()) == 4


def test_time_that_runs_out_ends_the_trial_in_hand(store: Store) -> None:
    left = iter([1.0, 1.0, 1.0, 0.0, 0.0])
    search(store, Curves(), Budget(seconds_left=lambda trials: next(left)))
    (trial,) = store.trials()
    assert trial.user_attrs["stopped"] == "budget"
    assert len(trial.intermediate_values) == 3


def test_a_worker_whose_driver_is_gone_takes_no_trial(store: Store) -> None:
    alive = iter([True, True, False])
    search(store, Curves(), Budget(n_trials=9), alive=lambda: next(alive))
    assert [t.state for t in store.trials()] == [TrialState.COMPLETE] * 2


# --- the law of resuming --------------------------------------------------------------


class Fragile(Curves):
    """Is killed at random: before an epoch, or just after one was recorded."""

    def __init__(self, seed: int, share: float) -> None:
        super().__init__()
        self.random, self.share, self.kills = random.Random(seed), share, 0

    def event(self, run: Run, epoch: int, before: bool) -> None:
        if self.random.random() < self.share:
            self.kills += 1
            raise Killed


def broken_search(folder: Path, engine: Fragile, budget: Budget) -> None:
    """Killed again and again, and each time begun by a new process."""
    for _ in range(1000):
        store = reopen(folder)
        try:
            search(store, engine, budget)
            return
        except Killed:
            (running,) = [t for t in store.trials() if not t.state.is_finished()]
            assert leases(store) == [f"trial-{running.number:05d}.lock"]
        finally:
            store.release_all()
    raise AssertionError("never ended")


SLOW = {("gp", "median"), ("gp", "hyperband"), ("cmaes", "median")}


@pytest.mark.parametrize(
    ("sampler_name", "pruner_name"),
    [pair for pair in itertools.product(SAMPLERS, PRUNERS) if pair not in SLOW],
)
def test_a_study_killed_anywhere_ends_as_if_never_killed(
    tmp_path: Path, sampler_name: str, pruner_name: str
) -> None:
    n_trials = {"gp": 12, "tpe": 15, "cmaes": 16}.get(sampler_name, 9)
    options = {
        "sampler": sampler_name,
        "pruner": pruner_name,
        "max_epochs": 9,
        "n_trials": n_trials,
    }
    budget = Budget(n_trials=n_trials)
    # Hyperband deals out its brackets by the study's name: it must be the same.
    whole = create(tmp_path / "whole" / "study", **options)
    engine = Curves()
    search(reopen(whole), engine, budget)
    expected = [timeless(t) for t in reopen(whole).trials()]
    assert {t["state"] for t in expected} <= {TrialState.COMPLETE, TrialState.PRUNED}
    if pruner_name != "none":
        assert TrialState.PRUNED in {t["state"] for t in expected}

    default = (sampler_name, pruner_name) == (SAMPLERS[0], PRUNERS[0])
    for seed in range(2 if default else 1):
        broken = create(tmp_path / f"broken-{seed}" / "study", **options)
        fragile = Fragile(seed, share=0.15)
        broken_search(broken, fragile, budget)
        assert fragile.kills >= 3
        store = reopen(broken)
        assert [timeless(t) for t in store.trials()] == expected
        assert leases(store) == []
        assert epochs_of(store.trials()) == engine.epochs < fragile.epochs


@pytest.mark.parametrize("limit", [1, 9, 20])
@pytest.mark.parametrize("seed", range(3))
def test_epochs_trained_again_are_not_counted_twice(
    tmp_path: Path, limit: int, seed: int
) -> None:
    folder = create(tmp_path / "s", pruner="halving", max_epochs=9)
    fragile = Fragile(seed, share=0.2)
    broken_search(folder, fragile, Budget(epochs=limit))
    trials = reopen(folder).trials()
    assert epochs_of(trials) == limit
    assert all(t.state.is_finished() for t in trials)
    assert all(
        sorted(t.intermediate_values) == [*range(1, t.user_attrs["epochs"] + 1)]
        for t in trials
    )


def test_a_kill_between_the_verdict_and_the_end_changes_nothing(tmp_path: Path) -> None:
    """The pruner said no; the process is gone before the trial was ended."""
    folder = create(tmp_path / "s", pruner="halving", max_epochs=9)
    worse = Curves(lambda run, e: int(run.key.removeprefix("trial-")) + 1 / e)

    class Once(Curves):
        def event(self, run: Run, epoch: int, before: bool) -> None:
            if run.key == "trial-1" and not before:
                raise Killed

    store = reopen(folder)
    with pytest.raises(Killed):
        search(store, Once(worse.loss), Budget(n_trials=2))
    store.release_all()
    search(reopen(folder), worse, Budget(n_trials=2))
    trial = reopen(folder).trials()[1]
    assert trial.state == TrialState.PRUNED
    assert trial.user_attrs["stopped"] == "weak"
    assert sorted(trial.intermediate_values) == [1]


def test_the_time_of_a_trial_taken_up_again_is_that_of_the_whole(
    tmp_path: Path,
) -> None:
    folder = create(tmp_path / "s", max_epochs=3)

    class Slow(Fragile):
        def event(self, run: Run, epoch: int, before: bool) -> None:
            time.sleep(0.01)

    class Dies(Curves):
        def event(self, run: Run, epoch: int, before: bool) -> None:
            if epoch == 2:
                raise Killed

    store = reopen(folder)
    with pytest.raises(Killed):
        search(store, Dies(), Budget(n_trials=1))
    store.release_all()
    search(reopen(folder), Slow(0, 0), Budget(n_trials=1))
    (trial,) = reopen(folder).trials()
    # Six pauses: what is recorded are the seconds that all of its epochs take.
    assert trial.user_attrs["seconds"] >= 0.06
    assert trial.user_attrs["epochs"] == 3


def test_a_killed_trial_leaves_no_open_file(tmp_path: Path) -> None:
    from tunekit.board import Board

    folder = create(tmp_path / "s", max_epochs=3)

    class Dies(Curves):
        def event(self, run: Run, epoch: int, before: bool) -> None:
            if epoch == 2:
                raise Killed

    store = reopen(folder)
    board = Board(folder / "tb")
    board.describe({})
    with pytest.raises(Killed):
        search(store, Dies(), Budget(n_trials=1), board=board)
    store.release_all()
    search(reopen(folder), Curves(), Budget(n_trials=1), board=Board(folder / "tb"))
    (events,) = [*(folder / "tb" / "trial-00000").iterdir()]
    assert events.stat().st_size > 500


# --- processes ------------------------------------------------------------------------


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


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def trials_of(folder: Path) -> list[FrozenTrial]:
    return reopen(folder).trials()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_a_worker_that_is_stopped_can_be_followed_by_another(digits: Path) -> None:
    worker = Worker.start(digits, 1, {})
    wait_for(lambda: epochs_of(trials_of(digits)) >= 2 or worker.code is not None)
    assert worker.code is None, worker.last_words()
    began = time.monotonic()
    stop([worker], patience=20)
    assert time.monotonic() - began < 10
    assert worker.process.returncode == 143
    store = reopen(digits)
    running = [t for t in store.trials() if t.state == TrialState.RUNNING]
    assert len(running) == 1
    # Nobody holds it: we can take it up, with what it has.
    space = Setup.of(Config.from_mapping(store.settings)).space
    trial = store.next_trial(lambda trials: False, space.suggest)
    assert trial is not None
    assert trial.number == running[0].number
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
        wait_for(lambda: not alive(pid), 30)
    finally:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    trials = trials_of(config.folder)
    assert 0 < len(trials) < 500
    # The one it was training is nobody's now, and can be taken up.
    running = [t.number for t in trials if t.state == TrialState.RUNNING]
    assert len(running) <= 1
    store = reopen(config.folder)
    space = setup.space
    taken = store.next_trial(lambda trials: False, space.suggest)
    assert [taken.number] == running if taken else running == []
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
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tunekit.workers", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
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


def test_optuna_says_nothing(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    search(store, Curves(), Budget(n_trials=2))
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert optuna.logging.get_verbosity() != 0
