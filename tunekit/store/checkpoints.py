"""Files beside the journal: states of paused trials, weights of the best ones.

    checkpoints/trial-00007-epoch-006.safetensors    trial 7 as it was after six epochs
                trial-00007-epoch-002.safetensors    and where it was paused before
                trial-00007.safetensors              its weights after its best epoch

A state is written before the journal tells of the pause, and what it replaces is
removed only afterwards: whenever a process is killed, there is a state to go on from
that is no later than what the journal says. The one before the latest stays: should
the latest be damaged, only the way from there is trained again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from tunekit.files import write_bytes
from tunekit.states import (
    from_bytes,
    to_bytes,
    weights_from_bytes,
    weights_to_bytes,
)
from tunekit.tally import as_one
from tunekit.trial import State

__all__ = ["Checkpoints", "best_few"]


class Checkpoints:
    """The ``checkpoints/`` folder of a study.

    Attributes:
        damaged: States that could not be read, or were of another trial.
    """

    damaged: int = 0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._replaced: dict[tuple[int, ...], float] = {}

    def write(self, chain: Sequence[int], state: State, whose: str) -> None:
        """Keep a trial's state; those before the last go with the next :meth:`clear`.

        Args:
            chain: The numbers of the trials it continues, and its own.
            state: The state.
            whose: What tells the trial from every other one, in any study.
        """
        epoch = len(state.curve)
        path = self._folder / f"trial-{chain[-1]:05d}-epoch-{epoch:03d}.safetensors"
        write_bytes(path, to_bytes(state, whose))
        self.replace(chain, epoch)

    def read(
        self, chain: Sequence[int], reached: int, whose: Callable[[int], str]
    ) -> State | None:
        """The latest state that can be read, of no more epochs than are recorded.

        Args:
            chain: The numbers of the trials it continues, and its own.
            reached: Epochs recorded.
            whose: By number, what :meth:`write` was told.
        """
        for epoch, number, path in reversed(self._of(chain)):
            if epoch > reached:
                continue
            # A damaged one is passed over: what it held is trained again.
            try:
                state = from_bytes(path.read_bytes(), whose(number))
                if len(state.curve) == epoch:
                    return state
                path.unlink()
            except ValueError:
                with suppress(OSError):
                    path.unlink()
            except OSError:
                pass
            self.damaged += 1
        return None

    def replace(self, chain: Sequence[int], epoch: float = math.inf) -> None:
        """Once an epoch is recorded, states before the last of it are not needed.

        Args:
            chain: As in :meth:`write`.
            epoch: The epoch; when infinite, the trial has ended.
        """
        key = tuple(chain)
        self._replaced[key] = max(epoch, self._replaced.get(key, 0))

    def clear(self) -> None:
        """Remove what was replaced; for when that is recorded."""
        for chain, epoch in self._replaced.items():
            before = [path for each, _, path in self._of(chain) if each < epoch]
            for path in before if math.isinf(epoch) else before[:-1]:
                path.unlink(missing_ok=True)
        self._replaced = {}

    def keep(self, numbers: Collection[int]) -> None:
        """Remove the states of all other trials."""
        for path in self._folder.glob("trial-*-epoch-*.safetensors"):
            if int(path.stem.split("-")[1]) not in numbers:
                path.unlink(missing_ok=True)

    def keep_weights(
        self,
        number: int,
        weights: Mapping[str, Any],
        best: Collection[int],
    ) -> None:
        """Keep a trial's best-epoch weights, if it is among the best of all.

        Args:
            number: The trial.
            weights: Its weights.
            best: The trials whose weights stay; see :func:`best_few`.
        """
        if number in best:
            write_bytes(self._weights_of(number), weights_to_bytes(weights))
        for each in self.with_weights():
            if each not in best:
                self._weights_of(each).unlink(missing_ok=True)

    def with_weights(self) -> list[int]:
        """The trials whose best-epoch weights are kept."""
        names = (path.stem for path in self._folder.glob("trial-*.safetensors"))
        numbers = (name.removeprefix("trial-") for name in names)
        return sorted(int(each) for each in numbers if each.isdigit())

    def weights(self, number: int) -> dict[str, Any] | None:
        """A trial's weights after its best epoch; None where none can be read.

        Args:
            number: The trial.
        """
        try:
            return weights_from_bytes(self._weights_of(number).read_bytes())
        except (OSError, ValueError):
            return None

    def _weights_of(self, number: int) -> Path:
        return self._folder / f"trial-{number:05d}.safetensors"

    def _of(self, chain: Sequence[int]) -> list[tuple[int, int, Path]]:
        """The states of a trial: epoch, number, file; the latest last."""
        return sorted(
            (int(path.stem.rpartition("-")[2]), number, path)
            for number in chain
            for path in self._folder.glob(f"trial-{number:05d}-epoch-*.safetensors")
        )


def best_few(
    number: int,
    trials: Sequence[FrozenTrial],
    keep: int,
    sign: float,
    kept: Collection[int],
) -> list[int]:
    """The trials that have come to most, the best first, of those that have weights.

    Args:
        number: One that is being given weights; it counts, though it may not be told
            that it has ended.
        trials: All of the study.
        keep: How many.
        sign: -1 where higher values are better.
        kept: Those whose weights are there; one without takes no place.
    """
    values = {
        trial.number: sign * trial.user_attrs["best_val_loss"]
        for trial in as_one(trials)
        # What a paused one has come to is not its end, and its state keeps it.
        if (
            trial.number == number
            or (trial.state.is_finished() and trial.number in kept)
        )
        and trial.user_attrs.get("best_val_loss") is not None
    }
    return sorted(values, key=lambda each: (values[each], each))[:keep]
