"""Files beside the journal: states of paused trials, weights of the best ones.

    checkpoints/trial-00007-epoch-006.safetensors    trial 7 as it was after six epochs
                trial-00007.safetensors              its weights after its best epoch

A state is written before the journal tells of the pause, and what it replaces is
removed only afterwards: whenever a process is killed, there is a state to go on from
that is no later than what the journal says.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from tunekit.files import write_bytes
from tunekit.states import from_bytes, to_bytes
from tunekit.tally import as_one
from tunekit.trial import State

__all__ = ["Checkpoints"]

_KEPT = 5
"""Trials whose best-epoch weights stay on disk."""


class Checkpoints:
    """The ``checkpoints/`` folder of a study."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._replaced: dict[int, float] = {}

    def write(self, number: int, state: State) -> None:
        """Keep a trial's state; those before it go with the next :meth:`clear`."""
        epoch = len(state.curve)
        path = self._folder / f"trial-{number:05d}-epoch-{epoch:03d}.safetensors"
        write_bytes(path, to_bytes(state))
        self.replace(number, epoch)

    def read(self, chain: Sequence[int], reached: int) -> State | None:
        """The latest state that can be read, of no more epochs than are recorded.

        Args:
            chain: The trial's number, and those of the trials it continues.
            reached: Epochs recorded.
        """
        found = [(e, path) for n in chain for e, path in self._of(n) if e <= reached]
        for _, path in sorted(found, reverse=True):
            # A damaged one is passed over: what it held is trained again.
            try:
                return from_bytes(path.read_bytes())
            except (OSError, ValueError):
                continue
        return None

    def replace(self, number: int, epoch: float = math.inf) -> None:
        """Once an epoch is recorded, a trial's states before it are needed no more."""
        self._replaced[number] = max(epoch, self._replaced.get(number, 0))

    def clear(self) -> None:
        """Remove what was replaced; for when that is recorded."""
        for number, epoch in self._replaced.items():
            for each, path in self._of(number):
                if each < epoch:
                    path.unlink(missing_ok=True)
        self._replaced = {}

    def keep(self, numbers: Collection[int]) -> None:
        """Remove the states of all other trials."""
        for path in self._folder.glob("trial-*-epoch-*.safetensors"):
            if int(path.stem.split("-")[1]) not in numbers:
                path.unlink(missing_ok=True)

    def keep_weights(
        self, number: int, weights: Mapping[str, Any], trials: Sequence[FrozenTrial]
    ) -> None:
        """Keep a trial's best-epoch weights, if it is among the best few of all."""
        from safetensors.torch import save

        losses = {
            trial.number: trial.user_attrs["best_val_loss"]
            for trial in as_one(trials)
            # What a paused one has come to is not its end, and its state keeps it.
            if (trial.number == number or trial.state.is_finished())
            and trial.user_attrs.get("best_val_loss") is not None
        }
        best = sorted(losses, key=lambda number: (losses[number], number))[:_KEPT]
        if number in best:
            path = self._folder / f"trial-{number:05d}.safetensors"
            write_bytes(path, save(dict(weights)))
        for path in self._folder.glob("trial-*.safetensors"):
            rest = path.stem.removeprefix("trial-")
            if rest.isdigit() and int(rest) not in best:
                path.unlink(missing_ok=True)

    def _of(self, number: int) -> list[tuple[int, Path]]:
        """A trial's states by epoch."""
        paths = self._folder.glob(f"trial-{number:05d}-epoch-*.safetensors")
        return [(int(path.stem.rpartition("-")[2]), path) for path in paths]
