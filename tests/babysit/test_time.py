"""A limit of time: training stops within an epoch, and nothing of it is lost."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tunekit.babysit import pace
from tunekit.babysit.course import Course, Point, Round, Rules
from tunekit.babysit.job import run_of
from tunekit.babysit.nowhere import Nowhere
from tunekit.babysit.nudges import recipe_knobs
from tunekit.babysit.rounds import train_round
from tunekit.babysit.sitter import Sitter
from tunekit.trial import Recipe
from tunekit.vectorized import VectorizedEngine

from .conftest import Call, course

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


def test_the_last_of_the_time_goes_into_a_falling_rate(
    engine: VectorizedEngine,
) -> None:
    knobs, keep = recipe_knobs(RECIPE), Nowhere()
    start = {name: getattr(RECIPE, name) for name in knobs}
    until = time.monotonic() + 3.0
    sitter = Sitter(engine, run_of(RECIPE), keep, knobs, start, Rules(), until=until)
    course = sitter.sit()
    assert time.monotonic() - until < 3.0
    rates = [
        line["branches"][0]["settings"]["lr"]
        for line in keep.history()
        if line["doing"] == "cool"
    ]
    assert course.spent > 50
    assert rates
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.1 * rates[0]


def test_what_is_done_before_and_between_rounds_counts_for_no_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading a long history is no training; writing down what a round came to is."""
    now = [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    knobs, rules = recipe_knobs(RECIPE), Rules()
    found = pace.Pace(until=60.0)
    now[0] = 20.0  # a history was read
    found.begin()
    one = Round(1, "train", [("", {})], 5)
    course = Course({name: getattr(RECIPE, name) for name in knobs})
    course.best, course.best_at = 1.0, "000001-0"
    course.line.append(Point("000001-0", 5, 1.0))
    for number in (1, 2):
        assert found.planned(course, one, rules, knobs) is course
        now[0] += 5.0 if number == 1 else 0.5
        found.took(one)
    assert found.planned(course, one, rules, knobs) is course
    now[0] = 55.0
    cool = found.planned(course, one, rules, knobs)
    # Five seconds at a tenth of one for each epoch.
    assert cool.doing == "cool"
    assert round(cool.length - cool.done) == int(0.95 * 5.0 / 0.1)


def test_time_that_is_never_short_changes_nothing(engine: VectorizedEngine) -> None:
    knobs, rules = recipe_knobs(RECIPE), Rules(horizon=40)
    start = {name: getattr(RECIPE, name) for name in knobs}

    def sat(until: float | None) -> Course:
        given = (engine, run_of(RECIPE), Nowhere(), knobs, start, rules)
        return Sitter(*given, until=until).sit()

    assert sat(time.monotonic() + 600.0) == sat(None)


def test_the_command_ends_in_time_and_goes_on(call: Call, runs: Path) -> None:
    began = time.monotonic()
    assert call("--timeout", "5s", "--budget-epochs", "100000") == 0
    assert time.monotonic() - began < 60
    first = course(runs / "model")
    assert 0 < first["spent"] < 100_000
    more = str(first["spent"] + 20)
    assert call("--budget-epochs", more) == 0
    assert course(runs / "model")["spent"] == int(more)
