"""How trials end, and what is recorded of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import optuna
import pytest
from made_up import ATTRIBUTES, Curves, create, leases, narrow, reopen, search
from optuna.trial import FrozenTrial, TrialState

from tunekit.budget import Budget, best_of
from tunekit.config import PRUNERS
from tunekit.errors import StoppedError
from tunekit.store import Store
from tunekit.trial import Recipe, Run


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
        assert attrs["seconds"] == 0.25 * 6
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
    store = reopen(create(tmp_path / "s", pruner=name, n_trials=2))
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
        "5 trials in a row failed, 5 of 5: ValueError: no. 8; "
        "mend that and run the same command again"
    )
    assert leases(store) == []
    # Whoever goes on learns at once that nothing was mended.
    with pytest.raises(StoppedError, match="6 trials in a row failed, 6 of 6: "):
        search(reopen(store.folder), Curves(loss), Budget(n_trials=20))
    assert len(store.trials()) == 10
    broken[0] = False
    search(store, Curves(loss), Budget(n_trials=12))
    assert [t.state for t in store.trials()[10:]] == [TrialState.COMPLETE] * 2
    broken[0] = True
    with pytest.raises(StoppedError, match="5 trials in a row failed"):
        search(reopen(store.folder), Curves(loss), Budget(n_trials=30))


def test_workers_share_the_count_and_the_commonest_cause_is_told(store: Store) -> None:
    def loss(run: Run, epoch: int) -> float:
        if run.key == "trial-4":
            raise ZeroDivisionError("of my own")
        raise ValueError(f"no room for {run.key}\nat all")

    for n in range(1, 5):  # each trial by another process
        search(reopen(store.folder), Curves(loss), Budget(n_trials=n))
    with pytest.raises(StoppedError) as caught:
        search(reopen(store.folder), Curves(loss), Budget(n_trials=9))
    assert str(caught.value) == (
        "5 trials in a row failed, 4 of 5: ValueError: no room for trial-3; "
        "mend that and run the same command again"
    )


def test_optuna_says_nothing(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    search(store, Curves(), Budget(n_trials=2))
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert optuna.logging.get_verbosity() != 0
