"""A run in a Trainer: opened where it was paused, told epoch by epoch, ended or paused.

The vectorized engine keeps the same tensors under the same names, so that a run which
was paused in one engine goes on in the other. Initial weights, batches, dropout masks
and schedules are functions of the run and the epoch: nothing else has to be kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tunekit.states import part_of
from tunekit.trial import Fitted, Metrics, Run, State, Verdict

__all__ = ["watch"]

_MOMENTS: dict[str, tuple[str | None, str | None]] = {
    "sgd": ("momentum_buffer", None),
    "rmsprop": (None, "square_avg"),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
}
"""What torch calls an optimizer's first and second moments."""


def watch(run: Run, on_epoch: Callable[[int, Metrics], Verdict]) -> Any:
    """The Lightning callback that opens a run, tells its epochs, and ends or pauses it.

    Its ``outcome()`` is, after ``Trainer.fit``, what the run came to, or its state if
    it was paused. The Trainer's ``max_epochs`` is the full horizon, wherever the run
    begins, and its module a :class:`tunekit.module.LitMLP`.

    Args:
        run: What is trained; from its start, or on from its state.
        on_epoch: Hears of an epoch (counted from 1); says what becomes of the run.
    """
    from pytorch_lightning import Callback

    class Watch(Callback):
        """Hears of every epoch once, after its validation."""

        def __init__(self) -> None:
            state = run.state
            self.curve: list[Metrics] = list(state.curve) if state else []
            self.best_epoch = state.best_epoch if state else 0
            self.best_weights = part_of(state, "best") if state else {}
            self.state: State | None = None
            self._began = self._lr = 0.0

        def outcome(self) -> Fitted | State:
            """What the run came to, or its state where it was paused."""
            return self.state or Fitted(
                curve=self.curve,
                best_epoch=self.best_epoch,
                weights=self.best_weights,
                diverged=bool(self.curve) and not _finite(self.curve[-1]),
            )

        def on_train_start(self, trainer: Any, module: Any) -> None:
            if run.state is not None:
                _open(run.state, run.recipe.optimizer, trainer, module)

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            self._began = time.perf_counter()
            self._lr = float(trainer.optimizers[0].param_groups[0]["lr"])

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            # This hook comes after validation but before the module logs its own means.
            train, val = module.means("train"), module.means("val")
            metrics = Metrics(
                train_loss=float(train[0]),
                val_loss=float(val[0]),
                train_score=float(train[1]),
                val_score=float(val[1]),
                lr=self._lr,
                seconds=time.perf_counter() - self._began,
            )
            best = self.curve[self.best_epoch - 1].val_loss if self.best_epoch else None
            self.curve.append(metrics)
            epoch = len(self.curve)
            finite = _finite(metrics)
            if finite and (best is None or metrics.val_loss < best):
                self.best_epoch, self.best_weights = epoch, _weights(module.net)
            verdict = on_epoch(epoch, metrics)
            tired = epoch - self.best_epoch >= run.patience
            over = not finite or tired or epoch >= run.max_epochs
            if verdict is Verdict.PAUSE and not over:
                self.state = self._paused(trainer, module)
            if verdict is not Verdict.GO_ON or over:
                trainer.should_stop = True

        def _paused(self, trainer: Any, module: Any) -> State:
            """All that the run needs to go on."""
            parts = {
                "net": _weights(module.net),
                **_moments(run.recipe.optimizer, trainer.optimizers[0], module.net),
                "best": self.best_weights,
            }
            state = run.state
            before, known = (state.steps, len(state.curve)) if state else (0, 0)
            epochs = len(self.curve) - known
            return State(
                tensors={
                    f"{part}.{name}": value
                    for part, values in parts.items()
                    for name, value in values.items()
                },
                # A state may have taken steps before its curve begins.
                steps=before + epochs * trainer.num_training_batches,
                best_epoch=self.best_epoch,
                curve=list(self.curve),
            )

    return Watch()


def _open(state: State, optimizer: str, trainer: Any, module: Any) -> None:
    """Put a run where it was paused; its optimizer and schedule are new."""
    module.net.load_state_dict(part_of(state, "net"))
    (own,) = trainer.optimizers
    if state.steps:
        own.load_state_dict(
            {
                "state": {
                    i: _slots(state, optimizer, name, own.param_groups[0])
                    for i, (name, _) in enumerate(module.net.named_parameters())
                },
                "param_groups": own.state_dict()["param_groups"],
            }
        )
    epochs = len(state.curve)
    # What ``trainer.current_epoch`` and the end at ``max_epochs`` go by.
    trainer.fit_loop.epoch_progress.current.increment_by(epochs)
    (schedule,) = trainer.lr_scheduler_configs
    # A schedule is a function of the epoch: it begins one early and takes one step.
    schedule.scheduler.last_epoch = epochs - 1
    schedule.scheduler.step()


def _slots(
    state: State, optimizer: str, name: str, group: dict[str, Any]
) -> dict[str, Tensor]:
    """What torch's optimizer keeps of one parameter."""
    if optimizer == "sgd" and not group["momentum"]:
        return {}
    found = {
        slot: state.tensors[f"{part}.{name}"].clone()
        for part, slot in zip(("first", "second"), _MOMENTS[optimizer], strict=True)
        if slot
    }
    if optimizer != "sgd":
        found["step"] = torch.tensor(float(state.steps))
    return found


def _moments(
    name: str, optimizer: torch.optim.Optimizer, net: torch.nn.Module
) -> dict[str, dict[str, Tensor]]:
    """An optimizer's moments; zeros where it keeps none."""
    found: dict[str, dict[str, Tensor]] = {}
    for part, slot in zip(("first", "second"), _MOMENTS[name], strict=True):
        found[part] = {}
        for parameter_name, parameter in net.named_parameters():
            value = optimizer.state[parameter].get(slot) if slot else None
            kept = torch.zeros_like(parameter) if value is None else value
            found[part][parameter_name] = kept.detach().cpu().clone()
    return found


def _weights(net: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of the network's tensors, on the CPU."""
    return {
        name: value.detach().clone().cpu() for name, value in net.state_dict().items()
    }


def _finite(metrics: Metrics) -> bool:
    return math.isfinite(metrics.val_loss) and math.isfinite(metrics.train_loss)
