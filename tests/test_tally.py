"""A tally knows at every moment what counting anew would say."""

from __future__ import annotations

import random
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from tunekit.budget import Budget, epochs_of
from tunekit.history import history
from tunekit.paused import is_paused
from tunekit.rungs import Promote
from tunekit.store import MemoryStore, Store
from tunekit.tally import Tally, as_one, opened
from tunekit.tally import ended as ended_of

SETTINGS = {"max_epochs": 9, "patience": 9, "seed": 0}


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore("s", SETTINGS)
    Store.create(tmp_path / "s", SETTINGS, {"fingerprint": "x", "source": "y"})
    return Store(tmp_path / "s")


@pytest.mark.parametrize("seed", range(3))
def test_it_says_what_counting_anew_says(store: Store, seed: int) -> None:
    draw = random.Random(seed)
    opened: list[optuna.Trial] = []
    order, epoch = [], {}
    for _ in range(120):
        what = draw.random()
        if not opened or what < 0.2:
            trial = store.next_trial(
                lambda trials, step: True, lambda trial: trial.suggest_float("x", 0, 1)
            )
            assert trial is not None
            opened.append(trial)
            epoch[trial.number] = 0
        elif what < 0.8:
            trial = draw.choice(opened)
            epoch[trial.number] += 1
            store.report(trial, draw.random(), epoch[trial.number])
            order.append(trial._trial_id)
        else:
            trial = opened.pop(draw.randrange(len(opened)))
            store.finish(trial, TrialState.PRUNED, {"best_val_loss": None})
        tally, trials = store.tally(), store.trials()
        assert [*tally] == trials
        assert tally.epochs == sum(len(t.intermediate_values) for t in trials)
        assert tally.epochs == epochs_of(trials)
        running = [t.number for t in trials if t.state == TrialState.RUNNING]
        assert [t.number for t in tally.opened] == running
        budget = Budget(n_trials=100, epochs=200, max_epochs=9)
        assert budget.may_start(tally) == budget.may_start(trials)
        assert budget.epochs_left(tally, {0, 3}) == budget.epochs_left(trials, {0, 3})
    assert store.order() == order


@pytest.mark.parametrize("seed", range(3))
def test_paused_trials_and_those_in_anothers_stead(seed: int) -> None:
    draw = random.Random(seed)
    tally, trials = Tally(9), list[FrozenTrial]()

    def made(number: int, epochs: int, state: TrialState, **attrs: int) -> None:
        trial = create_trial(
            state=state,
            value=1.0 if state == TrialState.COMPLETE else None,
            intermediate_values={n + 1: 0.5 for n in range(epochs)},
            user_attrs=attrs,
        )
        trial.number = number
        trials[number : number + 1] = [trial]
        tally.see(trial)

    ended = [TrialState.PRUNED, TrialState.COMPLETE]
    continued: set[int] = set()
    for _ in range(200):
        number = draw.randrange(len(trials) + 1)
        state = draw.choice([TrialState.RUNNING, TrialState.RUNNING, *ended])
        attrs = {"to_epoch": draw.choice([1, 3, 9])}
        if number < len(trials):
            known = trials[number].user_attrs.get("continues")
            attrs |= {} if known is None else {"continues": known}
        elif trials and draw.random() < 0.5:
            old = draw.randrange(len(trials))
            if old not in continued:
                continued.add(old)
                attrs["continues"] = old
        made(number, draw.randrange(10), state, **attrs)
        assert [*as_one(tally)] == [*as_one(trials)]
        assert tally.epochs == epochs_of(trials)
        assert tally.opened == opened(trials, 9)
        assert tally.paused == [t for t in trials if is_paused(t, 9)]
        assert tally.ended == ended_of(trials)
        assert all(tally.is_open(t.number) == (t in tally.opened) for t in trials)
        for budget in (Budget(30, 200, max_epochs=9), Budget(5, max_epochs=9)):
            assert budget.may_start(tally) == budget.may_start(trials)
            assert budget.epochs_left(tally, {1}) == budget.epochs_left(trials, {1})
            step = Promote(draw.randrange(len(trials)), 9)
            assert budget.allows(tally, step) == budget.allows(trials, step)
    assert continued


def test_another_process_is_seen(tmp_path: Path) -> None:
    Store.create(tmp_path / "s", SETTINGS, {"fingerprint": "x", "source": "y"})
    ours, theirs = Store(tmp_path / "s"), Store(tmp_path / "s")
    trial = theirs.next_trial(lambda trials, step: True, lambda trial: None)
    assert trial is not None
    assert len(ours.tally().opened) == 1
    theirs.report(trial, 0.5, 1)
    assert ours.tally().epochs == 1
    theirs.finish(trial, TrialState.COMPLETE, {}, 0.5)
    assert ours.tally().opened == []


def test_in_memory_a_lease_is_held_until_it_is_released() -> None:
    store = MemoryStore("s", SETTINGS)

    def none(trials: object, step: object) -> bool:
        return False

    trial = store.next_trial(lambda trials, step: True, lambda trial: None)
    assert trial is not None
    assert store.next_trial(none, lambda trial: None) is None
    store.release_all()
    again = store.next_trial(none, lambda trial: None)
    assert again is not None
    assert again.number == trial.number


@pytest.mark.parametrize(
    ("maximize", "expected"),
    [(False, [(1, 3.0), (3, 2.0), (5, 1.0)]), (True, [(1, 3.0), (2, 5.0), (4, 9.0)])],
)
def test_history_goes_by_the_order_of_the_work(
    maximize: bool, expected: list[tuple[int, float]]
) -> None:
    study = optuna.create_study()
    one, two = study.ask(), study.ask()
    order = []
    for trial, epoch, value in [
        (one, 1, 3.0),
        (two, 1, 5.0),
        (one, 2, 2.0),
        (two, 2, 9.0),
        (one, 3, 1.0),
        (two, 3, float("inf")),
        (two, 4, 1.0),
    ]:
        trial.report(value, epoch)
        order.append(trial._trial_id)
    assert history(study.get_trials(), order, maximize=maximize) == expected


def test_trials_that_wait_in_the_queue_are_begun_first(tmp_path: Path) -> None:
    Store.create(tmp_path / "s", SETTINGS, {"fingerprint": "x", "source": "y"})
    store = Store(tmp_path / "s")

    def begin() -> float:
        trial = store.next_trial(
            lambda trials, step: True, lambda trial: trial.suggest_float("x", 0, 1)
        )
        assert trial is not None
        return float(trial.params["x"])

    begin()
    store.study.enqueue_trial({"x": 0.125})
    store.study.enqueue_trial({"x": 0.25})
    assert [begin(), begin()] == [0.125, 0.25]
    assert begin() not in (0.125, 0.25)
    assert [t.params["x"] for t in Store(tmp_path / "s").trials()][1:3] == [0.125, 0.25]
