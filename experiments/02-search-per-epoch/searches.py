"""The searches that are compared: each spends a budget of epochs on one problem.

A search takes a problem, its horizon, a budget and a seed, and returns its history:
(epochs spent in all, lowest value so far), one pair an improvement.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import optuna
from curves import Problem
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from tunekit import tune
from tunekit.sampler import CoarseToFineSampler

__all__ = ["ALONE", "CURVES", "OURS", "RIVALS", "SEARCHES", "SLOW", "ask_and_tell"]

History = list[tuple[int, float]]
Search = Callable[[Problem, int, int, int], History]

OURS = "tunekit"
SLOW = ("gp",)
"""Searches that take minutes each."""


def ask_and_tell(
    problem: Problem,
    max_epochs: int,
    budget: int,
    *,
    sampler: BaseSampler,
    pruner: BasePruner | None = None,
) -> History:
    """A plain loop around an Optuna study, as its users write it.

    The objective tells the last value; without a pruner it reports none before.
    """
    study = optuna.create_study(
        # Hyperband deals trials to its brackets by the study's name.
        study_name="study",
        sampler=sampler,
        pruner=pruner or NopPruner(),
    )
    spent, lowest, history = 0, math.inf, []
    while spent < budget:
        trial = study.ask()
        params = {name: s.suggest(trial, name) for name, s in problem.space.items()}
        value, state = math.nan, TrialState.COMPLETE
        for epoch, given in enumerate(problem.curve(params), start=1):
            value = float(given)
            spent += 1
            if value < lowest:
                lowest = value
                history.append((spent, value))
            if pruner is not None:
                trial.report(value, epoch)
                if epoch < max_epochs and trial.should_prune():
                    state = TrialState.PRUNED
            if state == TrialState.PRUNED or max_epochs == epoch or spent == budget:
                break
        if state == TrialState.PRUNED:
            study.tell(trial, state=state)
        else:
            study.tell(trial, value)
    return history


def _tuned(problem: Problem, max_epochs: int, budget: int, seed: int) -> History:
    """``tunekit.tune``, as a user calls it."""

    def make(params: Mapping[str, Any]) -> Iterable[float]:
        yield from map(float, problem.curve(params))

    result = tune(
        make, problem.space, max_epochs=max_epochs, budget_epochs=budget, seed=seed
    )
    return result.history


def _plain_rule(problem: Problem, max_epochs: int, budget: int, seed: int) -> History:
    """tunekit's loop with the plain rule of promotion, which ``tune`` cannot name."""
    from tunekit.budget import Budget
    from tunekit.choosers import Halving
    from tunekit.draws import UniformSampler
    from tunekit.history import history
    from tunekit.iterables import IterableEngine
    from tunekit.search import SeededSampler
    from tunekit.store import MemoryStore
    from tunekit.tuning.candidates import OwnSpace
    from tunekit.workers import work

    store = MemoryStore(
        "study",
        {"max_epochs": max_epochs, "patience": max_epochs, "seed": seed},
        SeededSampler(UniformSampler, seed=seed),
        NopPruner(),
        lambda study: Halving(max_epochs),
    )
    engine = IterableEngine(lambda chosen: problem.curve(chosen.params))
    own = OwnSpace(problem.space, seed)
    work(store, engine, own, Budget(epochs=budget, max_epochs=max_epochs))
    return history(store.trials(), store.order())


def _optuna(
    sampler: Callable[..., BaseSampler], pruner: Callable[[int], BasePruner] | None
) -> Search:
    """A sampler and a pruner of Optuna's."""

    def search(problem: Problem, max_epochs: int, budget: int, seed: int) -> History:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return ask_and_tell(
                problem,
                max_epochs,
                budget,
                sampler=sampler(seed=seed),
                pruner=None if pruner is None else pruner(max_epochs),
            )

    return search


def _median(max_epochs: int) -> BasePruner:
    return MedianPruner()


def _halving(max_epochs: int) -> BasePruner:
    return SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)


def _hyperband(max_epochs: int) -> BasePruner:
    return HyperbandPruner(min_resource=1, max_resource=max_epochs, reduction_factor=3)


SEARCHES: dict[str, Search] = {
    OURS: _tuned,
    "random+plain-promote": _plain_rule,
    "random": _optuna(RandomSampler, None),
    "tpe": _optuna(TPESampler, None),
    "tpe+median": _optuna(TPESampler, _median),
    "tpe+hyperband": _optuna(TPESampler, _hyperband),
    "tpe+halving": _optuna(TPESampler, _halving),
    "random+halving": _optuna(RandomSampler, _halving),
    "gp": _optuna(GPSampler, None),
    "coarse-to-fine": _optuna(CoarseToFineSampler, None),
}
"""By name. One without a pruner trains every configuration to its end."""

CURVES = tuple(name for name in SEARCHES if name != "coarse-to-fine")
RIVALS = ("random", "tpe", "tpe+hyperband", "tpe+halving", "random+halving", "gp")
"""Optuna's, one of which at least is compared with."""
ALONE = ("coarse-to-fine", "gp", "tpe", "random")
"""Samplers compared by themselves, on full fits."""
