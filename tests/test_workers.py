"""The loop of a search, with engines of a few lines and no network."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from made_up import (
    ATTRIBUTES,
    Curves,
    Killed,
    Rounds,
    budget_of,
    create,
    leases,
    narrow,
    reopen,
    search,
    timeless,
)
from optuna.trial import FrozenTrial, TrialState

from tunekit.budget import Budget, best_of, epochs_of
from tunekit.config import PRUNERS, SAMPLERS, Config
from tunekit.errors import DataError, StoppedError
from tunekit.paused import is_paused
from tunekit.space import Space
from tunekit.store import Store, check_same, settings_of
from tunekit.trial import (
    Feed,
    Heard,
    Recipe,
    Run,
    Verdict,
)
from tunekit.workers import Setup, Worker, stop


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = reopen(create(tmp_path / "s"))
    yield made
    made.release_all()


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


# --- several open at once -------------------------------------------------------------


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
        "5 trials in a row failed, the last with: ValueError: no trial-5; mend that"
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


class FragileRounds(Rounds):
    """Is killed at random: within a round, and between its epochs and the next."""

    def __init__(self, seed: int, in_flight: int) -> None:
        super().__init__()
        self.random, self.kills = random.Random(seed), 0
        # A trial of nine epochs has 27 moments: most attempts get on, the first little.
        self.longest = 30 + 25 * in_flight
        self.left = self.random.randint(1, 25)

    def event(self, run: Run, epoch: int, before: bool) -> None:
        self.turned(inside=False)

    def turned(self, *, inside: bool) -> None:
        self.left -= not inside
        if not self.left:
            self.kills += 1
            self.left = self.random.randint(1, self.longest)
            raise Killed


def broken_search(
    folder: Path,
    engine: Fragile | FragileRounds,
    budget: Budget,
    in_flight: int = 1,
) -> None:
    """Killed again and again, and each time begun by a new process."""
    for _ in range(1000):
        store = reopen(folder)
        try:
            search(store, engine, budget, in_flight=in_flight)
            return
        except Killed:
            running = [
                t.number
                for t in store.trials()
                if t.state == TrialState.RUNNING and not is_paused(t, 9)
            ]
            # One that has just reached its rung is held until its state is kept.
            assert {f"trial-{n:05d}.lock" for n in running} <= {*leases(store)}
            assert len(leases(store)) <= in_flight
        finally:
            store.release_all()
    raise AssertionError("never ended")


SLOW = {("gp", "median"), ("gp", "hyperband"), ("cmaes", "median")}


PAIRS = [pair for pair in itertools.product(SAMPLERS, PRUNERS) if pair not in SLOW]
N_TRIALS = {"gp": 12, "tpe": 15, "cmaes": 16}
"""Enough for a sampler to leave its start-up; 9 of the others."""


def whole_study(
    folder: Path, sampler_name: str, pruner_name: str, engine: Curves, in_flight: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Options of a study, and the trials of one that is never stopped."""
    options = {
        "sampler": sampler_name,
        "pruner": pruner_name,
        "max_epochs": 9,
        "n_trials": N_TRIALS.get(sampler_name, 9),
    }
    # Hyperband deals out its brackets by the study's name: it must be the same.
    whole = create(folder / "whole" / "study", **options)
    search(reopen(whole), engine, budget_of(whole), in_flight=in_flight)
    expected = [timeless(t) for t in reopen(whole).trials()]
    # Who promotes may spend the epochs of all on fewer.
    begun = len(expected)
    n_trials = options["n_trials"]
    assert begun == n_trials or (pruner_name == "promote" and begun > n_trials // 2)
    assert {t["state"] for t in expected} <= {TrialState.COMPLETE, TrialState.PRUNED}
    return options, expected


@pytest.mark.parametrize(("sampler_name", "pruner_name"), PAIRS)
def test_a_study_killed_anywhere_ends_as_if_never_killed(
    tmp_path: Path, sampler_name: str, pruner_name: str
) -> None:
    engine = Curves()
    options, expected = whole_study(tmp_path, sampler_name, pruner_name, engine, 1)
    if pruner_name != "none":
        assert TrialState.PRUNED in {t["state"] for t in expected}
    default = (sampler_name, pruner_name) == (SAMPLERS[0], PRUNERS[0])
    for seed in range(2 if default else 1):
        broken = create(tmp_path / f"broken-{seed}" / "study", **options)
        fragile = Fragile(seed, share=0.15)
        broken_search(broken, fragile, budget_of(broken))
        assert fragile.kills >= 3
        store = reopen(broken)
        assert [timeless(t) for t in store.trials()] == expected
        assert leases(store) == []
        assert epochs_of(store.trials()) == engine.epochs < fragile.epochs


@pytest.mark.parametrize("in_flight", [1, 3, 8])
@pytest.mark.parametrize(("sampler_name", "pruner_name"), PAIRS)
def test_with_several_open_it_ends_as_if_never_killed(
    tmp_path: Path, sampler_name: str, pruner_name: str, in_flight: int
) -> None:
    engine = Rounds()
    options, expected = whole_study(
        tmp_path, sampler_name, pruner_name, engine, in_flight
    )
    default = (sampler_name, pruner_name) == (SAMPLERS[0], PRUNERS[0])
    kills = 0
    for seed in range(4 if default else 1):
        broken = create(tmp_path / f"broken-{seed}" / "study", **options)
        fragile = FragileRounds(seed, in_flight)
        broken_search(broken, fragile, budget_of(broken), in_flight)
        kills += fragile.kills
        store = reopen(broken)
        assert [timeless(t) for t in store.trials()] == expected
        assert leases(store) == []
        assert epochs_of(store.trials()) == engine.epochs <= fragile.epochs
    assert kills


class KilledInRound(Rounds):
    """Is killed in the middle of its n-th round."""

    def __init__(self, loss: Callable[[Run, int], float], n: int) -> None:
        super().__init__(loss)
        self.rounds_left = n

    def turned(self, *, inside: bool) -> None:
        self.rounds_left -= not inside

    def event(self, run: Run, epoch: int, before: bool) -> None:
        if not self.rounds_left:
            raise Killed


@pytest.mark.parametrize("n", range(1, 16))
def test_a_verdict_does_not_look_at_what_came_after_it(tmp_path: Path, n: int) -> None:
    """The fifth complete trial lets the median judge, from the next epoch on.

    It ends in the twelfth round, in which the sixth is weak, but not yet to be judged;
    an epoch later it is the best of all.
    """

    def loss(run: Run, epoch: int) -> float:
        if run.key == "trial-5":
            return 9.0 - epoch if epoch <= 4 else 0.5 / epoch
        return 1.0 + 0.01 * epoch

    folder = create(tmp_path / "s", pruner="median", max_epochs=12, patience=3)
    store = reopen(folder)
    with pytest.raises(Killed):
        search(store, KilledInRound(loss, n), Budget(n_trials=6), in_flight=2)
    store.release_all()
    search(reopen(folder), Rounds(loss), Budget(n_trials=6), in_flight=2)
    trials = reopen(folder).trials()
    assert [len(t.intermediate_values) for t in trials] == [4, 4, 4, 4, 4, 12]
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 6


def test_one_open_at_a_time_is_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    _, rounds = whole_study(tmp_path / "a", "tpe", "halving", Rounds(), 1)
    _, one = whole_study(tmp_path / "b", "tpe", "halving", Curves(), 1)
    assert rounds == one


class Photographed(Rounds):
    """Copies the study folder at random moments: what a killed process leaves."""

    def __init__(self, folder: Path, album: Path, seed: int, share: float) -> None:
        super().__init__()
        self.folder, self.album, self.share = folder, album, share
        self.random = random.Random(seed)
        self.inside = 0

    def turned(self, *, inside: bool) -> None:
        # Of the moments within a turn there are fewer.
        if self.random.random() < self.share * (1 + inside):
            self.inside += inside
            copy = self.album / f"{len([*self.album.iterdir()]):03d}" / "study"
            shutil.copytree(self.folder, copy)

    def event(self, run: Run, epoch: int, before: bool) -> None:
        self.turned(inside=False)


@pytest.mark.parametrize("pruner_name", PRUNERS)
@pytest.mark.parametrize("in_flight", [3, 8])
def test_whatever_a_power_failure_leaves_ends_the_same(
    tmp_path: Path, pruner_name: str, in_flight: int
) -> None:
    """Also in the middle of a round's writing: all of a round is there, or nothing."""
    options, expected = whole_study(tmp_path, "tpe", pruner_name, Rounds(), in_flight)
    folder, album = tmp_path / "here" / "study", tmp_path / "album"
    album.mkdir()
    create(folder, **options)
    engine = Photographed(folder, album, seed=in_flight, share=0.04)
    budget = budget_of(folder)
    search(reopen(folder), engine, budget, in_flight=in_flight)
    assert [timeless(t) for t in reopen(folder).trials()] == expected
    assert engine.inside >= 3
    for copy in sorted(album.iterdir()):
        store = reopen(copy / "study")
        search(store, Rounds(), budget, in_flight=in_flight)
        assert [timeless(t) for t in store.trials()] == expected
        store.release_all()


class Watched(Rounds):
    """Looks at the journal's file at every moment."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.journal = folder / "journal.log"
        self.sizes: list[tuple[bool, int]] = []

    def turned(self, *, inside: bool) -> None:
        self.sizes.append((inside, self.journal.stat().st_size))


@pytest.mark.parametrize("in_flight", [1, 5])
def test_a_round_is_one_write(
    store: Store, in_flight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (waits.append(fd), real(fd))[1])
    engine = Watched(store.folder)
    before = engine.journal.stat().st_size
    search(store, engine, Budget(n_trials=10), in_flight=in_flight)
    turns = 0
    for inside, size in engine.sizes:
        assert size == before if inside else size >= before
        turns += not inside
        before = size
    rounds = 6 * 10 // in_flight
    assert turns == rounds + 1
    # The first turn opens trials; each round's is written and waited for once.
    assert len(waits) == turns


@pytest.mark.parametrize("limit", [1, 9, 20])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("in_flight", [1, 3, 8])
def test_epochs_trained_again_are_not_counted_twice(
    tmp_path: Path, limit: int, seed: int, in_flight: int
) -> None:
    folder = create(tmp_path / "s", pruner="halving", max_epochs=9)
    fragile = FragileRounds(seed, in_flight) if seed else Fragile(seed, 0.2)
    broken_search(folder, fragile, Budget(epochs=limit), in_flight)
    trials = reopen(folder).trials()
    assert epochs_of(trials) == limit
    assert all(t.state.is_finished() for t in trials)
    assert all(
        sorted(t.intermediate_values) == [*range(1, t.user_attrs["epochs"] + 1)]
        for t in trials
    )


@pytest.mark.parametrize("pruner_name", ["halving", "promote"])
@pytest.mark.parametrize("seed", range(6))
def test_whoever_insists_in_the_middle_of_a_turn_loses_nothing(
    tmp_path: Path, seed: int, pruner_name: str
) -> None:
    """A second Ctrl-C: what was told of the round is kept, the rest trained again."""

    class Insisted(Rounds):
        moments = random.Random(seed)

        def turned(self, *, inside: bool) -> None:
            if inside and self.moments.random() < 0.05:
                raise Killed

    folder = create(tmp_path / "s", pruner=pruner_name, max_epochs=9)
    engine = Insisted()
    recorded: dict[int, dict[int, float]] = {}
    for _ in range(200):
        store = reopen(folder)
        try:
            search(store, engine, Budget(epochs=50, max_epochs=9), in_flight=4)
            break
        except Killed:
            for trial in store.trials():
                before = recorded.get(trial.number, {})
                now = recorded[trial.number] = {**trial.intermediate_values}
                assert before.items() <= now.items()
        finally:
            store.release_all()
    trials = reopen(folder).trials()
    assert recorded
    assert epochs_of(trials) == 50
    assert all(t.state.is_finished() for t in trials)
    for trial in trials:
        curve = trial.intermediate_values
        assert sorted(curve) == [*range(1, trial.user_attrs["epochs"] + 1)]
        assert recorded.get(trial.number, {}).items() <= curve.items()


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


def test_a_kill_after_the_last_epoch_of_the_budget_loses_none(tmp_path: Path) -> None:
    """Trained again it costs nothing, and is what it was: it has all of its epochs."""
    folder = create(tmp_path / "s")

    class Dies(Curves):
        def event(self, run: Run, epoch: int, before: bool) -> None:
            if epoch == 4 and not before:
                raise Killed

    store = reopen(folder)
    with pytest.raises(Killed):
        search(store, Dies(), Budget(epochs=4))
    store.release_all()
    for engine in (Curves(), Rounds()):
        search(reopen(folder), engine, Budget(epochs=4), in_flight=3)
    (trial,) = reopen(folder).trials()
    assert [*trial.intermediate_values] == [1, 2, 3, 4]
    assert trial.user_attrs["epochs"] == 4
    assert trial.user_attrs["stopped"] == "budget"


@pytest.mark.parametrize("engine", [Curves, Rounds])
def test_the_time_of_a_trial_taken_up_again_is_that_of_the_whole(
    tmp_path: Path, engine: type[Curves]
) -> None:
    folder = create(tmp_path / "s", max_epochs=3)

    class Dies(engine):  # type: ignore[misc, valid-type]
        def event(self, run: Run, epoch: int, before: bool) -> None:
            if epoch == 2:
                raise Killed

    store = reopen(folder)
    with pytest.raises(Killed):
        search(store, Dies(), Budget(n_trials=1))
    store.release_all()
    search(reopen(folder), engine(), Budget(n_trials=1))
    (trial,) = reopen(folder).trials()
    # What is recorded are the seconds that all of its epochs take.
    assert trial.user_attrs["seconds"] == 0.75
    assert trial.user_attrs["epochs"] == 3


@pytest.mark.parametrize(("engine", "in_flight"), [(Curves, 1), (Rounds, 3)])
def test_killed_trials_leave_no_open_file(
    tmp_path: Path, engine: type[Curves], in_flight: int
) -> None:
    from tunekit.board import Board

    folder = create(tmp_path / "s", max_epochs=3)

    class Dies(engine):  # type: ignore[misc, valid-type]
        def event(self, run: Run, epoch: int, before: bool) -> None:
            if epoch == 2:
                raise Killed

    store = reopen(folder)
    board = Board(folder / "tb")
    board.describe({})
    options = {"budget": Budget(n_trials=in_flight), "in_flight": in_flight}
    with pytest.raises(Killed):
        search(store, Dies(), board=board, **options)
    store.release_all()
    search(reopen(folder), engine(), board=Board(folder / "tb"), **options)
    for number in range(in_flight):
        # The curves are drawn anew: one file, with all of them.
        (events,) = [*(folder / "tb" / f"trial-{number:05d}").iterdir()]
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
