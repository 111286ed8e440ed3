"""tune where trials are paused at rungs and promoted: loops wait, or are run again."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tunekit import LogUniform, Uniform, tune

SPACE = {"lr": LogUniform(1e-3, 1.0), "noise": Uniform(0.0, 0.3)}


class Stop(BaseException):
    """The process is gone."""


class Loops:
    """Makes training loops, and counts; gone after so many values."""

    def __init__(self, last: float = math.inf, sign: float = 1.0) -> None:
        self.last, self.sign = last, sign
        self.begun, self.open = 0, 0
        self.given: list[float] = []

    def __call__(self, params: dict[str, Any]) -> Iterator[float]:
        self.begun += 1
        self.open += 1
        try:
            for epoch in range(1, 10):
                if len(self.given) >= self.last:
                    raise Stop
                away = abs(math.log10(params["lr"]) + 1) + params["noise"]
                self.given.append(self.sign * (away + 1 / epoch))
                yield self.given[-1]
        finally:
            self.open -= 1


def search(make: Any, **options: Any) -> Any:
    options = {"budget_epochs": 60, "sampler": "random", **options}
    return tune(make, SPACE, max_epochs=9, pruner="promote", **options)


def told(result: Any) -> list[Any]:
    return [
        (t.number, t.state, t.params, t.value, t.intermediate_values)
        for t in result.study.trials
    ]


@pytest.mark.parametrize("in_flight", [1, 3])
def test_a_paused_loop_waits_and_goes_on(in_flight: int) -> None:
    loops = Loops()
    result = search(loops, in_flight=in_flight)
    assert loops.begun == len(result.trials) > 60 / 9
    assert loops.open == 0
    assert len(loops.given) == result.trials["epochs"].sum() == 60
    assert set(result.trials["epochs"]) >= {1, 9}
    assert result.best_value == min(loops.given)
    if in_flight == 1:
        best, expected = math.inf, []
        for epochs, value in enumerate(loops.given, start=1):
            if value < best:
                best = value
                expected.append((epochs, value))
        assert result.history == expected


def test_maximized_the_same_trials_are_promoted() -> None:
    low, high = search(Loops()), search(Loops(sign=-1.0), direction="maximize")
    assert list(high.trials["epochs"]) == list(low.trials["epochs"])
    assert list(high.trials["value"]) == [-value for value in low.trials["value"]]
    assert high.history == [(epochs, -value) for epochs, value in low.history]
    assert high.best_params == low.best_params


@pytest.mark.parametrize("in_flight", [1, 3])
@pytest.mark.parametrize("last", [0, 1, 4, 5, 17, 40, 59])
def test_stopped_anywhere_loops_are_run_again_and_count_once(
    last: int, in_flight: int, tmp_path: Path
) -> None:
    whole = search(Loops(), in_flight=in_flight)
    with pytest.raises(Stop):
        search(Loops(last), in_flight=in_flight, out=tmp_path)
    result = search(Loops(), in_flight=in_flight, out=tmp_path)
    assert told(result) == told(whole)
    assert result.history == whole.history
    assert result.trials["epochs"].sum() == 60


def test_a_larger_budget_goes_on_with_what_was_paused(tmp_path: Path) -> None:
    search(Loops(), budget_epochs=30, out=tmp_path)
    more = search(Loops(), budget_epochs=60, out=tmp_path)
    assert more.trials["epochs"].sum() == 60
    assert any("continues" in t.user_attrs for t in more.study.trials)
    assert more.trials["number"].is_unique
    assert more.history[-1][1] == more.best_value
    idle = Loops()
    assert told(search(idle, budget_epochs=60, out=tmp_path)) == told(more)
    assert idle.given == []


class Chance:
    """Makes loops that draw from all the global streams; stops after so many values."""

    def __init__(self, last: float = math.inf) -> None:
        self.left = last

    def __call__(self, params: dict[str, Any]) -> Iterator[float]:
        start = torch.rand(()).item()
        while True:
            self.left -= 1
            if self.left < 0:
                raise Stop
            yield start + np.random.normal() + random.random() + torch.rand(()).item()


def test_what_loops_draw_is_decided_by_the_seed_alone(tmp_path: Path) -> None:
    whole = search(Chance(), out=tmp_path / "whole")
    assert "pruned" in set(whole.trials["state"])
    for number, left in enumerate([1, 40]):
        out = tmp_path / str(number)
        torch.manual_seed(number)
        with pytest.raises(Stop):
            search(Chance(left), out=out)
        assert told(search(Chance(), out=out)) == told(whole)
    other = search(Chance(), seed=1)
    assert not set(other.trials["value"]) & set(whole.trials["value"])


def test_whoever_calls_finds_streams_and_gradients_as_they_were() -> None:
    def drawn() -> list[float]:
        return [random.random(), np.random.normal(), torch.rand(()).item()]

    def seeded() -> None:
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)

    seeded()
    expected = drawn()
    seeded()
    search(Chance())
    assert drawn() == expected


def test_a_loop_that_waits_without_gradients_leaves_them_to_others() -> None:
    def make(params: dict[str, Any]) -> Iterator[float]:
        weight = torch.tensor(4.0, requires_grad=True)
        while True:
            (slope,) = torch.autograd.grad(weight**2, weight)
            with torch.no_grad():
                weight -= params["lr"] * slope
                yield (weight**2).item()

    result = search(make)
    assert "pruned" in set(result.trials["state"])
    assert "failed" not in set(result.trials["state"])
    assert torch.is_grad_enabled()
