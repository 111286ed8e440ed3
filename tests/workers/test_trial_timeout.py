"""A trial that takes longer than it may, or hangs, ends alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up import (
    Curves,
    Killed,
    Rounds,
    budget_of,
    create,
    leases,
    narrow,
    reopen,
    search,
)
from optuna.trial import TrialState

import tunekit
from tunekit import LogUniform
from tunekit.batches import Batches
from tunekit.budget import Budget
from tunekit.errors import StoppedError
from tunekit.fit import LightningEngine
from tunekit.trial import Run
from tunekit.workers import work

SECONDS = 0.25
"""What an epoch of a made-up engine is said to take."""


@pytest.mark.parametrize("engine", [Curves, Rounds])
def test_the_slow_ones_fail_between_epochs(
    tmp_path: Path, engine: type[Curves]
) -> None:
    folder = create(tmp_path / "s", max_epochs=6, trial_timeout=4 * SECONDS)
    store = reopen(folder)
    with pytest.raises(StoppedError, match="took longer than 1 s"):
        search(store, engine(), Budget(n_trials=9), in_flight=3)
    failed = [t for t in store.trials() if t.state is TrialState.FAIL]
    assert len(failed) == 5
    for trial in failed:
        assert trial.user_attrs["error"] == "took longer than 1 s"
        # What it had come to is recorded.
        assert sorted(trial.intermediate_values) == [1, 2, 3, 4]
        assert trial.user_attrs["epochs"] == 4


def test_one_that_has_come_to_its_end_has_not_failed(tmp_path: Path) -> None:
    store = reopen(create(tmp_path / "s", max_epochs=4, trial_timeout=4 * SECONDS))
    search(store, Curves(), Budget(n_trials=3))
    assert {t.state for t in store.trials()} == {TrialState.COMPLETE}


def test_the_pauses_of_a_trial_do_not_begin_its_time_anew(tmp_path: Path) -> None:
    options = {"pruner": "promote", "max_epochs": 9, "n_trials": 9}
    folder = create(tmp_path / "s", **options, trial_timeout=5 * SECONDS)
    store = reopen(folder)
    # The first is by far the best, so that it is promoted to the end.
    engine = Rounds(lambda run, e: (1.0 if run.key == "trial-0" else 9.0) / e)
    search(store, engine, budget_of(folder), in_flight=2)
    first = store.trials()[0]
    assert first.state is TrialState.FAIL
    assert first.user_attrs["error"] == "took longer than 1.25 s"
    assert len(first.intermediate_values) == 5
    assert leases(store) == []


def test_a_limit_may_change_within_a_study(tmp_path: Path) -> None:
    def make(params: dict[str, float]) -> Iterator[float]:
        yield from (3.0, 2.0)

    options: dict[str, Any] = {"max_epochs": 2, "out": tmp_path, "pruner": "none"}
    space = {"lr": LogUniform(1e-3, 1.0)}
    tunekit.tune(make, space, n_trials=2, trial_timeout="1m", **options)
    result = tunekit.tune(make, space, n_trials=4, **options)
    assert list(result.trials["state"]) == ["complete"] * 4


def test_a_loop_that_hangs_ends_alone() -> None:
    def make(params: dict[str, float]) -> Iterator[float]:
        yield 3.0
        if len(made) == 1:
            time.sleep(100)
        yield 2.0

    made: list[float] = []

    def counted(params: dict[str, float]) -> Iterator[float]:
        made.append(params["lr"])
        if len(made) == 3:
            time.sleep(100)  # before there is anything to iterate over
        return make(params)

    began = time.monotonic()
    result = tunekit.tune(
        counted,
        {"lr": LogUniform(1e-3, 1.0)},
        max_epochs=2,
        n_trials=4,
        pruner="none",
        trial_timeout=0.3,
    )
    assert time.monotonic() - began < 60
    states = ["fail", "complete", "fail", "complete"]
    assert list(result.trials["state"]) == states
    hung = result.study.trials[0]
    assert hung.user_attrs["error"] == "took longer than 0.3 s"
    assert "time.sleep(100)" in hung.user_attrs["traceback"]


def test_what_was_spent_in_a_hang_counts_when_the_study_goes_on(
    tmp_path: Path,
) -> None:
    class Hangs(Curves):
        def event(self, run: Run, epoch: int, before: bool) -> None:
            seen.append(run)
            if before and epoch == 3 and run.spent < 0.5:
                time.sleep(0.3)
                raise Killed

    seen: list[Run] = []
    folder = create(tmp_path / "s", trial_timeout=60.0)
    for spent in (0.0, 0.3, 0.6):
        store = reopen(folder)
        try:
            search(store, Hangs(), Budget(n_trials=1))
        except Killed:
            store.release_all()
        assert spent <= seen[-1].spent < spent + 0.3
    assert store.trials()[0].state is TrialState.COMPLETE


def test_a_hang_in_a_trainer_ends_alone(
    tmp_path: Path, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Batches.__iter__

    def hangs(batches: Batches) -> Iterator[Any]:
        if batches.key == "trial-0" and batches.epoch == 1:
            time.sleep(100)
        yield from real(batches)

    monkeypatch.setattr(Batches, "__iter__", hangs)
    store = reopen(create(tmp_path / "s", max_epochs=2, trial_timeout=3.0))
    work(store, LightningEngine(*table, 3, "cpu"), narrow(), Budget(n_trials=2))
    hung, fine = store.trials()
    assert hung.user_attrs["error"] == "took longer than 3 s"
    assert "time.sleep(100)" in hung.user_attrs["traceback"]
    assert sorted(hung.intermediate_values) == [1]
    assert fine.state is TrialState.COMPLETE


def test_what_making_the_first_took_is_not_to_be_had_again() -> None:
    def make(params: dict[str, float]) -> Iterator[float]:
        time.sleep(0.5)

        def loop() -> Iterator[float]:
            time.sleep(0.5)
            yield 1.0

        return loop()

    space = {"lr": LogUniform(1e-3, 1.0)}
    result = tunekit.tune(make, space, max_epochs=1, n_trials=1, trial_timeout=0.8)
    assert list(result.trials["state"]) == ["fail"]
