"""Budgets over one trial at a time and over several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_up import (
    ATTRIBUTES,
    Curves,
    Rounds,
    create,
    leases,
    narrow,
    reopen,
    search,
    timeless,
)
from optuna.trial import FrozenTrial, TrialState

from tunekit.budget import Budget, epochs_of
from tunekit.errors import DataError, StoppedError
from tunekit.store import Store
from tunekit.trial import Feed, Heard, Recipe, Run, Verdict


def most_open(engine: Rounds) -> list[int]:
    """How many runs were open in each round, noted as the engine trains."""
    seen: list[int] = []
    real = engine.train_all

    class Counting:
        def __init__(self, feed: Feed) -> None:
            self.feed = feed

        def __getattr__(self, name: str) -> Any:
            return getattr(self.feed, name)

        def epochs(self, heard: list[Heard]) -> list[Verdict]:
            seen.append(len(heard))
            return self.feed.epochs(heard)

    engine.train_all = lambda feed, slots: real(Counting(feed), slots)  # type: ignore[method-assign, assignment]
    return seen


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


@pytest.mark.parametrize("in_flight", [1, 2, 8, 20])
def test_no_more_are_open_than_were_asked_for(store: Store, in_flight: int) -> None:
    engine = Rounds()
    seen = most_open(engine)
    search(store, engine, Budget(n_trials=12), in_flight=in_flight)
    assert max(seen) == min(12, in_flight)
    assert [t.state for t in store.trials()] == [TrialState.COMPLETE] * 12


def test_whoever_ends_is_heard_of_once_and_makes_room(tmp_path: Path) -> None:
    store = reopen(create(tmp_path / "s", max_epochs=9, patience=2))
    heard: list[FrozenTrial] = []

    def loss(run: Run, epoch: int) -> float:
        # Trial n is at its best in epoch n, and stops two later.
        return 1.0 + abs(epoch - int(run.key.removeprefix("trial-")))

    search(store, Rounds(loss), Budget(n_trials=5), in_flight=3, on_end=heard.append)
    # 0 ends in round 3 (of 1, 2, 3), 1 in 3, 2 in 4, then 3 and 4, both begun in 4.
    assert [t.number for t in heard] == [0, 1, 2, 3, 4]
    assert [len(t.intermediate_values) for t in store.trials()] == [3, 3, 4, 5, 6]
    for trial in heard:
        assert trial.state == TrialState.COMPLETE
        assert trial.user_attrs["stopped"] == "no longer improving"
        assert set(trial.user_attrs) == ATTRIBUTES | {"stopped"}
    assert leases(store) == []


@pytest.mark.parametrize("in_flight", [1, 2, 3, 8])
@pytest.mark.parametrize("pruner_name", ["none", "halving", "median"])
@pytest.mark.parametrize("limit", [1, 7, 8, 9, 31, 50])
def test_several_open_spend_the_budget_to_the_last_epoch(
    tmp_path: Path, in_flight: int, pruner_name: str, limit: int
) -> None:
    folder = create(tmp_path / "s", pruner=pruner_name, max_epochs=9, patience=3)
    store = reopen(folder)

    class Careful(Rounds):
        def turned(self, *, inside: bool) -> None:
            assert epochs_of(store.trials()) <= limit

    engine = Careful()
    search(store, engine, Budget(epochs=limit), in_flight=in_flight)
    trials = store.trials()
    assert epochs_of(trials) == engine.epochs == limit
    assert all(t.state.is_finished() for t in trials)
    # A trial without a single epoch would be one that nobody could pay.
    assert all(t.intermediate_values for t in trials)
    search(store, engine, Budget(epochs=limit), in_flight=in_flight)
    assert engine.epochs == limit


@pytest.mark.parametrize("limit", range(12, 18))
def test_the_last_epochs_are_the_earlier_trials(store: Store, limit: int) -> None:
    """Of four open trials with three epochs each, the first get what is left."""
    search(store, Rounds(), Budget(n_trials=4, epochs=limit), in_flight=4)
    trials = store.trials()
    assert epochs_of(trials) == limit
    # The fourth epoch goes to the first of them; who has it may get the fifth.
    expected = [3 + (n < limit - 12) for n in range(4)]
    if limit > 16:
        expected = [4 + (n < limit - 16) for n in range(4)]
    assert [len(t.intermediate_values) for t in trials] == expected
    for trial in trials:
        assert trial.state == TrialState.PRUNED
        assert trial.user_attrs["stopped"] == "budget"


def test_what_a_trial_that_is_over_leaves_goes_to_the_others(tmp_path: Path) -> None:
    """Trial 0 is tired in the third round: the last epoch of seven is the other's."""
    store = reopen(create(tmp_path / "s", max_epochs=9, patience=2))

    def loss(run: Run, epoch: int) -> float:
        return float(epoch) if run.key == "trial-0" else 1.0 / epoch

    search(store, Rounds(loss), Budget(n_trials=2, epochs=7), in_flight=2)
    trials = store.trials()
    assert [len(t.intermediate_values) for t in trials] == [3, 4]
    assert [t.user_attrs["stopped"] for t in trials] == [
        "no longer improving",
        "budget",
    ]


@pytest.mark.parametrize("engine", [Curves, Rounds])
def test_the_last_epoch_of_budget_and_patience_alike_is_complete(
    tmp_path: Path, engine: type[Curves]
) -> None:
    store = reopen(create(tmp_path / "s", max_epochs=9, patience=2))
    search(store, engine(lambda run, e: float(e)), Budget(epochs=3))
    (trial,) = store.trials()
    assert trial.state == TrialState.COMPLETE
    assert trial.user_attrs["stopped"] == "no longer improving"


def test_what_a_weak_trial_leaves_goes_to_the_others(tmp_path: Path) -> None:
    store = reopen(create(tmp_path / "s", pruner="halving", max_epochs=9))
    # Every trial is worse than the one before it: all but the first stop at once.
    worse = Rounds(lambda run, e: int(run.key.removeprefix("trial-")) + 1 / e)
    search(store, worse, Budget(n_trials=3, epochs=11), in_flight=3)
    trials = store.trials()
    assert [len(t.intermediate_values) for t in trials] == [9, 1, 1]
    assert [t.user_attrs["stopped"] for t in trials] == ["", "weak", "weak"]


def test_no_new_trial_begins_without_an_epoch_for_it(store: Store) -> None:
    engine = Rounds()
    search(store, engine, Budget(epochs=5), in_flight=8)
    # Nor more trials than the budget can bring somewhere: two epochs each, at least.
    assert [len(t.intermediate_values) for t in store.trials()] == [3, 2]
    assert engine.epochs == 5


def test_time_that_runs_out_ends_all_trials_in_hand(store: Store) -> None:
    """After the round in which it did; the first began alone, to see what one takes."""
    rounds = Rounds()

    def left(trials: list[FrozenTrial]) -> float:
        return 12 - rounds.epochs

    search(store, rounds, Budget(seconds_left=left), in_flight=4)
    trials = store.trials()
    assert [len(t.intermediate_values) for t in trials] == [4, 3, 3, 3]
    assert {t.user_attrs["stopped"] for t in trials} == {"budget"}


def test_a_trial_that_fails_does_not_end_the_others(store: Store) -> None:
    broken = {"trial-1": 3, "trial-2": 1, "trial-4": 6}

    def loss(run: Run, epoch: int) -> float:
        if broken.get(run.key) == epoch:
            raise ValueError(f"no {run.key}")
        return Curves.smooth(run, epoch)

    alone = Curves()
    heard: list[int] = []
    search(
        store,
        Rounds(loss),
        Budget(n_trials=6),
        in_flight=3,
        on_end=lambda trial: heard.append(trial.number),
    )
    assert sorted(heard) == [*range(6)]
    for trial in store.trials():
        key = f"trial-{trial.number}"
        epochs = [*range(1, broken.get(key, 7))]
        assert [*trial.intermediate_values] == epochs
        if key in broken:
            assert trial.state == TrialState.FAIL
            assert trial.user_attrs["error"] == f"ValueError: no {key}"
            assert "in loss" in trial.user_attrs["traceback"]
            assert trial.user_attrs["epochs"] == len(epochs)
        else:
            assert trial.state == TrialState.COMPLETE
            recipe = Recipe().with_params(
                {**narrow().fixed, **trial.user_attrs["params"]}
            )
            run = Run(recipe=recipe, max_epochs=6, patience=10, seed=0, key=key)
            whole = alone.train(run, lambda epoch, metrics: True)
            assert [*trial.intermediate_values.values()] == [
                m.val_loss for m in whole.curve
            ]
    assert leases(store) == []


@pytest.mark.parametrize("in_flight", [1, 3, 5, 8])
def test_five_failures_in_a_row_stop_also_several(store: Store, in_flight: int) -> None:
    broken = [True]

    def loss(run: Run, epoch: int) -> float:
        if broken[0] and run.key != "trial-0":
            raise ValueError(f"no {run.key}")
        return 1.0 / epoch

    with pytest.raises(StoppedError) as caught:
        search(store, Rounds(loss), Budget(n_trials=20), in_flight=in_flight)
    states = [t.state for t in store.trials()]
    assert [n for n, s in enumerate(states) if s == TrialState.FAIL] == [*range(1, 6)]
    assert str(caught.value).startswith(
        "5 trials in a row failed, 5 of 5: ValueError: no trial-5; mend that"
    )
    # The others are not lost: they are taken up, and what they had stays.
    store.release_all()
    broken[0] = False
    search(reopen(store.folder), Rounds(loss), Budget(n_trials=20), in_flight=in_flight)
    states = [t.state for t in store.trials()]
    assert len(states) == 20
    assert states.count(TrialState.COMPLETE) == 15
    assert states.count(TrialState.FAIL) == 5


def test_a_trial_that_ends_well_makes_the_count_begin_anew(store: Store) -> None:
    def loss(run: Run, epoch: int) -> float:
        if run.key != "trial-0" and epoch == 2:
            raise ValueError("no")
        return 1.0 / epoch

    # Three times three fail in rounds 2, 4 and 6; trial 0 ends in 6, but after them.
    with pytest.raises(StoppedError):
        search(store, Rounds(loss), Budget(n_trials=10), in_flight=4)
    states = [t.state for t in store.trials()]
    assert states.count(TrialState.FAIL) == 5
    assert states[0] == TrialState.RUNNING


@pytest.mark.parametrize("engine", [Curves, Rounds])
def test_an_error_of_ours_stops_the_study_and_fails_no_trial(
    store: Store, engine: type[Curves]
) -> None:
    def loss(run: Run, epoch: int) -> float:
        if run.key == "trial-1" and epoch == 3:
            raise DataError("the table is gone")
        return 1.0 / epoch

    with pytest.raises(DataError, match="the table is gone"):
        search(store, engine(loss), Budget(n_trials=4), in_flight=3)
    states = {t.number: t.state for t in store.trials()}
    assert states[1] == TrialState.RUNNING
    assert TrialState.FAIL not in states.values()
    assert [*store.trials()[1].intermediate_values] == [1, 2]
