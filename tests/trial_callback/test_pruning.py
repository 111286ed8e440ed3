"""Pruned as in a plain loop, whatever the pruner and the storage, and politely."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from optuna import pruners
from optuna.trial import TrialState

from trial_callback.own import PACKAGES, fit
from tunekit import TrialCallback

N_TRIALS = 8
PRUNERS: dict[str, Any] = {
    "median": lambda: pruners.MedianPruner(n_startup_trials=2),
    "percentile": lambda: pruners.PercentilePruner(60.0, n_startup_trials=2),
    "halving": lambda: pruners.SuccessiveHalvingPruner(
        min_resource=1, reduction_factor=2
    ),
    "hyperband": lambda: pruners.HyperbandPruner(
        min_resource=1, max_resource=4, reduction_factor=2
    ),
    "patient": lambda: pruners.PatientPruner(None, patience=1),
    "threshold": lambda: pruners.ThresholdPruner(upper=3.5),
}


def curve(trial: optuna.Trial) -> list[float]:
    """Some get better, some worse, one diverges."""
    x = trial.suggest_float("x", 0.0, 1.0)
    if trial.number == 5:
        return [math.nan] * 4
    return [4 * x + (1 - 2 * x) / epoch for epoch in range(1, 5)]


def in_a_loop(trial: optuna.Trial) -> float:
    value = math.nan
    for epoch, value in enumerate(curve(trial), 1):
        # Lightning logs single precision.
        number = value if math.isfinite(value) else math.inf
        trial.report(rounded(number), epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return rounded(value)


def rounded(value: float) -> float:
    import torch

    return float(torch.tensor(value))


def searched(objective: Any, pruner: str, storage: Any = None) -> optuna.Study:
    study = optuna.create_study(
        storage=storage,
        sampler=optuna.samplers.RandomSampler(seed=1),
        pruner=PRUNERS[pruner](),
        study_name="same",  # Hyperband draws a trial's bracket by the study's name
    )
    study.optimize(objective, n_trials=N_TRIALS)
    return study


def story(study: optuna.Study) -> list[Any]:
    return [(t.state, t.params, t.intermediate_values, t.value) for t in study.trials]


def in_a_trainer(package: str) -> Any:
    def objective(trial: optuna.Trial) -> float:
        callback = TrialCallback(trial)
        values = curve(trial)
        fit(package, callback, values)
        callback.check_pruned()
        return rounded(values[-1])

    return objective


@pytest.mark.filterwarnings("ignore:PatientPruner is experimental")
@pytest.mark.parametrize("pruner", PRUNERS)
def test_every_pruner_decides_as_in_a_plain_loop(pruner: str) -> None:
    study = searched(in_a_trainer(PACKAGES[0]), pruner)
    assert story(study) == story(searched(in_a_loop, pruner))
    states = {t.state for t in study.trials}
    assert states >= {TrialState.PRUNED, TrialState.COMPLETE}


def test_every_storage_hears_the_same(storage: Any) -> None:
    study = searched(in_a_trainer(PACKAGES[1]), "median", storage)
    assert story(study) == story(searched(in_a_loop, "median"))


def test_pruning_is_the_polite_end_of_a_training(package: str) -> None:
    study = optuna.create_study(pruner=pruners.ThresholdPruner(upper=2.5))
    callback = TrialCallback(study.ask())
    module = fit(package, callback, [1, 3, 1, 1])
    assert module.said == ["epoch 0", "epoch 1", "teardown"]
    assert callback.pruned
    with pytest.raises(optuna.TrialPruned, match="Pruned after epoch 2"):
        callback.check_pruned()


def test_who_insists_on_more_epochs_gets_them_unreported() -> None:
    study = optuna.create_study(pruner=pruners.ThresholdPruner(upper=2.5))
    callback = TrialCallback(study.ask())
    module = fit(PACKAGES[0], callback, [3, 3, 3, 1], min_epochs=3)
    assert module.said == ["epoch 0", "epoch 1", "epoch 2", "teardown"]
    assert study.trials[0].intermediate_values == {1: 3.0}
    assert callback.pruned


def test_a_storage_that_fails_ends_the_trial_with_its_error(package: str) -> None:
    study = optuna.create_study(pruner=pruners.NopPruner())

    def broken(*arguments: Any) -> None:
        raise OSError("no space left")

    def objective(trial: optuna.Trial) -> float:
        trial.report = broken  # type: ignore[method-assign]
        fit(package, TrialCallback(trial), [1])
        return 1.0

    with pytest.raises(OSError, match="no space left"):
        study.optimize(objective, n_trials=1)
    assert study.trials[0].state == TrialState.FAIL
