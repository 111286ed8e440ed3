"""What is written together, and what survives when it cannot be."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tunekit.errors import StoppedError
from tunekit.interrupt import Interrupted, listening
from tunekit.store import Store

from .conftest import always, leases, never, posix, said, start, suggest


def contents(store: Store) -> list[tuple[Any, ...]]:
    """All that a trial is."""
    return [
        (
            t.number,
            t.state,
            t.values,
            t.params,
            t.intermediate_values,
            t.user_attrs,
            t.system_attrs,
            t.datetime_start,
            t.datetime_complete,
        )
        for t in store.trials()
    ]


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that the disk was waited for."""
    counted: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (counted.append(fd), real(fd))[1])
    return counted


def test_a_block_is_one_write_and_reads_what_it_told(
    folder: Path, syncs: list[int]
) -> None:
    store = Store(folder, optuna.samplers.RandomSampler(seed=0))
    trials = [store.next_trial(always, suggest) for _ in range(30)]
    journal = folder / "journal.log"
    before = journal.read_bytes()
    syncs.clear()
    with store.together():
        for n, trial in enumerate(trials):
            assert trial is not None
            store.report(trial, n / 30, 1)
            trial.set_user_attr("pair", {1: (n, math.inf)})
            assert not trial.should_prune()
        store.finish(trials[0], TrialState.COMPLETE, {"best_val_loss": 0.0}, 0.0)
        new = store.next_trial(always, suggest)
        assert new is not None
        assert new.number == 30
        inside = contents(store)
        assert (syncs, journal.read_bytes()) == ([], before)
        # Another reader, and Optuna's own, know nothing of it yet.
        assert optuna_reads(folder) == 30
    assert len(syncs) == 1
    assert journal.read_bytes().startswith(before)
    assert inside == contents(store) == contents(Store(folder))
    assert inside[0][1] == TrialState.COMPLETE
    # As it is read back: keys are text, and pairs are lists.
    assert inside[7][5] == {"to_epoch": 30, "pair": {"1": [7, math.inf]}}
    assert set(inside[30][3]) == {"lr", "width"}
    assert len(leases(folder)) == 30
    assert optuna_reads(folder) == 31
    # Going on from here, one by one.
    store.report(new, 0.5, 1)
    assert contents(store) == contents(Store(folder))


def optuna_reads(folder: Path) -> int:
    """Trials, as read with Optuna's own means."""
    backend = JournalFileBackend(str(folder / "journal.log"))
    study = optuna.load_study(study_name="s", storage=JournalStorage(backend))
    return len(study.trials)


def test_an_empty_block_writes_nothing(folder: Path, syncs: list[int]) -> None:
    store = Store(folder)
    syncs.clear()
    with store.together():
        assert store.trials() == []
    assert syncs == []
    store.study.set_user_attr("a", 1)
    assert Store(folder).study.user_attrs == {"a": 1}


def test_an_inner_block_is_part_of_the_outer_one(
    folder: Path, syncs: list[int]
) -> None:
    store = Store(folder)
    syncs.clear()
    with store.together():
        with store.together():
            trial = store.next_trial(always, suggest)
            assert trial is not None
        with suppress(ValueError), store.together():
            store.report(trial, 0.5, 1)
            raise ValueError
        assert syncs == []
        store.report(trial, 0.4, 2)
    assert len(syncs) == 1
    assert Store(folder).trials()[0].intermediate_values == {1: 0.5, 2: 0.4}
    assert contents(store) == contents(Store(folder))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_told_before_an_exception_is_kept(
    folder: Path, error: type[BaseException]
) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None

    def block() -> None:
        with store.together():
            store.report(trial, 0.5, 1)
            raise error

    with pytest.raises(error):
        block()
    assert contents(store) == contents(Store(folder))
    assert Store(folder).trials()[0].intermediate_values == {1: 0.5}
    store.finish(trial, TrialState.COMPLETE, {}, 0.5)
    assert contents(store) == contents(Store(folder))


@posix
@pytest.mark.parametrize("signals", [1, 2])
def test_an_interruption_waits_for_the_block_or_leaves_it_written(
    folder: Path, signals: int
) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None

    def block() -> None:
        with listening(), store.together():
            store.report(trial, 0.5, 1)
            for _ in range(signals):
                signal.raise_signal(signal.SIGINT)
            store.report(trial, 0.4, 2)

    with pytest.raises(Interrupted):
        block()
    expected = {1: 0.5, 2: 0.4} if signals == 1 else {1: 0.5}
    assert Store(folder).trials()[0].intermediate_values == expected
    assert contents(store) == contents(Store(folder))


def test_what_cannot_be_recorded_is_told_at_once_and_not_written(folder: Path) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None
    with store.together():
        with pytest.raises(TypeError):
            trial.set_user_attr("a", object())
        store.finish(trial, TrialState.COMPLETE, {}, 0.5)
        with pytest.raises(UpdateFinishedTrialError):
            store.report(trial, 0.4, 2)
        trial = store.next_trial(always, suggest)
    assert contents(store) == contents(Store(folder))
    assert [t.number for t in Store(folder).trials()] == [0, 1]


def test_another_thread_may_write_and_read_during_a_block(folder: Path) -> None:
    store = Store(folder)
    seen: list[int] = []

    def other() -> None:
        store.study.set_user_attr("other", 1)
        seen.append(len(store.trials()))

    with store.together():
        store.next_trial(always, suggest)
        thread = threading.Thread(target=other, daemon=True)
        thread.start()
        thread.join(60)
        store.study.set_user_attr("mine", 2)
    assert seen == [1]
    assert Store(folder).study.user_attrs == {"other": 1, "mine": 2}


def test_a_torn_line_is_mended_before_a_block(folder: Path) -> None:
    store = Store(folder)
    with (folder / "journal.log").open("ab") as journal:
        journal.write(b'{"op_code":2,"half')
    with store.together():
        store.study.set_user_attr("a", 1)
        store.study.set_user_attr("b", 2)
        assert store.study.user_attrs == {"a": 1, "b": 2}
    assert Store(folder).study.user_attrs == {"a": 1, "b": 2}


@posix
def test_others_append_between_blocks_and_never_within(folder: Path) -> None:
    store = Store(folder)
    process = start(
        folder,
        """
        store = Store(folder)
        trial = store.next_trial(lambda trials, step: True, suggest)
        print("ready", flush=True)
        step = 0
        while not (folder / "enough").exists():
            step += 1
            trial.report(1 / step, step)
        print(step, flush=True)
        """,
    )
    assert said(process) == ["ready"]
    mine = [store.next_trial(always, suggest) for _ in range(3)]
    journal = folder / "journal.log"
    theirs: set[int] = set()
    step = 0
    while len(theirs) < 5 and step < 1000:
        step += 1
        with store.together():
            size = journal.stat().st_size
            theirs.add(len(store.trials()[0].intermediate_values))
            for trial in mine:
                assert trial is not None
                store.report(trial, 1 / step, step)
            time.sleep(0.01)
            grown = journal.stat().st_size - size
            changed = len(store.trials()[0].intermediate_values) - max(theirs)
        if grown or changed:
            break
        time.sleep(0.01)
    (folder / "enough").touch()
    assert (grown, changed, len(theirs)) == (0, 0, 5)
    last = int(said(process)[0])
    process.communicate(timeout=240)
    # Every line of both is there, and this store has read each of theirs once.
    expected = [last, step, step, step]
    assert [len(t.intermediate_values) for t in store.trials()] == expected
    assert contents(store) == contents(Store(folder))
    lines = journal.read_bytes().splitlines()
    assert sum(b'"step"' in line for line in lines) == sum(expected)


@posix
def test_blocks_and_single_writers_wait_for_each_other_without_end(
    folder: Path,
) -> None:
    code = """
    from contextlib import nullcontext
    together = sys.stdin.readline() == "together\\n"
    store = Store(folder)
    numbers, trial = [], None
    while True:
        with store.together() if together else nullcontext():
            if trial is not None:
                store.report(trial, 1.0, 1)
                store.finish(trial, TrialState.COMPLETE, {"owner": os.getpid()}, 1.0)
            trial = store.next_trial(lambda trials, step: len(trials) < 40, suggest)
        if trial is None:
            break
        numbers.append(trial.number)
    print(*numbers, flush=True)
    """
    processes = [start(folder, code) for _ in range(3)]
    for process, how in zip(processes, ["together", "alone", "together"], strict=True):
        assert process.stdin is not None
        process.stdin.write(f"{how}\n")
        process.stdin.flush()
    try:
        said_at_last = [p.communicate(timeout=240)[0] for p in processes]
    finally:  # such as processes that wait for each other
        for process in processes:
            process.kill()
    taken: list[int] = []
    owners = {t.number: t.user_attrs["owner"] for t in Store(folder).trials()}
    for process, out in zip(processes, said_at_last, strict=True):
        assert process.returncode == 0
        numbers = [int(number) for number in out.split()]
        assert {owners[number] for number in numbers} <= {process.pid}
        taken += numbers
    assert sorted(taken) == [*range(40)]
    assert leases(folder) == []


def test_a_block_that_cannot_be_written_ends_all_writing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    def block() -> None:
        with store.together():
            store.report(trial, 0.5, 1)
            store.next_trial(always, suggest)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoppedError, match="No space left") as caught:
            block()
        assert "\n" not in str(caught.value)
    # There is room again, but what this store has told may not be in the file.
    told = contents(store)
    journal = (folder / "journal.log").read_bytes()
    for write in (
        lambda: store.report(trial, 0.4, 2),
        lambda: store.finish(trial, TrialState.COMPLETE, {}, 0.4),
        lambda: store.next_trial(always, suggest),
        store.together().__enter__,
    ):
        with pytest.raises(StoppedError, match="No space left on device"):
            write()
    with pytest.raises(OSError, match="No space left on device"):
        store.study.set_user_attr("a", 1)
    assert (folder / "journal.log").read_bytes() == journal
    assert len(told) == 2
    # Both trials are anybody's, and what others do does not mix with what was told.
    assert leases(folder) == []
    other = Store(folder)
    again = other.next_trial(never, suggest)
    assert again is not None
    assert again.number == 0
    other.report(again, 0.3, 3)
    assert contents(store) == told
    assert contents(other) == contents(Store(folder))


@posix
def test_a_disk_that_fills_up_within_a_block_leaves_a_journal_to_go_on_with(
    folder: Path,
) -> None:
    process = start(
        folder,
        """
        import resource
        from tunekit.errors import StoppedError
        store = Store(folder)
        trial = store.next_trial(lambda trials, step: True, suggest)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = (folder / "journal.log").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 500, hard))
        try:
            with store.together():
                for step in range(1, 101):
                    store.report(trial, 1 / step, step)
        except StoppedError as error:
            print(error, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        try:
            store.report(trial, 0.5, 101)
        except StoppedError as error:
            print(error, flush=True)
        print(len(store.trials()[0].intermediate_values), flush=True)
        """,
    )
    out, _ = process.communicate(timeout=240)
    first, second, seen = out.splitlines()
    assert first == second
    assert "must be writable, got: File too large" in first
    assert int(seen) == 100
    # Of the block there is nothing: half of it would be a history that never was.
    journal = folder / "journal.log"
    assert journal.read_bytes().endswith(b"\n")
    store = Store(folder)
    trial = store.next_trial(never, suggest)
    assert trial is not None
    assert store.trials()[0].intermediate_values == {}
    store.finish(trial, TrialState.COMPLETE, {}, 0.5)
    assert contents(store) == contents(Store(folder))
    assert all(json.loads(line) for line in journal.read_bytes().splitlines())
