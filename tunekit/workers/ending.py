"""The end of a search: what becomes of the trials that are still paused."""

from __future__ import annotations

import math
from typing import Any

from optuna.trial import FrozenTrial

from tunekit.space import Space
from tunekit.store import Store
from tunekit.workers.candidates import Candidates, Recipes

__all__ = ["come_to", "end_paused"]


def end_paused(store: Store, space: Space | Candidates, engine: str) -> None:
    """Tell paused trials PRUNED; a larger budget may go on with them.

    Args:
        store: The study.
        space: What is searched.
        engine: What trained them.
    """
    candidates = Recipes(space) if isinstance(space, Space) else space

    def attributes(trial: FrozenTrial) -> dict[str, Any]:
        return come_to(store, candidates, engine, trial)

    store.end_paused(attributes)


def come_to(
    store: Store, candidates: Candidates, engine: str, trial: FrozenTrial
) -> dict[str, Any]:
    """What every trial carries that has ended, where that is not recorded with it yet.

    It is recorded with a pause. A process that was interrupted may have recorded the
    last epoch, and no more.

    Args:
        store: The study.
        candidates: What is searched.
        engine: What trained it.
        trial: One that nobody trains.
    """
    known, values = trial.user_attrs, trial.intermediate_values
    if known.get("epochs") == len(values):
        return {}
    losses = ((store.sign * value, epoch) for epoch, value in values.items())
    _, epoch = min(losses, default=(math.inf, 0))
    finite = math.isfinite(values.get(epoch, math.inf))
    same = known.get("best_epoch") == epoch
    return {
        "best_val_loss": values[epoch] if finite else None,
        "best_val_score": known.get("best_val_score") if same else None,
        "best_epoch": epoch if finite else 0,
        "epochs": len(values),
        "engine": engine,
        "seconds": known.get("seconds", 0.0),
        "params": candidates.shown(candidates.suggest(trial)),
    }
