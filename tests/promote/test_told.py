"""What people see of trials that were paused."""

from __future__ import annotations

from pathlib import Path

from made_up import Rounds, budget_of, narrow, reopen, search

from tunekit.board import Board
from tunekit.board.events import last_step
from tunekit.budget import best_of
from tunekit.closing import trials_frame
from tunekit.paused import is_paused
from tunekit.report.numbers import build
from tunekit.tally import as_one
from tunekit.workers import end_paused, work

from .conftest import begin, larger


def test_a_run_folder_has_one_curve_that_goes_on(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", n_trials=6)
    board = Board(folder / "tb")
    board.describe({})
    search(reopen(folder), Rounds(), budget_of(folder), board=board, in_flight=2)
    store = larger(folder, n_trials=12)
    search(store, Rounds(), budget_of(folder), board=board, in_flight=2)
    assert board.trouble is None
    one = as_one(store.trials())
    runs = sorted(path for path in (folder / "tb").iterdir() if path.is_dir())
    assert len(runs) == len(one)
    for trial in one:
        number = trial.number
        while (
            before := store.trials()[number].user_attrs.get("continues")
        ) is not None:
            number = before
        (file,) = (folder / "tb" / f"trial-{number:05d}").iterdir()
        assert points(file) == [*range(1, len(trial.intermediate_values) + 1)]
        assert last_step(file) == len(trial.intermediate_values)


def points(file: Path) -> list[int]:
    """The steps of a run's validation curve, as they stand in its file."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    return [
        event.step
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if value.tag == "loss/val"
    ]


def test_numbers_count_a_trial_that_goes_on_once(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", budget_epochs=20)
    search(reopen(folder), Rounds(), budget_of(folder), in_flight=3)
    store = larger(folder, budget_epochs=60)
    search(store, Rounds(), budget_of(folder), in_flight=3)
    trials, one = store.trials(), as_one(store.trials())
    assert len(one) < len(trials)
    report = build(folder)
    assert report["trials"]["total"] == len(one)
    assert report["epochs_trained"] == 60
    assert sum(trial["epochs"] for trial in report["trial_list"]) == 60
    best = best_of(trials)
    assert best is not None
    lowest = min(best.intermediate_values.values())
    assert report["best"]["val_loss"] == lowest
    assert report["history"][-1][1] == lowest
    assert 0 < report["history"][-1][0] <= 60
    assert [loss for _, loss in report["best_curve"]] == [
        *best.intermediate_values.values()
    ]
    frame = trials_frame(one)
    assert frame["epochs"].sum() == 60


def test_numbers_while_trials_are_paused(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", budget_epochs=20)
    store = reopen(folder)
    work(store, Rounds(), narrow(), budget_of(folder), in_flight=3)
    report = build(folder)
    paused = [t for t in store.trials() if is_paused(t, 9)]
    assert paused
    assert report["trials"]["paused"] == len(paused)
    assert report["trials"]["running"] == 0
    assert not report["finished"]
    end_paused(store, narrow(), "rounds")
    report = build(folder)
    assert report["trials"]["paused"] == 0
    assert report["stopped_early"] == {"paused": len(paused)}
