"""The sampler: coarse first, then fine, in any Optuna study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial
from scipy.stats import qmc

from tunekit.sampler.belief import Belief
from tunekit.sampler.candidates import Proposal, propose
from tunekit.sampler.cube import Axis, Cube, Floats
from tunekit.sampler.history import History, union_space
from tunekit.sampler.memory import Memory, view_of
from tunekit.sampler.reader import Reader

__all__ = ["CoarseToFineSampler"]


class CoarseToFineSampler(BaseSampler):
    """Quasi-random on every scale, then a model inside a region that narrows.

    The coarse stage spreads trials evenly over the space, every hyperparameter on its
    own scale. Then a Gaussian process over hyperparameters and epochs learns from all
    trials, in whatever state; candidates come from the region where promising trials
    lie, from around them, and from the whole space, and the next trial is the one with
    the highest expected improvement. Some trials are drawn from the whole space,
    whatever the model says, lest it be wrong.

    What is drawn is a function of the seed, the trial's number and the recorded trials:
    workers with one seed do not repeat each other, and a resumed study goes on as if it
    had not been interrupted. How the region narrowed is kept in the study's user
    attribute ``regions``.

    Args:
        seed: Of every random stream; a random one when None.
        n_startup_trials: Trials of the coarse stage.
        explore: Share of later trials that are drawn from the whole space.
        space: Distributions by name, where they are known; else they are learned from
            the first trials, of which the very first is then drawn at random.
        rungs: Epochs at which trials are compared, ascending, where trials are paused
            and promoted; they are compared at their end when None.
        epochs: Epochs that all trials together may train, if that is known.

    Example:
        >>> import optuna
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> study = optuna.create_study(sampler=CoarseToFineSampler(seed=0))
        >>> def objective(trial):
        ...     return (trial.suggest_float("x", -5, 5) - 1) ** 2
        >>> study.optimize(objective, n_trials=20)
        >>> study.best_value < 0.01
        True
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        n_startup_trials: int = 8,
        explore: float = 0.02,
        space: Mapping[str, BaseDistribution] | None = None,
        rungs: Sequence[int] | None = None,
        epochs: int | None = None,
    ) -> None:
        drawn = np.random.default_rng().integers(2**63)
        self._seed = int(drawn) if seed is None else seed
        self.n_startup_trials, self._explore = n_startup_trials, explore
        self._space, self._rungs = space, tuple(rungs) if rungs else None
        self._epochs = epochs
        # The latest of each: looked up by what they are of, never changed in place, as
        # several threads may ask.
        self._memory: tuple[Any, Memory] | None = None
        self._reader: tuple[Any, Reader] | None = None
        self._proposed: tuple[Any, Proposal] | None = None

    def reseed_rng(self) -> None:
        """Nothing to do: every trial has a seed of its own."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every hyperparameter that any trial had, conditional ones among them."""
        return self.space_of(study.get_trials(deepcopy=False))

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """The next configuration.

        Raises:
            ValueError: If the study has more than one objective.
        """
        self._refuse_many(study)
        if not search_space:
            return {}
        reader = self.reader(study, search_space)
        history = reader.read(study.get_trials(deepcopy=False), trial.number)
        cube = reader.cube
        rng = np.random.default_rng([self._seed, trial.number])
        if self.starting(history):
            return cube.params(self._even(trial.number, len(cube.axes)))
        if rng.random() < self._explore:
            return cube.params(rng.random(len(cube.axes)))
        return cube.params(self.proposal(study, history, trial.number).point)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A value of a hyperparameter that no trial had before."""
        self._refuse_many(study)
        name = int.from_bytes(param_name.encode()[:64].ljust(8, b"\0"), "little")
        rng = np.random.default_rng([self._seed, trial.number, name])
        return Axis(param_distribution).value(float(rng.random()))

    def space_of(self, trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
        """The space that is searched: as it was given, else as trials had it."""
        if self._space is not None:
            return {n: d for n, d in self._space.items() if not d.single()}
        return union_space(trials)

    def reader(
        self, study: optuna.Study, space: Mapping[str, BaseDistribution]
    ) -> Reader:
        """What reads the trials of a study in a space."""
        maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
        key = view_of(study), maximize, tuple(space.items())
        latest = self._reader
        if latest is None or latest[0] != key:
            last = self._rungs[-1] if self._rungs else None
            latest = key, Reader(Cube(space), maximize=maximize, last=last)
            self._reader = latest
        return latest[1]

    def starting(self, history: History) -> bool:
        """Whether it is too early for a model."""
        begun = len(history) + int((history.pending_trial < 0).sum())
        known = np.isfinite(history.values).sum()
        return begun < self.n_startup_trials or known < 2

    def belief(self, study: optuna.Study, history: History) -> Belief:
        """What to believe after a history of a study."""
        latest, view = self._memory, view_of(study)
        if latest is None or latest[0] != view:
            latest = self._memory = view, Memory(study)
        belief = latest[1].belief(history, self._rungs or (history.horizon,))
        if self._epochs is None:
            return belief
        return replace(belief, fits=self._epochs / belief.rungs[-1])

    def proposal(self, study: optuna.Study, history: History, number: int) -> Proposal:
        """The configuration that is worth most after a history, for a new trial."""
        key = number, history.cube, history.key
        latest = self._proposed
        if latest is None or latest[0] != key:
            rng = np.random.default_rng([self._seed, number, 1])
            latest = self._proposed = key, propose(self.belief(study, history), rng)
        return latest[1]

    def _even(self, number: int, n_axes: int) -> Floats:
        """One point of a scrambled Sobol sequence."""
        sequence = qmc.Sobol(n_axes, seed=np.random.default_rng(self._seed))
        if number:
            sequence.fast_forward(number)
        point: Floats = sequence.random(1)[0]
        return point

    def _refuse_many(self, study: optuna.Study) -> None:
        if len(study.directions) > 1:
            raise ValueError(
                "CoarseToFineSampler needs a study with one objective, got "
                f"{len(study.directions)}"
            )
