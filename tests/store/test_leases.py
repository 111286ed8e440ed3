"""Which trials are whose, also among processes that are killed."""

from __future__ import annotations

import functools
import operator
import signal
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from filelock import FileLock
from optuna.trial import Trial, TrialState

from tunekit.store import Store

from .conftest import always, leases, never, posix, said, start, suggest


def test_a_trial_is_leased_until_it_ends(folder: Path) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None
    assert trial.number == 0
    assert set(trial.params) == {"lr", "width"}
    assert leases(folder) == ["trial-00000.lock"]
    trial.report(0.5, 1)
    store.finish(trial, TrialState.COMPLETE, {"best_val_loss": 0.5}, 0.5)
    assert leases(folder) == []
    (frozen,) = Store(folder).trials()
    assert (frozen.state, frozen.value) == (TrialState.COMPLETE, 0.5)
    assert frozen.user_attrs == {"to_epoch": 30, "best_val_loss": 0.5}


@pytest.mark.parametrize("state", [TrialState.PRUNED, TrialState.FAIL])
def test_other_ends(folder: Path, state: TrialState) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None
    store.finish(trial, state, {"error": "x"})
    assert store.trials()[0].state == state
    assert leases(folder) == []


def test_no_budget_no_trial(folder: Path) -> None:
    store = Store(folder)
    assert store.next_trial(never, suggest) is None
    assert store.trials() == []
    assert leases(folder) == []


def test_the_budget_sees_running_trials(folder: Path) -> None:
    store, seen = Store(folder), []
    for _ in range(3):
        store.next_trial(lambda trials, step: seen.append(len(trials)) or True, suggest)
    assert seen == [0, 1, 2]


def test_two_stores_of_one_process_do_not_share_trials(folder: Path) -> None:
    one, two = Store(folder), Store(folder)
    first, second = one.next_trial(always, suggest), two.next_trial(always, suggest)
    assert first is not None
    assert second is not None
    assert (first.number, second.number) == (0, 1)
    assert two.next_trial(never, suggest) is None
    one.release_all()
    assert leases(folder) == ["trial-00001.lock"]
    again = two.next_trial(never, suggest)
    assert again is not None
    assert again.number == 0
    assert again.params == first.params
    two.release_all()
    assert leases(folder) == []


def test_a_trial_taken_up_again_keeps_what_it_was_given(folder: Path) -> None:
    store = Store(folder, optuna.samplers.RandomSampler(seed=1))
    trial = store.next_trial(always, suggest)
    assert trial is not None
    trial.report(0.7, 1)
    store.release_all()
    other = Store(folder, optuna.samplers.RandomSampler(seed=2))
    again = other.next_trial(never, suggest)
    assert again is not None
    assert (again.number, again.params) == (0, trial.params)
    assert other.trials()[0].intermediate_values == {1: 0.7}
    other.finish(again, TrialState.COMPLETE, {}, 0.7)
    assert len(other.trials()) == 1


def test_a_half_suggested_trial_is_completed(folder: Path) -> None:
    store = Store(folder)

    def half(trial: Trial) -> None:
        trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.next_trial(always, half)
    store.release_all()
    again = Store(folder).next_trial(never, suggest)
    assert again is not None
    assert set(again.params) == {"lr", "width"}


def test_release_is_no_end(folder: Path) -> None:
    store = Store(folder)
    store.next_trial(always, suggest)
    store.release_all()
    store.release_all()
    assert store.trials()[0].state == TrialState.RUNNING


@posix
def test_a_lease_is_gone_before_it_is_free(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file must not be removed once another process may have locked it."""
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    path = folder / "leases" / "trial-00000.lock"
    there: list[bool] = []
    real = FileLock.release

    def release(lock: FileLock, *arguments: Any, **named: Any) -> None:
        if Path(lock.lock_file) == path:
            there.append(path.exists())
        real(lock, *arguments, **named)

    monkeypatch.setattr(FileLock, "release", release)
    assert trial is not None
    store.release_all()
    assert there[:1] == [False]


HOLDS = """
store = Store(folder)
trial = store.next_trial(lambda trials, step: True, suggest)
trial.report(0.5, 1)
print(trial.number, trial.params["lr"], trial.params["width"], flush=True)
sys.stdin.read()
"""


@posix
def test_a_killed_owner_leaves_its_trial_to_the_next(folder: Path) -> None:
    process = start(folder, HOLDS)
    number, lr, width = said(process)
    store = Store(folder)
    # While its owner lives it is nobody else's.
    assert store.next_trial(never, suggest) is None
    second = store.next_trial(always, suggest)
    assert second is not None
    assert second.number == 1
    process.kill()
    process.communicate()
    again = store.next_trial(never, suggest)
    assert again is not None
    assert again.number == int(number) == 0
    assert again.params == {"lr": float(lr), "width": int(width)}
    assert store.trials()[0].intermediate_values == {1: 0.5}
    store.finish(again, TrialState.COMPLETE, {}, 0.5)
    store.finish(second, TrialState.COMPLETE, {}, 0.6)
    assert leases(folder) == []
    assert [t.state for t in store.trials()] == [TrialState.COMPLETE] * 2


@posix
@pytest.mark.parametrize("lock", ["journal.lock", "leases/asking.lock"])
def test_a_lock_dies_with_its_process(folder: Path, lock: str) -> None:
    Store(folder)
    process = start(
        folder,
        f"""
        store = Store(folder)
        lock = store._leases.asking
        if {lock!r} == "journal.lock":
            lock = store._storage._backend._lock
        assert Path(lock.lock_file) == folder / {lock!r}
        lock.acquire()
        print("locked", flush=True)
        sys.stdin.read()
        """,
    )
    assert said(process) == ["locked"]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    began = time.monotonic()
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None
    store.finish(trial, TrialState.COMPLETE, {}, 0.5)
    # Optuna's own lock would have held for half a minute.
    assert time.monotonic() - began < 20


@posix
def test_processes_together_share_each_trial_once_and_keep_the_budget(
    folder: Path,
) -> None:
    code = """
    sys.stdin.readline()
    store = Store(folder)
    numbers = []
    while True:
        trial = store.next_trial(lambda trials, step: len(trials) < 24, suggest)
        if trial is None:
            break
        numbers.append(trial.number)
        trial.report(1.0, 1)
        store.finish(trial, TrialState.COMPLETE, {"owner": os.getpid()}, 1.0)
    print(*numbers, flush=True)
    """
    processes = [start(folder, code) for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    taken = [[int(number) for number in said(process)] for process in processes]
    for process in processes:
        process.communicate(timeout=240)
        assert process.returncode == 0
    assert sorted(functools.reduce(operator.iadd, taken, [])) == [*range(24)]
    trials = Store(folder).trials()
    assert len(trials) == 24
    owners = {t.number: t.user_attrs["owner"] for t in trials}
    for process, numbers in zip(processes, taken, strict=True):
        assert all(owners[number] == process.pid for number in numbers)
    assert leases(folder) == []


@posix
def test_two_processes_never_take_up_one_abandoned_trial(folder: Path) -> None:
    store = Store(folder)
    for _ in range(8):
        store.next_trial(always, suggest)
    store.release_all()
    code = """
    store = Store(folder)
    numbers = []
    while (trial := store.next_trial(lambda trials, step: False, suggest)) is not None:
        numbers.append(trial.number)
        time.sleep(0.02)
    print(*numbers, flush=True)
    sys.stdin.read()
    """
    processes = [start(folder, code) for _ in range(2)]
    taken = [int(number) for process in processes for number in said(process)]
    for process in processes:
        process.communicate()
    assert sorted(taken) == [*range(8)]
