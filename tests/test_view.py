"""Samplers see paused trials as PRUNED at their last value, and all else as it is."""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

import optuna
import pytest
from optuna.pruners import HyperbandPruner, _filter_study
from optuna.trial import FrozenTrial, TrialState, create_trial

from tunekit.paused import is_paused
from tunekit.search import SeededSampler
from tunekit.view import seen_by_samplers

X = optuna.distributions.FloatDistribution(0.0, 1.0)
SAMPLERS = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, n_startup_trials=5),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed, n_startup_trials=5),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(
        seed=seed, n_startup_trials=5, consider_pruned_trials=True
    ),
    "qmc": lambda seed: optuna.samplers.QMCSampler(seed=seed),
    "nsga": lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=4),
}


@pytest.fixture(autouse=True)
def quiet() -> Any:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
    optuna.logging.set_verbosity(before)


def trial_at(
    state: TrialState,
    values: dict[int, float],
    to_epoch: int | None = None,
    x: float = 0.5,
) -> FrozenTrial:
    return create_trial(
        state=state,
        value=values[max(values)] if state == TrialState.COMPLETE else None,
        params={"x": x, "y": x},
        distributions={"x": X, "y": X},
        intermediate_values=values,
        user_attrs={} if to_epoch is None else {"to_epoch": to_epoch},
    )


def study_of(*trials: FrozenTrial, **options: Any) -> optuna.Study:
    study = optuna.create_study(**options)
    for each in trials:
        study._storage.create_new_trial(study._study_id, template_trial=each)
    return study


RUNNING, COMPLETE = TrialState.RUNNING, TrialState.COMPLETE


@pytest.mark.parametrize(
    ("state", "values", "to_epoch", "paused"),
    [
        (RUNNING, {1: 0.5, 2: 0.4}, 2, True),
        (RUNNING, {1: 0.5}, 2, False),
        (RUNNING, {}, 2, False),
        (RUNNING, {1: 0.5}, None, False),
        (COMPLETE, {1: 0.5, 2: 0.4}, 2, False),
    ],
)
def test_only_what_waits_at_its_epoch_is_shown_as_pruned(
    state: TrialState, values: dict[int, float], to_epoch: int | None, paused: bool
) -> None:
    study = study_of(trial_at(state, values, to_epoch))
    before = study.trials[0]
    (shown,) = seen_by_samplers(study).trials
    assert is_paused(before, math.inf) == paused
    assert (shown.state == TrialState.PRUNED) == paused
    if paused:
        assert shown.value == values[max(values)]
        shown.state, shown.values = before.state, before.values
    assert shown == before == study.trials[0]


def test_states_counts_and_single_trials_agree() -> None:
    study = study_of(
        trial_at(RUNNING, {1: 0.5}, 1),
        trial_at(RUNNING, {1: math.nan}, 1),
        trial_at(RUNNING, {1: 0.5}, 3),
        trial_at(COMPLETE, {1: 0.5}),
    )
    seen = seen_by_samplers(study)
    pruned = seen.get_trials(states=(TrialState.PRUNED,))
    assert [t.number for t in pruned] == [0, 1]
    assert [t.value for t in pruned] == [0.5, None]
    assert [t.number for t in seen.get_trials(states=(RUNNING,))] == [2]
    storage = seen._storage
    assert storage.get_n_trials(seen._study_id, TrialState.PRUNED) == 2
    assert storage.get_n_trials(seen._study_id) == 4
    one = storage.get_trial(pruned[0]._trial_id)
    assert one.state == TrialState.PRUNED
    assert study.best_trial == seen.best_trial


def test_what_changes_is_seen_and_what_is_written_reaches_the_study() -> None:
    study = study_of(trial_at(RUNNING, {1: 0.5}, 1))
    seen, (frozen,) = seen_by_samplers(study), study.trials
    assert seen.trials[0].value == 0.5
    storage = study._storage
    storage.set_trial_user_attr(frozen._trial_id, "to_epoch", 2)
    assert seen.trials[0].state == RUNNING
    storage.set_trial_intermediate_value(frozen._trial_id, 2, 0.25)
    assert seen.trials[0].value == 0.25
    seen._storage.set_trial_system_attr(frozen._trial_id, "mark", 7)
    seen._storage.set_study_system_attr(study._study_id, "mark", 8)
    assert study.trials[0].system_attrs["mark"] == 7
    assert storage.get_study_system_attrs(study._study_id)["mark"] == 8


@pytest.mark.parametrize("pruner", ["none", "hyperband"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_works_on_paused_trials_alone(name: str, pruner: str) -> None:
    pruners = {
        "none": optuna.pruners.NopPruner(),
        "hyperband": HyperbandPruner(min_resource=1, max_resource=9),
    }
    sampler = SeededSampler(SAMPLERS[name], seed=0)
    study = optuna.create_study(sampler=sampler, pruner=pruners[pruner])
    for number in range(30):
        trial = study.ask()
        x, y = (trial.suggest_float(k, 0, 1) for k in "xy")
        assert 0 <= x <= 1
        trial.set_user_attr("to_epoch", 1)
        trial.report((x - 0.3) ** 2 + (y - 0.3) ** 2, 1)
        if number % 5 == 0:
            study.tell(trial, (x - 0.3) ** 2 + (y - 0.3) ** 2)
    assert len({t.params["x"] for t in study.trials}) >= 5


def test_hyperbands_part_of_a_study_shows_paused_trials_as_pruned() -> None:
    pruner = HyperbandPruner(min_resource=1, max_resource=9)
    trials = [trial_at(RUNNING, {1: 0.5}, 1) for _ in range(20)]
    study = study_of(*trials, pruner=pruner)
    pruner.prune(study, study.trials[0])  # it lays out its brackets
    part = _filter_study(study, study.trials[0])
    seen = seen_by_samplers(part)
    numbers = [t.number for t in part.get_trials()]
    assert 0 < len(numbers) < 20
    assert [t.number for t in seen.get_trials()] == numbers
    assert {t.state for t in seen.get_trials()} == {TrialState.PRUNED}


def test_tpe_learns_from_paused_trials() -> None:
    """Low at 0.9, in paused trials alone: the view draws proposals there."""

    def proposals(paused: bool) -> list[float]:
        found = []
        for seed in range(20):
            study = study_of(
                *(
                    trial_at(
                        RUNNING, {1: abs(x / 40 - 0.9)}, 1 if paused else 2, x / 40
                    )
                    for x in range(41)
                ),
                sampler=SeededSampler(SAMPLERS["tpe"], seed=seed),
            )
            found.append(study.ask().suggest_float("x", 0, 1))
        return found

    near = [
        sum(abs(x - 0.9) < 0.1 for x in proposals(paused)) for paused in (True, False)
    ]
    assert near[0] >= 14
    assert near[1] <= 8


def test_the_gaussian_process_leaves_its_start_when_trials_have_ended() -> None:
    """It passes over PRUNED trials; paused ones do not count as being trained."""
    drawn: list[str] = []

    class Told(optuna.samplers.RandomSampler):
        def sample_independent(self, *given: Any) -> Any:
            drawn.append(given[2])
            return super().sample_independent(*given)

    def make(seed: int) -> optuna.samplers.BaseSampler:
        return optuna.samplers.GPSampler(
            seed=seed, n_startup_trials=5, independent_sampler=Told(seed=seed)
        )

    paused = [trial_at(RUNNING, {1: 0.1 * n}, 1, n / 10) for n in range(10)]
    ended = [trial_at(COMPLETE, {1: 0.1 * n}, None, n / 7) for n in range(6)]
    for trials, at_random in ((paused, True), (paused + ended, False)):
        drawn.clear()
        study = study_of(*trials, sampler=SeededSampler(make, seed=0))
        study.ask().suggest_float("x", 0, 1)
        assert bool(drawn) == at_random


def test_ten_thousand_trials_are_seen_in_milliseconds() -> None:
    study = optuna.create_study()
    storage = study._storage
    for n in range(10_000):
        paused = (
            trial_at(RUNNING, {1: n / 10_000}, 1)
            if n % 2
            else trial_at(COMPLETE, {1: 1.0})
        )
        storage.create_new_trial(study._study_id, template_trial=paused)
    seen = seen_by_samplers(study)
    seen.get_trials(deepcopy=False)
    began = time.perf_counter()
    for _ in range(10):
        first = seen.get_trials(deepcopy=False)[1]
    assert (time.perf_counter() - began) / 10 < 0.1
    assert first is seen.get_trials(deepcopy=False)[1]
