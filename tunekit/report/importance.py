"""Which hyperparameters set good trials apart from the rest: PED-ANOVA.

Optuna's evaluator compares where the best trials lie with where all trials lie, one
hyperparameter at a time, and knows conditional ones. Trials that were stopped early
count with the lowest loss they reached; leaving them out would hide what made them bad.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from tunekit.space import Space

__all__ = ["importance"]

_LEAST_TRIALS = 10
_LEAST_GOOD = 5


def importance(
    trials: Sequence[FrozenTrial], losses: Mapping[int, float], space: Space
) -> tuple[list[tuple[str, float]], str]:
    """Shares of importance by hyperparameter, largest first, or why there are none.

    Args:
        trials: Trials in any state.
        losses: The lowest validation loss by trial number; the others are left out.
        space: What was searched; it knows under which names Optuna stores it.

    Returns:
        Pairs of a hyperparameter's name and its share (they sum to 1), and an empty
        reason; or an empty list and the reason.
    """
    import optuna

    ended = [
        optuna.create_trial(
            params=trial.params,
            distributions=trial.distributions,
            value=losses[trial.number],
        )
        for trial in trials
        if trial.number in losses and trial.state.is_finished()
    ]
    if len(ended) < _LEAST_TRIALS:
        return [], (
            f"this needs at least {_LEAST_TRIALS} trials that ended with a loss, "
            f"there are {len(ended)}"
        )
    if len({trial.value for trial in ended}) == 1:
        return [], "all trials ended with the same loss"
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(
        target_quantile=min(0.5, max(0.1, _LEAST_GOOD / len(ended)))
    )
    # The evaluator warns where a condition was met by one trial alone: expected here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = evaluator.evaluate(_in_memory(ended))
    total = sum(raw.values())
    if not (math.isfinite(total) and total > 0):
        return [], "no hyperparameter sets the best trials apart from the rest"
    names = {scale.stored_name(name): name for name, scale in space.scales.items()}
    shares = [(names.get(stored, stored), raw[stored] / total) for stored in raw]
    return sorted(shares, key=lambda share: (-share[1], share[0])), ""


def _in_memory(trials: Sequence[FrozenTrial]) -> optuna.Study:
    """A study of these trials, made without Optuna's line that it was made."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study()
    finally:
        optuna.logging.set_verbosity(verbosity)
    study.add_trials(trials)
    return study
