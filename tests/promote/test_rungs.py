"""Trials that pause at rungs, and the budget they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_up import (
    ATTRIBUTES,
    Curves,
    Rounds,
    budget_of,
    leases,
    narrow,
    reopen,
    search,
    timeless,
)
from optuna.trial import TrialState

from tunekit.budget import Budget, best_of, epochs_of, final_seconds
from tunekit.config import Config
from tunekit.rungs import ladder
from tunekit.trial import Run
from tunekit.workers import end_paused, work

from .conftest import ENGINES, begin, states, worse


@pytest.mark.parametrize(("engine", "in_flight"), ENGINES)
def test_trials_end_at_rungs_and_the_best_at_the_last(
    tmp_path: Path, engine: type[Curves], in_flight: int
) -> None:
    folder = begin(tmp_path / "s", n_trials=12)
    store, made = reopen(folder), engine(worse)
    search(store, made, budget_of(folder), in_flight=in_flight)
    trials = store.trials()
    assert epochs_of(trials) == made.epochs == 27  # 12 x 9 / 4
    assert best_of(trials) is trials[0]
    if in_flight == 1:
        assert trials[0].state == TrialState.COMPLETE
    rungs = {*ladder(9)}
    cut = [t.number for t in trials if len(t.intermediate_values) not in rungs]
    assert len(cut) <= in_flight
    for trial in trials:
        attrs = trial.user_attrs
        curve = trial.intermediate_values
        assert set(attrs) == ATTRIBUTES | {"stopped"}
        assert [*curve] == [*range(1, len(curve) + 1)]
        assert attrs["best_val_loss"] == min(curve.values())
        assert attrs["best_val_score"] == 1 / (1 + min(curve.values()))
        assert attrs["epochs"] == len(curve)
        assert attrs["seconds"] == 0.25 * len(curve)
        assert attrs["params"] == narrow().from_stored(trial.params)
        if trial.state == TrialState.PRUNED:
            assert attrs["stopped"] == "paused"
            assert attrs["to_epoch"] == len(curve)
    assert leases(store) == []


@pytest.mark.parametrize(("engine", "in_flight"), ENGINES)
@pytest.mark.parametrize("limit", [1, 2, 7, 8, 23, 50])
def test_the_budget_is_spent_to_the_last_epoch_and_never_exceeded(
    tmp_path: Path, engine: type[Curves], in_flight: int, limit: int
) -> None:
    folder = begin(tmp_path / "s", budget_epochs=limit)
    store = reopen(folder)

    class Careful(engine):  # type: ignore[misc, valid-type]
        def event(self, run: Run, epoch: int, before: bool) -> None:
            assert epochs_of(store.trials()) <= limit
            assert self.epochs <= limit

    made = Careful()
    search(store, made, budget_of(folder), in_flight=in_flight)
    assert epochs_of(store.trials()) == made.epochs == limit
    assert all(t.state.is_finished() for t in store.trials())
    assert all(t.intermediate_values for t in store.trials())
    before = [timeless(t) for t in store.trials()]
    search(reopen(folder), made, budget_of(folder), in_flight=in_flight)
    assert made.epochs == limit
    assert [timeless(t) for t in store.trials()] == before


def test_the_budget_of_trials_alone() -> None:
    def epochs(**options: Any) -> int | None:
        return Config(**{"pruner": "promote", **options}).epochs

    assert epochs(n_trials=30, max_epochs=50) == 375
    assert epochs(n_trials=3, max_epochs=9) == 11  # 9 and two first epochs
    assert epochs(n_trials=1, max_epochs=30) == 30
    assert epochs(n_trials=30, budget_epochs=7) == 7
    assert epochs(timeout="5m") is None
    assert epochs(n_trials=30, pruner="halving") is None
    assert Config(engine="lightning").open_trials == 1
    assert Config(engine="lightning", workers=3).open_trials == 3


def test_the_last_epochs_go_to_the_earlier_trials_and_stop_the_others(
    tmp_path: Path,
) -> None:
    folder = begin(tmp_path / "s", n_trials=1, budget_epochs=5)
    search(reopen(folder), Rounds(worse), budget_of(folder))
    (trial,) = reopen(folder).trials()
    # Between the rungs 3 and 9; it goes on from there.
    assert len(trial.intermediate_values) == trial.user_attrs["to_epoch"] == 5
    assert trial.user_attrs["stopped"] == "paused"
    # Where it stands, and the rung before, should that be damaged.
    assert states(folder) == [
        "trial-00000-epoch-003.safetensors",
        "trial-00000-epoch-005.safetensors",
    ]


def test_one_that_is_over_at_its_rung_ends_there(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", n_trials=4, patience=2)

    def loss(run: Run, epoch: int) -> float:
        return float(epoch) if run.key == "trial-0" else 20 - epoch

    search(reopen(folder), Rounds(loss), budget_of(folder), in_flight=4)
    first = reopen(folder).trials()[0]
    assert first.state == TrialState.COMPLETE
    assert first.user_attrs["stopped"] == "no longer improving"
    assert len(first.intermediate_values) == 3
    assert not [name for name in states(folder) if "00000" in name]


def test_time_for_the_winner_is_that_of_a_whole_training(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", n_trials=3, budget_epochs=3)
    store = reopen(folder)
    work(store, Rounds(worse), narrow(), budget_of(folder), in_flight=3)
    # A quarter of a second an epoch, nine epochs, two seeds, and the baselines.
    expected = 1.25 * (2 * 9 * 0.25 + 1.5 * 9 * 0.25)
    assert final_seconds(store.trials(), 2, 9) == pytest.approx(expected)
    end_paused(store, narrow(), "rounds")
    assert final_seconds(store.trials(), 2, 9) == pytest.approx(expected)


def test_time_that_runs_out_pauses_all_in_hand(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", budget_epochs=1000)
    store, rounds = reopen(folder), Rounds()
    budget = Budget(seconds_left=lambda trials: 12 - rounds.epochs, max_epochs=9)
    search(store, rounds, budget, in_flight=4)
    trials = store.trials()
    assert {t.user_attrs["stopped"] for t in trials} <= {"paused", ""}
    assert rounds.epochs == epochs_of(trials)
    assert 12 <= rounds.epochs < 16
