"""Uniform draws on each hyperparameter's own scale, each from a seed of its own.

Optuna's random sampler makes a generator of 624 words for every seed; where every value
has its own seed, that is most of the work of a trial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from tunekit.seeds import seed_for

__all__ = ["UniformSampler", "at"]


class UniformSampler(BaseSampler):
    """Draws each value by itself, from the seed and the hyperparameter's name.

    Example:
        >>> import optuna
        >>> study = optuna.create_study(sampler=UniformSampler(seed=7))
        >>> 1 <= study.ask().suggest_int("n_layers", 1, 4) <= 4
        True
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Nothing is drawn together."""
        return {}

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: Mapping[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Nothing is drawn together."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A value of one hyperparameter."""
        word = seed_for(self._seed, trial.number, param_name)
        return at(param_distribution, word / 2**63)


def at(distribution: BaseDistribution, share: float) -> Any:
    """The value below which a share of a distribution lies.

    Args:
        distribution: Any of Optuna's.
        share: In [0, 1).

    Example:
        >>> at(IntDistribution(1, 4), 0.99), at(FloatDistribution(1, 4, log=True), 0.5)
        (4, 2.0)
    """
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        return choices[min(len(choices) - 1, int(share * len(choices)))]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if step is not None:
        # Every value is as likely as its neighbours: half a step on either side.
        low, high = low - 0.5 * step, high + 0.5 * step
    if distribution.log:
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    else:
        value = low + share * (high - low)
    if step is not None:
        steps = round((value - distribution.low) / step)
        value = distribution.low + steps * step
    value = min(max(value, distribution.low), distribution.high)
    return int(value) if isinstance(distribution, IntDistribution) else float(value)
