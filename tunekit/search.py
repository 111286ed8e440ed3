"""Optuna's samplers and pruners by name, safe for resuming and several workers.

Each sampler is asked by a :class:`tunekit.seeded.SeededSampler`. Trial 0 is always the
default recipe, so that every search starts from something sensible.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna._transform import _SearchSpaceTransform
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, CmaEsSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from tunekit.choosers import Straight
from tunekit.draws import UniformSampler
from tunekit.flat import Flat, Remaining
from tunekit.promising import Promising
from tunekit.rungs import Chooser, ladder
from tunekit.sampler import CoarseToFineSampler
from tunekit.seeded import Maker, SeededSampler
from tunekit.space import Space

__all__ = ["SeededSampler", "chooser", "pruner", "rungs_of", "sampler"]

_UNLISTED_GRID = 64
"""Grid points when the budget does not say how many trials there will be."""
_STARTUP = 10
"""Trials that TPE and the Gaussian process draw at random before they model."""

_RANDOM = ("random", "grid", "qmc")
"""Samplers that learn nothing from trials."""


class _CmaEs(CmaEsSampler):
    """CMA-ES over the hyperparameters that every trial has.

    Optuna's own asks which ones the complete trials share, but also learns from pruned
    ones, which may lack some; and it goes on at random once that set has changed. It
    also keeps its optimizer in the study as a pickle, which runs whatever somebody has
    written there; this one tells a new optimizer the recorded trials each time.
    """

    def __init__(
        self, always: Mapping[str, BaseDistribution] | None, **options: Any
    ) -> None:
        super().__init__(**options)
        self._always = always
        self._recorded: list[FrozenTrial] = []
        self._together: set[str] = set()

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The same for every trial; where nobody knows them, those shared so far."""
        always = self._always
        if always is None:
            return dict(super().infer_relative_search_space(study, trial))
        return {
            name: distribution
            for name, distribution in always.items()
            if not isinstance(distribution, CategoricalDistribution)
        }

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> None:
        """None, whatever the study holds: one is made, and brought to where it was."""
        self._recorded = completed_trials

    def _init_optimizer(
        self, trans: _SearchSpaceTransform, direction: StudyDirection
    ) -> Any:
        """A new optimizer that was told all generations that are whole.

        So the sampler finds none to tell, and nothing to store.
        """
        self._together = set(trans._search_space)
        optimizer = super()._init_optimizer(trans, direction)
        sign = 1.0 if direction == StudyDirection.MINIMIZE else -1.0
        size = optimizer.population_size
        while True:
            drawn: list[Any] = self._get_solution_trials(
                self._recorded, optimizer.generation
            )
            if len(drawn) < size:
                return optimizer
            optimizer.tell(
                [(trans.transform(t.params), sign * t.value) for t in drawn[:size]]
            )

    def _get_solution_trials(
        self, trials: list[FrozenTrial], generation: int
    ) -> list[FrozenTrial]:
        """The trials of a generation that have all that is drawn together."""
        found = super()._get_solution_trials(trials, generation)
        return [trial for trial in found if self._together <= trial.params.keys()]


def sampler(
    name: str,
    space: Space | None,
    *,
    defaults: Mapping[str, Any] | None = None,
    seed: int,
    n_trials: int | None,
    first: Sequence[Mapping[str, Any]] = (),
    distributions: Sequence[Mapping[str, BaseDistribution]] = (),
    rungs: Sequence[int] | None = None,
    epochs: int | None = None,
) -> SeededSampler:
    """The sampler of this name for a study.

    Args:
        name: coarse-to-fine, tpe, random, grid, qmc, gp or cmaes.
        space: What is searched; None where only a function knows.
        defaults: Every hyperparameter's default: the nearest configuration comes first.
        seed: The study's seed.
        n_trials: The budget in trials, if it has one; a grid is laid out for it.
        first: Configurations (stored names and values) to try before all else; what
            one lacks is drawn.
        distributions: The distributions of those.
        rungs: Epochs at which trials are compared, if they are paused there.
        epochs: The budget in epochs of all trials, if it has one.
    """
    given, spread = [dict(p) for p in first], [dict(d) for d in distributions]
    if space is not None:
        points = [space.nearest(defaults)] if defaults is not None else []
        if name == "grid":
            n_points = (n_trials or _UNLISTED_GRID + len(points)) - len(points)
            more = space.grid(n_points + len(points), seed) if n_points else []
            # What comes first is not tried twice, should the grid hold it.
            points += [point for point in more if point not in points][:n_points]
        given += [space.to_stored(params) for params in points]
        spread += [space.distributions(params) for params in points]
    # One for the whole study: what it remembers spares it work, and no more.
    ours = name == "coarse-to-fine"
    model = _coarse_to_fine(seed, space, rungs, epochs) if ours else None
    return SeededSampler(
        (lambda _: model) if model else _maker(name, seed, space),
        seed=seed,
        first=given,
        distributions=spread,
        model=model,
        random=name in _RANDOM,
    )


def pruner(name: str, max_epochs: int) -> optuna.pruners.BasePruner:
    """The pruner of this name, for trials of at most ``max_epochs``.

    Example:
        >>> type(pruner("median", 30)).__name__
        'MedianPruner'
    """
    if name in ("none", "promote"):  # who promotes, pauses trials and prunes none
        return optuna.pruners.NopPruner()
    if name == "median":
        return optuna.pruners.MedianPruner(
            n_startup_trials=5, n_warmup_steps=max(1, max_epochs // 10)
        )
    if name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=max(1, max_epochs // 9), reduction_factor=3
        )
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(
            min_resource=max(1, max_epochs // 27), max_resource=max_epochs
        )
    raise ValueError(f'unknown pruner "{name}"')


def rungs_of(pruner: str, max_epochs: int) -> tuple[int, ...] | None:
    """Epochs at which trials are paused, where the pruner of this name pauses them.

    Example:
        >>> rungs_of("promote", 50), rungs_of("median", 50)
        ((1, 2, 6, 17, 50), None)
    """
    return ladder(max_epochs) if pruner == "promote" else None


def chooser(
    sampler: SeededSampler,
    space: Space | None,
    *,
    rungs: Sequence[int] | None,
    max_epochs: int,
    seed: int,
    n_trials: int | None,
    epochs: int | None = None,
    flat: Remaining | None = None,
) -> Callable[[optuna.Study], Chooser]:
    """What decides between new trials and paused ones, given the study.

    Args:
        sampler: The study's; where it is coarse to fine, whoever promotes asks the same
            model, else one of its own.
        space: What is searched; None where only a function knows.
        rungs: Epochs at which trials are paused; None to train each to its end.
        max_epochs: The longest a trial trains.
        seed: The study's seed.
        n_trials: The budget in trials, if it has one.
        epochs: The budget in epochs of all trials, if it has one.
        flat: What the budget leaves, where the search is to end once it gains nothing.
    """
    if rungs is None and flat is None:
        return lambda study: Straight(max_epochs)
    model = sampler.model or _coarse_to_fine(seed, space, rungs, epochs)

    def decides(study: optuna.Study) -> Chooser:
        if rungs is None:
            return Straight(max_epochs)
        return Promising(
            study, model, rungs, n_trials, sampler.n_first, random=sampler.random
        )

    if flat is None:
        return decides
    return lambda study: Flat(decides(study), study, model, flat)


def _coarse_to_fine(
    seed: int, space: Space | None, rungs: Sequence[int] | None, epochs: int | None
) -> CoarseToFineSampler:
    known = None if space is None else space.distributions(space.scales)
    return CoarseToFineSampler(seed=seed, space=known, rungs=rungs, epochs=epochs)


def _maker(name: str, study_seed: int, space: Space | None) -> Maker:
    """What builds Optuna's sampler of this name from a seed."""
    samplers = optuna.samplers

    def make(seed: int) -> BaseSampler:
        if name in ("random", "grid"):
            return UniformSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if name == "tpe":
                # Groups: hyperparameters under one condition are modelled together.
                return samplers.TPESampler(
                    seed=seed, group=True, n_startup_trials=_STARTUP
                )
            if name == "gp":
                return samplers.GPSampler(
                    seed=seed,
                    independent_sampler=samplers.RandomSampler(seed=seed),
                    n_startup_trials=_STARTUP,
                    warn_independent_sampling=False,
                )
            if name == "cmaes":
                return _CmaEs(
                    None if space is None else space.distributions(space.always()),
                    seed=seed,
                    independent_sampler=samplers.RandomSampler(seed=seed),
                    warn_independent_sampling=False,
                    consider_pruned_trials=True,
                )
            if name == "qmc":
                # One scrambling for the whole study: the trials are points of one
                # sequence.
                return samplers.QMCSampler(
                    seed=study_seed % 2**31,
                    scramble=True,
                    independent_sampler=samplers.RandomSampler(seed=seed),
                    warn_independent_sampling=False,
                )
        raise ValueError(f'unknown sampler "{name}"')

    return make
