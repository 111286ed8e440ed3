"""Two workers on one study of paused trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from made_up import Rounds, budget_of, leases, narrow, reopen, search
from optuna.trial import TrialState

from tunekit.budget import epochs_of
from tunekit.paused import is_paused
from tunekit.store import Store
from tunekit.trial import Run
from tunekit.workers import work

from .conftest import begin


def test_two_workers_share_trials_and_never_train_one_at_once(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", budget_epochs=60)
    mine, others = reopen(folder), reopen(folder)
    training: dict[str, set[str]] = {"mine": set(), "others": set()}

    class Two(Rounds):
        """Between its epochs, another worker has a turn."""

        def event(self, run: Run, epoch: int, before: bool) -> None:
            training["mine"].add(run.key)
            with others.together():
                trial = others.next_trial(budget_of(folder).allows, narrow().suggest)
            if trial is None:
                return
            key = f"trial-{trial.number}"
            assert f"trial-{trial.number:05d}.lock" in leases(others)
            assert trial.number not in {
                t.number
                for t in mine.trials()
                if t.state == TrialState.RUNNING
                and not is_paused(t, 9)
                and t.number in held
            }
            training["others"].add(key)
            others.release_all()

    held: set[int] = set()
    real = mine._leases.take

    def take(number: int, epochs: int = 0) -> bool:
        taken = real(number, epochs)
        if taken:
            held.add(number)
        return taken

    mine._leases.take = take  # type: ignore[method-assign]
    free = mine._leases.release

    def release(number: int, *, settled: bool = False) -> None:
        held.discard(number)
        free(number, settled=settled)

    mine._leases.release = release  # type: ignore[method-assign]
    work(mine, Two(), narrow(), budget_of(folder), in_flight=2)
    assert training["others"]
    search(reopen(folder), Rounds(), budget_of(folder), in_flight=2)
    assert epochs_of(mine.trials()) == 60


def test_one_that_another_worker_is_about_to_keep_is_passed_over(
    tmp_path: Path,
) -> None:
    """It has reported its rung, but its state is not written yet."""
    folder = begin(tmp_path / "s", n_trials=9)
    mine, others = reopen(folder), reopen(folder)

    def new(store: Store) -> Any:
        trial = store.next_trial(lambda trials, step: True, narrow().suggest)
        assert trial is not None
        return trial

    trials = [new(mine) for _ in range(4)]
    for trial, loss in zip(trials, (0.1, 0.2, 0.3, 0.4), strict=True):
        mine.report(trial, loss, 1)
    for trial in trials[1:]:
        mine.pause(trial, None)
    # The best is still held: one in three is promoted, but none of the others is it.
    assert new(others).number == 1
    mine.pause(trials[0], None)
    assert new(others).number == 0
