"""Files beside the journal: the weights of the best trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from tunekit.files import write_bytes

__all__ = ["Checkpoints"]

_KEPT = 5
"""Trials whose best-epoch weights stay on disk."""


class Checkpoints:
    """The ``checkpoints/`` folder of a study."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep_weights(
        self, number: int, weights: Mapping[str, Any], trials: Sequence[FrozenTrial]
    ) -> None:
        """Keep a trial's best-epoch weights, if it is among the best few of all."""
        from safetensors.torch import save

        losses = {
            trial.number: trial.user_attrs["best_val_loss"]
            for trial in trials
            if trial.user_attrs.get("best_val_loss") is not None
        }
        best = sorted(losses, key=lambda number: (losses[number], number))[:_KEPT]
        if number in best:
            path = self._folder / f"trial-{number:05d}.safetensors"
            write_bytes(path, save(dict(weights)))
        for path in self._folder.glob("trial-?????.safetensors"):
            if int(path.stem.removeprefix("trial-")) not in best:
                path.unlink(missing_ok=True)
