"""A checkpoint opened with other hyperparameters than it was written with.

A Trainer that goes on from a checkpoint takes the optimizers' learning rate, momentum
and weight decay from there, too. Where they are to change in a running model, what the
module's own ``configure_optimizers`` says now must hold, and what the optimizers have
learnt of the gradients stays.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from tunekit.packages import part_of

__all__ = ["renew"]


@cache
def renew(package: str) -> Any:
    """The callback's class, over ``package``'s own."""
    parent: Any = part_of(package, "callbacks.Callback")

    class Renew(parent):  # type: ignore[misc]
        """Keeps what optimizers are made with, and gives it back after a restore."""

        def __init__(self) -> None:
            self._made: list[list[dict[str, Any]]] = []

        def on_fit_start(self, trainer: Any, module: Any) -> None:
            # Optimizers are made by now, and what the checkpoint has comes after.
            self._made = [
                [_hyperparameters(group) for group in optimizer.param_groups]
                for optimizer in trainer.optimizers
            ]

        def on_train_start(self, trainer: Any, module: Any) -> None:
            for optimizer, made in zip(trainer.optimizers, self._made, strict=True):
                for group, fresh in zip(optimizer.param_groups, made, strict=True):
                    _renew(group, fresh)
            for config in trainer.lr_scheduler_configs:
                _renew_schedule(config.scheduler)

    return Renew


def _renew_schedule(schedule: Any) -> None:
    """Have a schedule, and those it is made of, begin with what groups begin with."""
    for part in getattr(schedule, "_schedulers", ()):
        _renew_schedule(part)
    if not hasattr(schedule, "optimizer"):
        return
    groups = schedule.optimizer.param_groups
    if hasattr(schedule, "base_lrs"):
        schedule.base_lrs = [group["initial_lr"] for group in groups]
    schedule._last_lr = [group["lr"] for group in groups]


def _renew(group: dict[str, Any], fresh: dict[str, Any]) -> None:
    """Give a group what it is made with now; a schedule's factor on it stays."""
    lr, start = group["lr"], group.get("initial_lr")
    group.update(fresh)
    if start:
        group["lr"] = fresh.get("initial_lr", fresh["lr"]) * float(lr) / float(start)


def _hyperparameters(group: dict[str, Any]) -> dict[str, Any]:
    return {
        name: copy.deepcopy(value) for name, value in group.items() if name != "params"
    }
