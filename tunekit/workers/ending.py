"""The end of a search: what becomes of the trials that are still paused."""

from __future__ import annotations

import math
from typing import Any

from optuna.trial import FrozenTrial

from tunekit.space import Space
from tunekit.store import Store

__all__ = ["end_paused"]

_KEEP_CHECKPOINTS = 20
"""Paused trials from which a later, larger budget can go on without training again."""


def end_paused(store: Store, space: Space, engine: str) -> None:
    """Tell paused trials PRUNED; a larger budget may go on with them.

    Args:
        store: The study.
        space: What is searched.
        engine: What trained them.
    """

    def attributes(trial: FrozenTrial) -> dict[str, Any]:
        # What is recorded with a pause. A process that was interrupted may have
        # recorded the last epoch, and no more.
        known = trial.user_attrs
        losses = trial.intermediate_values
        if known.get("epochs") == len(losses):
            return {}
        loss, epoch = min((loss, epoch) for epoch, loss in losses.items())
        finite = math.isfinite(loss)
        same = known.get("best_epoch") == epoch
        return {
            "best_val_loss": loss if finite else None,
            "best_val_score": known.get("best_val_score") if same else None,
            "best_epoch": epoch if finite else 0,
            "epochs": len(losses),
            "engine": engine,
            "seconds": known.get("seconds", 0.0),
            "params": space.from_stored(trial.params),
        }

    store.end_paused(attributes, _KEEP_CHECKPOINTS)
