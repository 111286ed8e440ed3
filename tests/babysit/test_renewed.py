"""New settings reach a module that goes on from a checkpoint; the rest of it stays."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as schedules

from tunekit.babysit.course import START as BEGIN
from tunekit.babysit.course import Round
from tunekit.babysit.nowhere import Nowhere
from tunekit.babysit.rounds import train_round
from tunekit.modules import ModuleEngine

from .nets import PACKAGES, START, Schedule, loaders, maker

STEPS = 3
"""Batches of an epoch."""
NEW = {"lr": 0.2, "momentum": 0.95, "weight_decay": 1e-2, "dropout": 0.4}


def two_rounds(
    package: str, schedule: Schedule | None = None, new: dict[str, float] = NEW
) -> list[dict[str, Any]]:
    """What the optimizer went by in three epochs and, from there, three others."""
    steps: list[dict[str, Any]] = []
    make = maker(package, steps, schedule)
    engine, keep = ModuleEngine(make, data=loaders(), renewed=True), Nowhere()

    def run_of(settings: Any) -> dict[str, Any]:
        return {"params": dict(settings), "max_epochs": 100}

    first = Round(1, "train", [(BEGIN, START)], 3)
    second = Round(2, "train", [(first.checkpoint(0), new)], 3)
    for each in (first, second):
        train_round(engine, each, run_of, keep, seed=1)
    assert [step["epoch"] for step in steps] == [n // STEPS for n in range(6 * STEPS)]
    return steps


@pytest.mark.parametrize("package", PACKAGES)
def test_the_optimizer_has_the_new_values_and_what_it_has_learnt(package: str) -> None:
    steps = two_rounds(package)
    before, after = steps[3 * STEPS - 1], steps[3 * STEPS]
    for name, value in NEW.items():
        assert before[name] == START[name]
        assert {step[name] for step in steps[3 * STEPS :]} == {value}
    # One step on from the moments of the step before, not begun anew.
    assert after["moment"] is not None
    unchanged = two_rounds(package, new=START)
    assert torch.equal(after["moment"], unchanged[3 * STEPS]["moment"])


@pytest.mark.parametrize("package", PACKAGES)
def test_with_the_same_settings_nothing_is_changed(package: str) -> None:
    steps = two_rounds(package, new=START)
    assert {step["lr"] for step in steps} == {START["lr"]}
    assert len({step["epoch"] for step in steps}) == 6


def one_cycle(optimizer: Any) -> Any:
    lr = optimizer.param_groups[0]["lr"]
    made = schedules.OneCycleLR(optimizer, max_lr=lr, total_steps=60)
    return {"scheduler": made, "interval": "step"}


def warm_then_steps(optimizer: Any) -> Any:
    parts = [
        schedules.LinearLR(optimizer, start_factor=0.25, total_iters=2),
        schedules.StepLR(optimizer, step_size=1, gamma=0.5),
    ]
    return schedules.SequentialLR(optimizer, parts, milestones=[2])


def warm_then_lambda(optimizer: Any) -> Any:
    parts = [
        schedules.LinearLR(optimizer, start_factor=0.25, total_iters=2),
        schedules.LambdaLR(optimizer, lambda epoch: 1.0 / (1 + epoch)),
    ]
    return schedules.SequentialLR(optimizer, parts, milestones=[2])


SCHEDULES = {
    "step": lambda o: schedules.StepLR(o, step_size=1, gamma=0.5),
    "lambda": lambda o: schedules.LambdaLR(o, lambda epoch: 1.0 / (1 + epoch)),
    "cosine": lambda o: schedules.CosineAnnealingLR(o, T_max=20),
    "exponential": lambda o: schedules.ExponentialLR(o, gamma=0.9),
    "one cycle": one_cycle,
    "warm, then steps": warm_then_steps,
    "warm, then lambda": warm_then_lambda,
}


def rates(schedule: Schedule, lr: float) -> list[float]:
    """The rate of every step, had it been trained with this rate from the start."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr, momentum=0.9)
    made, found = schedule(optimizer), []
    each_step = isinstance(made, dict)
    schedule_ = made["scheduler"] if isinstance(made, dict) else made
    for step in range(1, 6 * STEPS + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if each_step or step % STEPS == 0:
            schedule_.step()
    return found


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_goes_on_over_the_new_rate(name: str) -> None:
    schedule = SCHEDULES[name]
    steps = [step["lr"] for step in two_rounds(PACKAGES[0], schedule)]
    half = 3 * STEPS
    assert steps[:half] == pytest.approx(rates(schedule, START["lr"])[:half])
    assert steps[half:] == pytest.approx(rates(schedule, NEW["lr"])[half:])


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_of_the_same_rate_goes_on_as_it_was(name: str) -> None:
    schedule = SCHEDULES[name]
    steps = [step["lr"] for step in two_rounds(PACKAGES[1], schedule, START)]
    assert steps == pytest.approx(rates(schedule, START["lr"]))
