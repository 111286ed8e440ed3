"""The callback that follows any LightningModule: its epochs told, its state kept.

What one epoch is worth is the monitored value: the best of those that validation gave
within the epoch, where it is monitored there, else what is known at the epoch's end.
A run is stopped by ``should_stop`` alone; a paused one goes on from a checkpoint of
Lightning's own, which is held in memory (:func:`held`) until somebody stores it.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tunekit.errors import ConfigError
from tunekit.packages import part_of
from tunekit.plain import packed
from tunekit.quiet import hush
from tunekit.states import part_of as part_of_state
from tunekit.states import to_bytes
from tunekit.streams import seed_streams
from tunekit.trial import Metrics, Run, State, Verdict

__all__ = ["HELD", "Follower", "follow", "held", "weights_of"]

_MADE_WITH = ("hyper_parameters", "hparams_name", "hparams_type")
"""Of a checkpoint, what a module or its data were made with: ``make`` makes them."""
_TRAIN_LOSS = "train_loss"
"""Where a module logs nothing of this name, it is the mean of what its steps return."""
HELD = ".tunekit-held"
"""The path under which :func:`held` keeps a checkpoint in memory."""


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
        tell: Where another process leads: hears, at the end, what it came to.
    """

    def __init__(
        self,
        run: Run,
        monitor: str,
        on_epoch: Callable[[int, Metrics], Verdict],
        *,
        maximize: bool,
        tell: Callable[[bytes], None] | None = None,
    ) -> None:
        state = run.state
        self.run, self._monitor, self._on_epoch = run, monitor, on_epoch
        self._sign = -1.0 if maximize else 1.0
        self.curve: list[Metrics] = list(state.curve) if state else []
        self.best_epoch = state.best_epoch if state else 0
        self.best = part_of_state(state, "best") if state else {}
        self.pausing, self.tell = False, tell
        # Of this epoch: the best value validation gave, and the weights it had.
        self._seen: tuple[float, dict[str, Tensor] | None] | None = None
        # Before the first epoch is over nobody knows whether validation logs it.
        self._validated = bool(self.curve)
        self._began = time.perf_counter()

    def begin_epoch(self) -> None:
        """An epoch begins."""
        self._seen, self._began = None, time.perf_counter()
        self._losses: list[Tensor] = []

    def stepped(self, given: Any) -> None:
        """A training step has given its loss, or a dict that holds it."""
        loss = given.get("loss") if isinstance(given, Mapping) else given
        if self._monitor == _TRAIN_LOSS and isinstance(loss, Tensor):
            self._losses.append(loss.detach())

    def validated(self, known: dict[str, Tensor], module: Any) -> None:
        """Validation has ended; there may be several an epoch."""
        if self._monitor not in known:
            # What is logged in training comes later, and then stays there.
            self._validated = False
            return
        self._validated = self._validated or not self.curve
        if not self._validated:
            return
        value = float(known[self._monitor])
        if self._seen is None or not self._sign * value >= self._sign * self._seen[0]:
            better = self._improves(value)
            self._seen = value, weights_of(module) if better else None

    def end_epoch(self, known: dict[str, Tensor], lr: float, module: Any) -> Verdict:
        """An epoch has ended; what becomes of the run.

        Raises:
            ConfigError: If the monitored value was never logged.
        """
        if self._seen is not None:
            value, weights = self._seen
        elif self._monitor in known:
            value, weights = float(known[self._monitor]), None
        elif self._losses:
            value, weights = float(torch.stack(self._losses).mean()), None
        else:
            names = ", ".join(sorted(known)) or "nothing"
            raise ConfigError(
                f'monitor "{self._monitor}" must be logged by the end of the first '
                f"epoch, got {names}; log it with self.log, or name another monitor "
                f'("{_TRAIN_LOSS}" is always known)'
            )
        seconds = time.perf_counter() - self._began
        metrics = Metrics(0.0, value, math.nan, math.nan, lr, seconds)
        if self._improves(value):
            self.best = weights_of(module) if weights is None else weights
            self.best_epoch = len(self.curve) + 1
        self.curve.append(metrics)
        epoch = len(self.curve)
        verdict = self._on_epoch(epoch, metrics)
        over = self.diverged or epoch >= self.run.max_epochs
        if verdict is Verdict.GO_ON and over:
            return Verdict.STOP
        self.pausing = verdict is Verdict.PAUSE and not over
        return verdict

    def answer(self, epoch: int, metrics: Metrics) -> Verdict:
        """Another process has followed an epoch; what becomes of the run."""
        self.curve.append(metrics)
        return self._on_epoch(epoch, metrics)

    def state(self, checkpoint: Mapping[str, Any] | None) -> State:
        """What the run has come to, and where it goes on.

        Args:
            checkpoint: Lightning's; None where it has ended.

        Raises:
            ConfigError: Something in it is neither a tensor nor a plain value.
        """
        tensors: dict[str, Tensor] = {}
        rest, steps = None, 0
        if checkpoint is not None:
            steps = checkpoint["global_step"]
            needed = {
                name: part
                for name, part in checkpoint.items()
                if name.removeprefix("datamodule_") not in _MADE_WITH
            }
            try:
                tensors, rest = packed(needed, "checkpoint")
            except TypeError as error:
                raise ConfigError(
                    f'to pause a trial, {error}; give pruner="none", or keep it '
                    "elsewhere"
                ) from None
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


@cache
def follow(package: str) -> Any:
    """The callback's class, over ``package``'s own.

    It counts as one that checkpoints: those hear of an epoch last, when all that
    modules and other callbacks log is known; and a Trainer that has one adds none.
    """
    parent: Any = part_of(package, "callbacks.Checkpoint")

    class Follow(parent):  # type: ignore[misc]
        """Tells a :class:`Follower` of a Trainer's epochs."""

        def __init__(self, follower: Follower) -> None:
            self.follower = follower

        def __reduce__(self) -> Any:
            return _followed, (package, self.follower)

        def on_fit_start(self, trainer: Any, module: Any) -> None:
            # The first epoch's batches are drawn before it begins, later ones after.
            seed_streams(self.follower.run, "epoch", len(self.follower.curve))

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            self.follower.begin_epoch()
            reached = self.follower.run.paused_at
            if len(self.follower.curve) > reached:
                seed_streams(self.follower.run, "epoch", len(self.follower.curve))

        def on_train_batch_end(
            self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            self.follower.stepped(outputs)

        def on_validation_end(self, trainer: Any, module: Any) -> None:
            if not trainer.sanity_checking:
                self.follower.validated(trainer.callback_metrics, module)

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            verdict = None
            if trainer.is_global_zero:
                lr = math.nan
                if trainer.optimizers:
                    lr = float(trainer.optimizers[0].param_groups[0]["lr"])
                known = trainer.callback_metrics
                verdict = self.follower.end_epoch(known, lr, module)
            if trainer.world_size > 1:
                told = trainer.strategy.broadcast((verdict, self.follower.pausing))
                verdict, self.follower.pausing = told
            if verdict is not Verdict.GO_ON:
                trainer.should_stop = True

        def on_train_end(self, trainer: Any, module: Any) -> None:
            # Here the epoch is over to the loops and schedules, too.
            if self.follower.pausing:
                trainer.save_checkpoint(HELD)
            if trainer.is_global_zero and self.follower.tell is not None:
                kept = trainer.strategy.checkpoint_io.checkpoint
                paused = kept if self.follower.pausing else None
                self.follower.tell(to_bytes(self.follower.state(paused)))

    return Follow


def _followed(package: str, follower: Follower) -> Any:
    """The callback, in a process of the Trainer's: as quiet and as seeded as here."""
    hush()
    seed_streams(follower.run, "data")
    return follow(package)(follower)


@cache
def held(package: str) -> Any:
    """The class of what keeps one checkpoint in memory, and passes all others on."""
    parent: Any = part_of(package, "plugins.io.CheckpointIO")

    class Held(parent):  # type: ignore[misc]
        """Beside a Trainer's own way to write checkpoints.

        Args:
            inner: That way.
            checkpoint: What a run goes on from; None to begin.
        """

        def __init__(self, inner: Any, checkpoint: Any) -> None:
            self.inner, self.checkpoint = inner, checkpoint

        def save_checkpoint(
            self, checkpoint: Any, path: Any, *given: Any, **named: Any
        ) -> None:
            if path == HELD:
                self.checkpoint = checkpoint
            else:
                self.inner.save_checkpoint(checkpoint, path, *given, **named)

        def load_checkpoint(self, path: Any, *given: Any, **named: Any) -> Any:
            if path == HELD:
                # Optimizers go on in the very tensors that they are given, which
                # several processes would share.
                return copy.deepcopy(self.checkpoint)
            return self.inner.load_checkpoint(path, *given, **named)

        def remove_checkpoint(self, path: Any) -> None:
            self.inner.remove_checkpoint(path)
            # What processes hand over their weights in is left behind, empty.
            if Path(path).name == ".temp.ckpt":
                with suppress(OSError):
                    Path(path).parent.rmdir()

        def teardown(self) -> None:
            self.inner.teardown()

        def __reduce__(self) -> Any:
            return _held, (package, self.inner, self.checkpoint)

    return Held


def _held(package: str, inner: Any, checkpoint: Any) -> Any:
    return held(package)(inner, checkpoint)


def weights_of(module: Any) -> dict[str, Tensor]:
    """A copy of a module's tensors, on the CPU."""
    return {
        name: value.detach().cpu().clone()
        for name, value in module.state_dict().items()
        if isinstance(value, Tensor)
    }
