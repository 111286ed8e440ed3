"""A limit of time: training stops within an epoch, and nothing of it is lost."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tunekit.babysit.course import Round
from tunekit.babysit.folder import Nowhere
from tunekit.babysit.job import run_of
from tunekit.babysit.rounds import train_round
from tunekit.trial import Recipe
from tunekit.vectorized import VectorizedEngine

from .conftest import Call, course, rounds

RECIPE = Recipe(width=8, schedule="constant", batch_size=32)
TRIED = Round(1, "burst", [("", {"lr": 0.01}), ("", {"lr": 0.02})], 4)


@pytest.fixture
def engine() -> VectorizedEngine:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    return VectorizedEngine(x, y, x, y, 2, "cpu", processes=1)


def test_a_round_that_time_cuts_short_goes_on_to_the_same_end(
    engine: VectorizedEngine,
) -> None:
    whole = train_round(engine, TRIED, run_of(RECIPE), Nowhere(), seed=0)
    keep, cuts = Nowhere(), 0
    found = None
    while found is None:
        # Time is up at once; from the fourth epoch on there is nothing to cut.
        found = train_round(engine, TRIED, run_of(RECIPE), keep, seed=0, until=0.0)
        cuts += found is None
    assert cuts == 3
    assert found == whole


def test_the_command_ends_in_time_and_goes_on(call: Call, runs: Path) -> None:
    began = time.monotonic()
    assert call("--timeout", "6s", "--budget-epochs", "100000") == 0
    assert time.monotonic() - began < 60
    first = course(runs / "model")
    assert 0 < first["spent"] < 100_000
    assert first["doing"] == "over"
    # The last of it went into a learning rate that falls to zero.
    cooled = [line for line in rounds(runs / "model") if line["doing"] == "cool"]
    assert (
        cooled[-1]["branches"][0]["settings"]["lr"]
        < (cooled[0]["branches"][0]["settings"]["lr"])
    )
    more = str(first["spent"] + 20)
    assert call("--budget-epochs", more) == 0
    assert course(runs / "model")["spent"] == int(more)
