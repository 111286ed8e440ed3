"""A computer's time of day that is set while a study runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import tunekit
from tunekit import LogUniform, tune
from tunekit.config import Config

DAY = 86400.0


def set_by(
    monkeypatch: pytest.MonkeyPatch, seconds: float, after: float
) -> Callable[[], float]:
    """The time of day jumps, so many seconds from now."""
    real, began = time.time, time.monotonic()

    def jumping() -> float:
        return real() + (seconds if time.monotonic() - began > after else 0.0)

    monkeypatch.setattr(time, "time", jumping)
    return jumping


@pytest.mark.slow
@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_a_time_limit_holds_and_times_are_true(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, jump: float
) -> None:
    limit, jumps_after = 8.0, 1.0
    jumping = set_by(monkeypatch, jump, jumps_after)
    day_began, began = jumping(), time.monotonic()
    config = Config(
        timeout=limit,
        max_epochs=4,
        final_seeds=1,
        out=str(tmp_path),
        space={"width": 8, "n_layers": 1},
    )
    result = tunekit.run(config, console=Console(file=StringIO()))
    took = time.monotonic() - began
    assert abs(jumping() - day_began) > DAY / 2  # it did jump
    assert took < 3 * limit
    assert 0 < result.report["seconds"] <= took
    # Set forward, it must not end the search either: there was time for more than one.
    assert result.report["trials"]["total"] > 1
    assert (result.trials["seconds"].dropna() >= 0).all()


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_the_same_for_a_training_loop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, jump: float
) -> None:
    set_by(monkeypatch, jump, 0.3)
    began = time.monotonic()

    def make(params: dict[str, float]):
        for epoch in range(5):
            time.sleep(0.01)
            yield params["lr"] / (epoch + 1)

    result = tune(
        make,
        {"lr": LogUniform(1e-3, 1.0)},
        max_epochs=5,
        timeout=1.5,
        sampler="random",
        pruner="none",
        out=tmp_path,
    )
    took = time.monotonic() - began
    assert 1.0 < took < 20
    assert 0 < result.study.user_attrs["seconds"] <= took
