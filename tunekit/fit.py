"""The Lightning engine: one run at a time in a Lightning Trainer, on CPU or GPU.

Tables fit in memory, so batches are slices of tensors that already lie on the device;
rows are never collated one by one. The Trainer is quiet and writes nothing. A run ends
by ``trainer.should_stop`` alone, and ``max_epochs`` stays the full horizon, so that
schedules do not notice. Only one that hangs is ended by an exception through the
Trainer, where that can be (:mod:`tunekit.limit`).

Shapes: N rows, F inputs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tunekit.batches import Batches, Rows
from tunekit.feed import in_time, one_by_one, train_together
from tunekit.limit import Alarm
from tunekit.machine import MANY_THREADS_FLOPS, device_of, threads
from tunekit.module import lit_mlp
from tunekit.quiet import quiet
from tunekit.trial import (
    Feed,
    Fitted,
    Heard,
    Metrics,
    OnEpoch,
    Recipe,
    Run,
    State,
    Verdict,
)
from tunekit.watch import watch

__all__ = ["LightningEngine"]

_PACKAGE = "pytorch_lightning"


class LightningEngine:
    """Trains runs in a Lightning Trainer.

    Args:
        x_train: Training rows, (N, F) float32, or float64 to train in that.
        y_train: Their classes, (N,) int64.
        x_valid: Validation rows.
        y_valid: Their classes.
        n_classes: Classes in all.
        accelerator: ``auto``, ``cpu`` or ``gpu``, as Lightning understands it.
        threads: The most that a CPU step may use; as many as torch has when None.

    Raises:
        ConfigError: If the accelerator is not to be had.
    """

    name = "lightning"
    trouble = ""

    def __init__(
        self,
        x_train: NDArray[np.floating[Any]],
        y_train: NDArray[np.int64],
        x_valid: NDArray[np.floating[Any]],
        y_valid: NDArray[np.int64],
        n_classes: int,
        accelerator: str = "auto",
        threads: int | None = None,
    ) -> None:
        # Not left to the first run, whose time this would seem to be.
        importlib.import_module(_PACKAGE)
        self.threads = threads or torch.get_num_threads()
        self.device = torch.device(device_of(accelerator))
        self.accelerator = "gpu" if self.device.type == "cuda" else "cpu"
        self.n_classes = n_classes
        self._train = self._to_device(x_train, y_train)
        self._valid = self._to_device(x_valid, y_valid)

    def train(self, run: Run, on_epoch: OnEpoch) -> Fitted:
        """Train one run to its end; see :class:`tunekit.trial.Engine`."""

        def hear(heard: Heard) -> bool:
            return on_epoch(heard.epoch, heard.metrics)

        return train_together(self, [run], hear)[0]

    def train_until(
        self, run: Run, on_epoch: Callable[[int, Metrics], Verdict]
    ) -> Fitted | State:
        """Train one run until it ends or is paused; see :data:`tunekit.feed.Train`."""
        recipe = run.recipe.as_dict()
        batch_size = recipe.pop("batch_size")
        module = lit_mlp(_PACKAGE)(
            self._train[0].shape[1],
            self.n_classes,
            **recipe,
            seed=run.seed,
            key=run.draws,
        ).to(self._train[0].dtype)
        parameters = sum(p.numel() for p in module.parameters())
        # Forward and backward: two and four operations per weight and row.
        heavy = 6.0 * parameters * batch_size > MANY_THREADS_FLOPS
        alarm = Alarm(run.max_seconds)
        watching = watch(run, in_time(run, alarm, lambda: watching.curve, on_epoch))
        batches = Batches(
            *self._train, batch_size=batch_size, seed=run.seed, key=run.draws
        )
        batches.epoch = run.paused_at
        with quiet(), threads(self.threads if heavy else 1):
            trainer = _trainer(run.max_epochs, self.accelerator, watching)
            rows = Rows(*self._valid)
            left = run.seconds_left(watching.curve)
            alarm.during(left, lambda: trainer.fit(module, batches, rows))
        return watching.outcome()  # type: ignore[no-any-return]

    def train_all(self, feed: Feed, slots: int) -> None:
        """Train the feed's runs one after the other; a Trainer holds only one."""
        one_by_one(self.train_until, feed)

    def forget(self, key: str) -> None:
        """Nothing to do: states of paused runs are the feed's."""

    def expect(self, recipe: Recipe, epochs: int, slots: int) -> None:
        """Nothing to make ready."""

    def close(self) -> None:
        """Nothing to let go of."""

    def _to_device(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[Tensor, Tensor]:
        return (
            torch.as_tensor(x).to(self.device),
            torch.as_tensor(y).to(self.device),
        )


def _trainer(max_epochs: int, accelerator: str, watching: Any) -> Any:
    """A Trainer that prints nothing, writes nothing and checks nothing twice."""
    from pytorch_lightning import Trainer

    return Trainer(
        max_epochs=max_epochs,
        accelerator=accelerator,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[watching],
    )
