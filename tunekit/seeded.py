"""A sampler that is safe for resuming and several workers, around one of anybody's.

Whatever a sampler draws for a trial is a function of the study's seed, the trial's
number, the hyperparameter's name and the recorded trials: workers with one seed do not
repeat each other, and a study that was interrupted goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from tunekit.sampler import CoarseToFineSampler
from tunekit.seeds import seed_for
from tunekit.view import seen_by_samplers

__all__ = ["Maker", "SeededSampler"]

Maker = Callable[[int], BaseSampler]
"""Builds a sampler from a seed."""


class SeededSampler(BaseSampler):
    """A sampler that gives fixed configurations first, then asks another, seeded anew.

    Args:
        make: Builds the inner sampler from a seed; it keeps no state of its own between
            trials (Optuna's keep theirs in the study).
        seed: The study's seed.
        first: Configurations (stored names and values) of the trials 0, 1, ….
        distributions: The distributions of those configurations.
        model: The inner sampler, if it is coarse to fine at this study's rungs.
        random: Whether the inner sampler draws whatever was learned.

    Attributes:
        model: The same.
        random: The same.
        n_first: How many configurations are fixed.
    """

    def __init__(
        self,
        make: Maker,
        *,
        seed: int,
        first: Sequence[Mapping[str, Any]] = (),
        distributions: Sequence[Mapping[str, BaseDistribution]] = (),
        model: CoarseToFineSampler | None = None,
        random: bool = False,
    ) -> None:
        self._make, self.model, self.random = make, model, random
        self._seed = seed
        self._first = [dict(params) for params in first]
        self.n_first = len(self._first)
        self._distributions = [dict(each) for each in distributions]
        self._joint: tuple[int, BaseSampler] | None = None
        self._seen: tuple[optuna.Study, int, optuna.Study] | None = None

    def reseed_rng(self) -> None:
        """Nothing to do: every trial has a seed of its own."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The inner sampler's, or all of a given configuration."""
        if trial.number < len(self._first):
            return self._distributions[trial.number]
        seen = self._seen_by(study, trial)
        return self._inner(trial).infer_relative_search_space(seen, trial)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """The given configuration, or the inner sampler's joint proposal."""
        if trial.number < len(self._first):
            return self._first[trial.number]
        seen = self._seen_by(study, trial)
        return self._inner(trial).sample_relative(seen, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The inner sampler's value of one hyperparameter."""
        # Its own seed by name: a trial whose first half is known draws the same second.
        inner = self._make(seed_for(self._seed, trial.number, param_name) % 2**31)
        seen = self._seen_by(study, trial)
        return inner.sample_independent(seen, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Passed on."""
        self._seen = None  # what it remembers is of another moment
        self._inner(trial).before_trial(self._seen_by(study, trial), trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Passed on."""
        self._seen = None
        seen = self._seen_by(study, trial)
        self._inner(trial).after_trial(seen, trial, state, values)

    def _seen_by(self, study: optuna.Study, trial: FrozenTrial) -> optuna.Study:
        """The study as the inner sampler is to see it while it draws a trial."""
        known = self._seen
        if known is None or known[0] is not study or known[1] != trial.number:
            # Coarse to fine knows by itself what is paused, and what runs on.
            ours = isinstance(self._inner(trial), CoarseToFineSampler)
            seen = study if ours else seen_by_samplers(study)
            self._seen = known = study, trial.number, seen
        return known[2]

    def _inner(self, trial: FrozenTrial) -> BaseSampler:
        """One sampler for the joint steps of a trial: some remember what they infer."""
        if self._joint is None or self._joint[0] != trial.number:
            made = self._make(seed_for(self._seed, trial.number) % 2**31)
            self._joint = (trial.number, made)
        return self._joint[1]
