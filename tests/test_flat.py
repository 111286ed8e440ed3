"""Searches that end once nothing is left to gain."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tunekit import ConfigError, LogUniform, TuneResult, Uniform, tune
from tunekit.config import Config, read_command
from tunekit.flat import FLAT, Remaining, why_ended
from tunekit.report import build, render
from tunekit.seeds import seed_for

SPACE = {"lr": LogUniform(1e-5, 1.0), "x": Uniform(0, 1), "y": Uniform(0, 1)}
EPOCHS = 9

Make = Callable[[Any], Iterator[float]]


def noise(params: dict[str, float]) -> float:
    """Standard normal, another for other parameters."""
    one, other = (seed_for(1, repr(params), k) / 2**63 for k in range(2))
    return math.sqrt(-2 * math.log(one)) * math.cos(2 * math.pi * other)


def flat(params: dict[str, float]) -> Iterator[float]:
    """Nothing but luck."""
    for epoch in range(1, EPOCHS + 1):
        yield 1 + 1 / epoch + 0.1 * noise(params)


def rising(params: dict[str, float]) -> Iterator[float]:
    """Ever better towards one place in eight dimensions: there is long much to gain."""
    away = sum((x - 0.2 - 0.06 * i) ** 2 for i, x in enumerate(params.values()))
    for epoch in range(1, EPOCHS + 1):
        yield away + 0.1 / epoch + 0.001 * noise(params)


def kinked(params: dict[str, float]) -> Iterator[float]:
    """Like rising, but nothing of it is seen before the last third of the epochs."""
    *_, end = rising(params)
    for epoch in range(1, EPOCHS + 1):
        yield (2.0 if epoch <= 2 * EPOCHS / 3 else end) + 0.01 / epoch


def searched(make: Make, n_trials: int = 50, **options: Any) -> TuneResult:
    space = SPACE if make is flat else {f"x{i}": Uniform(0, 1) for i in range(8)}
    return tune(
        make,
        options.pop("space", space),
        max_epochs=EPOCHS,
        n_trials=n_trials,
        **{"stop_when_flat": True, **options},
    )


def curves(result: TuneResult) -> list[Any]:
    trials = result.study.get_trials(deepcopy=False)
    return [(t.params, t.intermediate_values, t.state) for t in trials]


@pytest.mark.parametrize("pruner", ["promote", "none"])
def test_a_flat_search_ends_early(pruner: str) -> None:
    result = searched(flat, pruner=pruner)
    found = result.study.user_attrs[FLAT]
    assert found["in_a_row"] == 3
    assert 0 <= found["gain"] < found["noise"]
    assert 20 <= len(result.trials) == found["trials"] < 40
    full = 50 * EPOCHS if pruner == "none" else 50 * EPOCHS / 4
    assert result.trials["epochs"].sum() < 0.7 * full
    assert max(result.trials["epochs"]) == EPOCHS
    assert "after" in why_ended(found)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_rising_search_goes_on(direction: str) -> None:
    def make(params: dict[str, float]) -> Iterator[float]:
        sign = -1.0 if direction == "maximize" else 1.0
        yield from (sign * value for value in rising(params))

    result = searched(make, n_trials=30, direction=direction)
    assert len(result.trials) == 30
    assert not why_ended(result.study.user_attrs.get(FLAT))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_kink_is_no_noise(seed: int) -> None:
    result = searched(kinked, pruner="none", seed=seed)
    assert len(result.trials) == 50
    assert not why_ended(result.study.user_attrs.get(FLAT))


def test_without_the_option_nothing_changes() -> None:
    """Up to where it ends, a search is the same; off, nothing is written."""
    ends = curves(searched(flat))
    plain = searched(flat, stop_when_flat=False)
    assert len(plain.trials) == 50
    assert FLAT not in plain.study.user_attrs
    begun = [params for params, *_ in ends]
    assert [params for params, *_ in curves(plain)][: len(begun)] == begun


def test_a_search_that_was_stopped_ends_at_the_same_trial(tmp_path: Path) -> None:
    whole = searched(flat, out=tmp_path, name="whole", in_flight=2)
    calls = 0

    space: dict[str, Any] = {"space": SPACE}

    def stopped(params: dict[str, float]) -> Iterator[float]:
        nonlocal calls
        calls += 1
        if calls % 9 == 0:
            raise KeyboardInterrupt
        yield from flat(params)

    runs = 0
    while True:
        runs += 1
        try:
            parts = searched(stopped, out=tmp_path, name="parts", in_flight=2, **space)
            break
        except KeyboardInterrupt:
            continue
    assert runs > 3
    assert parts.study.user_attrs[FLAT] == whole.study.user_attrs[FLAT]
    assert curves(parts) == curves(whole)

    # Finished is finished; without the option, or with a larger budget, it goes on.
    again = searched(flat, out=tmp_path, name="whole", in_flight=2)
    assert curves(again) == curves(whole)
    options: dict[str, Any] = {"out": tmp_path, "name": "whole", "in_flight": 2}
    more = searched(flat, stop_when_flat=False, **options)
    assert len(more.trials) == 50
    assert not build(tmp_path / "whole")["ended_flat"]


def test_the_report_says_why(tmp_path: Path) -> None:
    searched(flat, out=tmp_path, name="s")
    report = build(tmp_path / "s")
    assert report["ended_flat"].startswith("The search ended after ")
    assert report["ended_flat"] in render(report)
    searched(rising, n_trials=5, out=tmp_path, name="r")
    assert build(tmp_path / "r")["ended_flat"] == ""


def test_a_budget_of_time_leaves_one_training() -> None:
    assert Remaining(40).of([]) == 40
    assert Remaining(40, n_trials=10, epochs=25).of([]) == 25


def test_the_option_is_a_switch_everywhere(tmp_path: Path) -> None:
    assert read_command(["--stop-when-flat"]).config.stop_when_flat
    assert not read_command([]).config.stop_when_flat
    path = tmp_path / "study.toml"
    path.write_text("stop_when_flat = true\n", "utf-8")
    assert read_command(["--config", str(path)]).config.stop_when_flat
    with pytest.raises(ConfigError, match="stop-when-flat must be true or false"):
        Config(stop_when_flat="yes")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="stop_when_flat must be True or False"):
        searched(flat, stop_when_flat=1)
