"""Which hyperparameters mattered."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tunekit.report.importance import importance
from tunekit.space import OneMinusLogUniform, Space


def frozen(n: int, loss: Any) -> tuple[list[Any], dict[int, float]]:
    """``n`` random trials, and their losses by ``loss(lr, momentum)``."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    losses: dict[int, float] = {}
    for i in range(n):
        trial = study.ask()
        lr = trial.suggest_float("lr", 1e-4, 0.1, log=True)
        optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam"])
        gap = 0.0
        if optimizer == "sgd":
            gap = trial.suggest_float("one_minus_momentum", 0.01, 0.5, log=True)
        trial.suggest_int("width", 16, 128, log=True)
        losses[i] = loss(lr, 1 - gap)
        trial.report(losses[i], 1)
        study.tell(trial, state=TrialState.PRUNED)
    return study.trials, losses


SPACE = Space({"momentum": OneMinusLogUniform(0.5, 0.99)})


def test_importance_finds_what_matters_among_stopped_trials() -> None:
    shares, reason = importance(
        *frozen(60, lambda lr, m: abs(math.log10(lr) + 2)), SPACE
    )
    assert reason == ""
    assert shares[0][0] == "lr"
    assert {name for name, _ in shares} == {"lr", "optimizer", "momentum", "width"}
    assert sum(share for _, share in shares) == pytest.approx(1)


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_importance_of_few_trials_is_a_reason(n: int) -> None:
    shares, reason = importance(*frozen(n, lambda lr, m: lr), SPACE)
    assert shares == []
    assert f"there are {n}" in reason


def test_importance_of_equal_trials_is_a_reason() -> None:
    shares, reason = importance(*frozen(20, lambda lr, m: 0.5), SPACE)
    assert (shares, reason) == ([], "all trials ended with the same loss")


@pytest.mark.parametrize("n", [10, 11, 19])
def test_importance_stands_a_rare_condition(n: int) -> None:
    shares, _ = importance(*frozen(n, lambda lr, m: lr * m), SPACE)
    assert sum(share for _, share in shares) == pytest.approx(1)
