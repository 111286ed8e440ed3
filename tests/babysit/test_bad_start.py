"""A learning rate that is far too high at the start comes down by itself."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tunekit.babysit.command import main

from .conftest import came_to

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
