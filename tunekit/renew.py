"""A checkpoint opened with other hyperparameters than it was written with.

A Trainer that goes on from a checkpoint takes the optimizers' learning rate, momentum
and weight decay from there, too. Where they are to change in a running model, what the
module's own ``configure_optimizers`` makes otherwise than it did then must hold. All
else stays: what the optimizers have learnt of the gradients, and what a schedule has
made of the learning rate since.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

from tunekit.packages import part_of

__all__ = ["renew"]

_LR = "lr"
_RATES = ("base_lrs", "max_lrs", "_last_lr")
"""Where schedules keep learning rates of their own, one a group of parameters."""

Groups = list[list[dict[str, Any]]]


@cache
def renew(package: str) -> Any:
    """The callback's class, over ``package``'s own."""
    parent: Any = part_of(package, "callbacks.Callback")

    class Renew(parent):  # type: ignore[misc]
        """Remembers what optimizers are made with, and renews what is made otherwise.

        Args:
            going_on: Whether the run goes on from a checkpoint.
        """

        def __init__(self, going_on: bool) -> None:
            self._going_on = going_on
            self._made: Groups = []
            self._before: Groups = []

        def on_fit_start(self, trainer: Any, module: Any) -> None:
            # Optimizers are made by now, and what the checkpoint has comes after.
            self._made = [
                [_hyperparameters(group) for group in optimizer.param_groups]
                for optimizer in trainer.optimizers
            ]

        def state_dict(self) -> dict[str, Any]:
            return {"made": self._made}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self._before = state_dict["made"]

        def on_train_start(self, trainer: Any, module: Any) -> None:
            if not self._going_on:
                return
            schedules = [
                schedule
                for config in trainer.lr_scheduler_configs
                for schedule in _parts(config.scheduler)
            ]
            for optimizer, made, before in zip(
                trainer.optimizers, self._made, self._before, strict=True
            ):
                groups = zip(optimizer.param_groups, made, before, strict=True)
                for i, (group, new, old) in enumerate(groups):
                    factor = _renew(group, new, old)
                    for schedule in schedules:
                        if schedule.optimizer is optimizer:
                            _scale(schedule, i, factor)

    return Renew


def _renew(group: dict[str, Any], new: dict[str, Any], old: dict[str, Any]) -> float:
    """Give a group what is made otherwise; by what factor its learning rate went."""
    for name, value in new.items():
        if name not in (_LR, "initial_lr") and value != old.get(name):
            group[name] = value
    before, now = _rate(old), _rate(new)
    if now == before:
        return 1.0
    factor = now / before if before else 1.0
    group[_LR] = group[_LR] * factor if before else now
    if "initial_lr" in group:
        group["initial_lr"] = group["initial_lr"] * factor if before else now
    return factor


def _rate(group: dict[str, Any]) -> float:
    """What a group's learning rate begins with."""
    return float(group.get("initial_lr", group[_LR]))


def _scale(schedule: Any, group: int, factor: float) -> None:
    for name in _RATES:
        rates = getattr(schedule, name, None)
        if factor != 1.0 and isinstance(rates, list) and group < len(rates):
            # A list of its own: schedules that are made of others may share theirs.
            scaled = [*rates]
            scaled[group] = rates[group] * factor
            setattr(schedule, name, scaled)


def _parts(schedule: Any) -> Iterator[Any]:
    """A schedule and those that it is made of."""
    yield schedule
    for each in getattr(schedule, "_schedulers", ()):
        yield from _parts(each)


def _hyperparameters(group: dict[str, Any]) -> dict[str, Any]:
    return {
        name: copy.deepcopy(value) for name, value in group.items() if name != "params"
    }
