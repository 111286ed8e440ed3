"""A learning rate that is far too high at the start comes down by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from tunekit.babysit import babysit
from tunekit.babysit.command import main
from tunekit.space import LogUniform

from .conftest import came_to
from .nets import PACKAGES, loaders, maker
from .nets import START as NETS_START

OPTIONS = ["--budget-epochs", "60", "--interval", "3", "--set", "width=32"]


@pytest.mark.parametrize(
    "start",
    [["lr=0.09"], ["lr=3.0", "optimizer=sgd", "momentum=0.9"]],
    ids=["adamw", "sgd"],
)
def test_a_rate_thirty_times_too_high_recovers(runs: Path, start: list[str]) -> None:
    """On the digits: a table of some rows forgives any rate."""
    good = ["lr=0.003"] if len(start) == 1 else ["lr=0.1", *start[1:]]
    for name, begun in (("model", start), ("good", good)):
        words = [word for each in begun for word in ("--set", each)]
        assert main([*OPTIONS, *words, "--out", str(runs), "--name", name]) == 0
    best = came_to(runs / "model")[3]["best"]
    first = float(start[0].partition("=")[2])
    assert math.isfinite(best["value"])
    # The losses of a model that never had the trouble are near.
    assert best["value"] < came_to(runs / "good")[3]["best"]["value"] + 0.08
    rates = [each["settings"]["lr"] for each in came_to(runs / "model")[3]["schedule"]]
    assert best["settings"]["lr"] == rates[-1] == min(rates) <= first / 2


def test_a_module_of_such_a_rate_recovers() -> None:
    def make(settings: Mapping[str, float]) -> Any:
        module = maker(PACKAGES[0])({**NETS_START, "lr": settings["base_lr"]})
        # Nothing in it forgives a rate, as batch norm does.
        module.layers = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))
        module.loss = lambda batch: nn.functional.mse_loss(
            module.layers(batch[0])[:, 0], batch[1]
        )
        return module

    found = babysit(
        make,
        {"base_lr": LogUniform(1e-4, 100.0)},
        start={"base_lr": 1.5},
        data=loaders(),
        budget_epochs=30,
        interval=2,
    )
    assert found.history[0]["branches"][0]["val"][0] > 1000.0
    # Better than the mean of the labels, zeros and ones, would be.
    assert found.best_value < 0.25
    assert found.settings["base_lr"] <= 1.5 / 8
