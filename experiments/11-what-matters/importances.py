"""Importance of hyperparameters, as Optuna's evaluators see it.

Optuna's fANOVA takes values as they are and weighs them evenly between the ends of
their range: of a learning rate from 0.0001 to 0.1 nine tenths of the weight are in the
highest decade, however it was drawn. So it is given each value's place on its scale.

By default Optuna makes importances sum to one, whatever hyperparameters do together.
Those of fANOVA are left as they are: parts of the whole variance of a forest's losses,
and what they lack of one is what no single hyperparameter explains. Those of PED-ANOVA
are distances between distributions, not parts of that variance, and are made to sum
to one.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.importance import (
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)

__all__ = ["importances", "place"]

_BEST_SHARE = 0.1
"""PED-ANOVA asks what sets so many of the configurations apart."""


def importances(study: optuna.Study, seed: int) -> dict[str, dict[str, float]]:
    """By measure the importance of each hyperparameter.

    Args:
        study: Complete trials of one space.
        seed: Of the forest that fANOVA takes apart.

    Returns:
        ``fanova``, on scales, and ``plain``, of values as they are: parts of the
        variance; ``pedanova``: shares that sum to one.
    """
    fanova = FanovaImportanceEvaluator(seed=seed)
    pedanova = PedAnovaImportanceEvaluator(target_quantile=_BEST_SHARE)
    return {
        "fanova": _parts(_on_scales(study), fanova),
        "pedanova": get_param_importances(study, evaluator=pedanova),
        "plain": _parts(study, fanova),
    }


def place(distribution: BaseDistribution, value: Any) -> float:
    """Where a value lies on the scale it was drawn on, from 0 to 1.

    One of few values has as much room there as it has draws, and lies in the middle.
    """
    if isinstance(distribution, CategoricalDistribution):
        # Mini-batches: powers of two, in their order.
        choices = distribution.choices
        return (choices.index(value) + 0.5) / len(choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    half = 0.5 * (distribution.step or 0.0)
    low, high = distribution.low - half, distribution.high + half
    if distribution.log:
        return math.log(value / low) / math.log(high / low)
    return float((value - low) / (high - low))


def _on_scales(study: optuna.Study) -> optuna.Study:
    found = optuna.create_study()
    for trial in study.trials:
        places = {
            name: place(trial.distributions[name], value)
            for name, value in trial.params.items()
        }
        found.add_trial(
            optuna.create_trial(
                params=places,
                distributions=dict.fromkeys(places, FloatDistribution(0.0, 1.0)),
                value=trial.value,
            )
        )
    return found


def _parts(study: optuna.Study, fanova: FanovaImportanceEvaluator) -> dict[str, float]:
    with warnings.catch_warnings():
        # That the argument may change some day.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return get_param_importances(study, evaluator=fanova, normalize=False)
