"""tune as it is without a sampler or a pruner: coarse to fine, paused and promoted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from tunekit import Categorical, CoarseToFineSampler, LogUniform, Uniform, tune
from tunekit.budget import Budget
from tunekit.choosers import Halving
from tunekit.draws import UniformSampler
from tunekit.iterables import IterableEngine
from tunekit.rungs import ladder
from tunekit.store import MemoryStore
from tunekit.tuning.candidates import OwnSpace
from tunekit.workers import work

SPACE = {"lr": LogUniform(1e-3, 1.0), "x": Uniform(0, 1), "kind": Categorical("a", "b")}


class Stop(BaseException):
    """The process is gone."""


class Loops:
    """Makes training loops, and counts; gone after so many values."""

    def __init__(self, last: float = math.inf) -> None:
        self.last, self.given, self.open = last, 0, 0

    def __call__(self, params: dict[str, Any]) -> Iterator[float]:
        self.open += 1
        try:
            for epoch in range(1, 10):
                if self.given >= self.last:
                    raise Stop
                self.given += 1
                away = abs(math.log10(params["lr"]) + 1) + params["x"]
                yield away + (params["kind"] == "b") + 1 / epoch
        finally:
            self.open -= 1


def by_function(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "lr": trial.suggest_float("lr", 1e-3, 1.0, log=True),
        "x": trial.suggest_float("x", 0, 1),
        "kind": trial.suggest_categorical("kind", ["a", "b"]),
    }


def told(result: Any) -> list[Any]:
    return [
        (t.number, t.state, t.params, t.value, t.intermediate_values)
        for t in result.study.trials
    ]


def search(make: Any, space: Any = SPACE, **options: Any) -> Any:
    return tune(make, space, **{"max_epochs": 9, "budget_epochs": 50, **options})


def test_named_they_are_the_same() -> None:
    named = {"sampler": "coarse-to-fine", "pruner": "promote"}
    assert told(search(Loops())) == told(search(Loops(), **named))


@pytest.mark.parametrize("space", [SPACE, by_function])
@pytest.mark.parametrize("in_flight", [1, 3])
@pytest.mark.parametrize("last", [0, 9, 26, 49])
def test_stopped_anywhere_the_same_call_goes_on(
    last: int, in_flight: int, space: Any, tmp_path: Path
) -> None:
    whole = search(Loops(), space, in_flight=in_flight)
    with pytest.raises(Stop):
        search(Loops(last), space, in_flight=in_flight, out=tmp_path)
    result = search(Loops(), space, in_flight=in_flight, out=tmp_path)
    assert told(result) == told(whole)
    assert result.history == whole.history


@pytest.mark.parametrize("sampler", ["coarse-to-fine", "random"])
@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("budget", [12, 20, 33, None])
def test_all_trials_begin_and_no_epoch_is_too_many(
    sampler: str, in_flight: int, budget: int | None
) -> None:
    loops = Loops()
    result = search(
        loops, n_trials=12, budget_epochs=budget, in_flight=in_flight, sampler=sampler
    )
    assert len(result.trials) == 12
    assert loops.given == result.trials["epochs"].sum() == (budget or 27)
    assert (result.trials["epochs"] >= 1).all()


@pytest.mark.parametrize("in_flight", [1, 4])
def test_fewer_epochs_than_trials_begin_as_many(in_flight: int) -> None:
    result = search(Loops(), n_trials=12, budget_epochs=7, in_flight=in_flight)
    assert list(result.trials["epochs"]) == [1] * 7


@pytest.mark.parametrize("n_trials", [1, 2, 3])
def test_where_nothing_is_left_to_do_the_search_ends(n_trials: int) -> None:
    result = search(Loops(), n_trials=n_trials, budget_epochs=100)
    assert list(result.trials["epochs"]) == [9] * n_trials
    assert set(result.trials["state"]) == {"complete"}


def test_what_is_enqueued_begins_whatever_it_promises() -> None:
    bad = {"lr": 1e-3, "x": 1.0, "kind": "b"}
    enqueue = [{**bad, "x": 1.0 - n / 100} for n in range(12)]
    result = search(Loops(), enqueue=enqueue, budget_epochs=40)
    assert list(result.trials["x"][:12]) == [each["x"] for each in enqueue]
    assert result.trials["x"][12:].nunique() > 3


@pytest.mark.parametrize("pruner", ["none", optuna.pruners.NopPruner()])
def test_other_pruners_pause_nothing(pruner: Any) -> None:
    result = search(Loops(), pruner=pruner, n_trials=4, budget_epochs=None)
    assert list(result.trials["epochs"]) == [9] * 4


@pytest.mark.parametrize(
    "sampler",
    ["tpe", optuna.samplers.RandomSampler(seed=1), CoarseToFineSampler(seed=1)],
)
def test_other_samplers_are_promoted_by_a_model_too(sampler: Any) -> None:
    result = search(Loops(), sampler=sampler, budget_epochs=60)
    epochs = result.trials["epochs"]
    assert epochs.sum() == 60
    assert set(epochs) >= {1, 9}
    promoted = result.trials["value"][epochs == 9]
    assert promoted.min() == result.best_value


@pytest.mark.parametrize("sampler", ["random", "qmc", RandomSampler(seed=1)])
def test_among_random_trials_the_good_are_promoted_before_all_have_begun(
    sampler: Any,
) -> None:
    """That the model could propose better is no reason to draw another at random."""
    begun = 0
    ends: list[int] = []

    def make(params: dict[str, Any]) -> Iterator[float]:
        nonlocal begun
        begun += 1
        for epoch, value in enumerate(Loops()(params), start=1):
            if epoch == 9:
                ends.append(begun)
            yield value

    search(make, sampler=sampler, n_trials=60, budget_epochs=135)
    assert begun == 60
    assert sum(n < 40 for n in ends) >= 2


def test_ones_own_coarse_to_fine_sees_the_study_as_it_is() -> None:
    seen: set[TrialState] = set()

    class Looking(CoarseToFineSampler):
        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            seen.update(t.state for t in study.trials if "to_epoch" in t.user_attrs)
            return super().sample_relative(study, trial, search_space)

    search(Loops(), sampler=Looking(seed=0))
    assert TrialState.RUNNING in seen
    assert TrialState.PRUNED not in seen


def test_loops_that_are_let_go_are_closed() -> None:
    loops = Loops()
    settings = {"max_epochs": 9, "patience": 9, "seed": 0}
    rule = Halving(9, most_paused=4)
    proposes = UniformSampler(seed=0)
    store = MemoryStore("s", settings, proposes, None, lambda study: rule)
    engine = IterableEngine(lambda chosen: loops(chosen.params))
    work(store, engine, OwnSpace(SPACE, 0), Budget(epochs=60, max_epochs=9))
    weak = [t for t in store.trials() if t.user_attrs.get("stopped") == "weak"]
    assert weak
    paused = store.tally().paused
    assert loops.open == len(paused) <= 5
    engine.close()
    assert loops.open == 0


def test_rungs_are_where_trials_end() -> None:
    epochs = search(Loops(), budget_epochs=60).trials["epochs"]
    assert (~epochs.isin(ladder(9))).sum() <= 1
