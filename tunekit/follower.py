"""What becomes of one run of anybody's LightningModule while it is trained.

What one epoch is worth is the monitored value: the best of those that validation gave
within the epoch, where it is logged there, else what is known at the epoch's end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from tunekit.errors import ConfigError
from tunekit.states import part_of
from tunekit.trial import Metrics, Run, State, Verdict

__all__ = ["Follower", "Kept", "weights_of"]

Kept = tuple[dict[str, Tensor], Any, int]
"""A checkpoint: its tensors, the rest of it as JSON holds it, and steps taken."""
_TRAIN_LOSS = "train_loss"
"""Where a module logs nothing of this name, it is the mean of what its steps return."""


class Follower:
    """What became of a run while a Trainer trained it.

    Args:
        run: What is trained.
        monitor: The name under which its value is logged.
        maximize: Whether higher values are better.
        on_epoch: Hears of an epoch (from 1); says what becomes of the run.

    Attributes:
        curve: The metrics of every epoch so far.
        best_epoch: The epoch (from 1) with the best value; 0 when none was finite.
        best: The weights after it, on the CPU.
        pausing: Whether it is to go on later, from the checkpoint that is held.
        tell: Where another process leads: hears, at the end, what it came to, or the
            line of an error that is not the run's.
    """

    def __init__(
        self,
        run: Run,
        monitor: str,
        on_epoch: Callable[[int, Metrics], Verdict],
        *,
        maximize: bool,
        tell: Callable[[bytes | str], None] | None = None,
    ) -> None:
        state = run.state
        self.run, self._monitor, self._on_epoch = run, monitor, on_epoch
        self._sign = -1.0 if maximize else 1.0
        self.curve: list[Metrics] = list(state.curve) if state else []
        self.best_epoch = state.best_epoch if state else 0
        self.best = part_of(state, "best") if state else {}
        self.pausing, self.tell = False, tell
        # Of this epoch: the best value validation gave, and the weights it had.
        self._seen: tuple[float, dict[str, Tensor]] | None = None
        # Until the first validation nobody knows whether it logs the value.
        self._validated: bool | None = None
        self._known_before = False
        self._judged: dict[str, Tensor] = {}
        self._losses: list[Tensor] = []
        self._began = time.perf_counter()

    def begin_epoch(self) -> None:
        """An epoch begins."""
        self._seen, self._losses = None, []
        self._began = time.perf_counter()

    def stepped(self, given: Any) -> None:
        """A training step has given its loss, or a dict that holds it."""
        loss = given.get("loss") if isinstance(given, Mapping) else given
        if self._monitor == _TRAIN_LOSS and isinstance(loss, Tensor):
            self._losses.append(loss.detach())

    def begin_validation(self, known: Mapping[str, Tensor]) -> None:
        """Validation begins; what is known already, training has logged."""
        self._known_before = self._monitor in known

    def judged(self, module: Any) -> None:
        """These weights were validated: callbacks may put back others at once."""
        self._judged = weights_of(module)

    def validated(self, known: Mapping[str, Tensor]) -> None:
        """Validation has ended; there may be several an epoch."""
        if self._validated is None:
            self._validated = self._monitor in known and not self._known_before
        if not self._validated or self._monitor not in known:
            return
        value = float(known[self._monitor])
        if self._seen is None or self._sign * value < self._sign * self._seen[0]:
            self._seen = value, self._judged

    def end_epoch(
        self, known: Mapping[str, Tensor], lr: float, module: Any, *, stopping: bool
    ) -> Verdict:
        """An epoch has ended; what becomes of the run.

        Args:
            known: What is logged.
            lr: The learning rate.
            module: The module.
            stopping: Whether somebody else ends the training here.

        Raises:
            ConfigError: If the monitored value was never logged.
        """
        if self._seen is not None:
            value, weights = self._seen
        else:
            value, weights = self._at_the_end(known), None
        seconds = time.perf_counter() - self._began
        metrics = Metrics(0.0, value, math.nan, math.nan, lr, seconds)
        if self._improves(value):
            self.best = weights_of(module) if weights is None else weights
            self.best_epoch = len(self.curve) + 1
        self.curve.append(metrics)
        epoch = len(self.curve)
        verdict = self._on_epoch(epoch, metrics)
        over = stopping or self.diverged
        if verdict is Verdict.GO_ON and (over or epoch >= self.run.max_epochs):
            return Verdict.STOP
        # Whoever pauses a run at its horizon may open it with a later one.
        self.pausing = verdict is Verdict.PAUSE and not over
        return verdict

    def _at_the_end(self, known: Mapping[str, Tensor]) -> float:
        """The value of an epoch that validation did not give."""
        if self._monitor in known:
            return float(known[self._monitor])
        if self._losses:
            return float(torch.stack(self._losses).mean())
        names = ", ".join(sorted(known)) or "nothing"
        raise ConfigError(
            f'monitor "{self._monitor}" must be logged by the end of the first epoch, '
            f"got {names}; log it with self.log, or name another monitor "
            f'("{_TRAIN_LOSS}" is known where training steps return their loss)'
        )

    def answer(self, epoch: int, metrics: Metrics) -> Verdict:
        """Another process has followed an epoch; what becomes of the run."""
        self.curve.append(metrics)
        return self._on_epoch(epoch, metrics)

    def state(self, kept: Kept | None) -> State:
        """What the run has come to, and where it goes on.

        Args:
            kept: Lightning's checkpoint; None where the run has ended.
        """
        tensors, rest, steps = ({}, None, 0) if kept is None else kept
        best = {f"best.{name}": value for name, value in self.best.items()}
        return State(
            tensors={**tensors, **best},
            steps=steps,
            best_epoch=self.best_epoch,
            curve=list(self.curve),
            extra=rest,
        )

    @property
    def diverged(self) -> bool:
        """Whether the last value is not finite."""
        return bool(self.curve) and not math.isfinite(self.curve[-1].val_loss)

    def _improves(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if not self.best_epoch:
            return True
        best = self.curve[self.best_epoch - 1].val_loss
        return self._sign * value < self._sign * best


def weights_of(module: Any) -> dict[str, Tensor]:
    """A copy of a module's tensors, on the CPU."""
    return {
        name: value.detach().cpu().clone()
        for name, value in module.state_dict().items()
        if isinstance(value, Tensor)
    }
