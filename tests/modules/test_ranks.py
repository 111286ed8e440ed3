"""One run in two processes: the same as in one, pruned and stopped without a hang."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import tunekit
from tunekit import LogUniform
from tunekit.errors import ConfigError
from tunekit.interrupt import Interrupted
from tunekit.limit import TookLongerError
from tunekit.modules import ModuleEngine
from tunekit.ranks import strategy_of

from .conftest import train
from .spread import Failing, Spread, SpreadNet

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="gloo between processes"),
]
TWO = {"accelerator": "cpu", "devices": 2}
FORKED = {**TWO, "strategy": "ddp_fork"}
"""Where it does not matter how processes begin: to begin anew takes seconds each."""


def make(n: int, net: Any = SpreadNet) -> Any:
    """Modules whose processes, so many, see all rows in one step, in whatever order."""

    def made(params: Any) -> Any:
        rows: DataLoader[Any] = DataLoader(Spread(), batch_size=32 // n)
        return net(params["lr"]), (rows, rows)

    return made


def test_two_processes_train_one_run_as_one_does() -> None:
    alone, told = train(ModuleEngine(make(1)), 2)
    together, again = train(ModuleEngine(make(2), trainer=TWO), 2)
    assert again == pytest.approx(told, abs=1e-5)
    assert together.best_epoch == alone.best_epoch
    for name, value in alone.weights.items():
        assert torch.allclose(value, together.weights[name], atol=1e-5)
    assert multiprocessing.active_children() == []


def test_a_search_with_pruning_comes_to_the_same_trials() -> None:
    def search(n: int, **options: Any) -> Any:
        return tunekit.tune(
            make(n),
            {"lr": LogUniform(1e-4, 1.0)},
            max_epochs=3,
            n_trials=3,
            sampler="random",
            **options,
        )

    one, two = search(1), search(2, trainer=FORKED)
    assert list(one.trials["state"]) == list(two.trials["state"])
    assert (one.trials["state"] == "pruned").any()
    for mine, other in zip(one.study.trials, two.study.trials, strict=True):
        assert mine.params == other.params
        assert mine.intermediate_values == pytest.approx(
            other.intermediate_values, abs=1e-5
        )


def test_what_fails_in_a_process_fails_the_trial_and_ends_all_processes() -> None:
    with pytest.raises(RuntimeError, match="of my own"):
        train(ModuleEngine(make(2, Failing), trainer=TWO))
    assert multiprocessing.active_children() == []


def test_an_interruption_ends_all_processes() -> None:
    def stop(*_: Any) -> Any:
        raise Interrupted(2)

    engine = ModuleEngine(make(2), trainer=FORKED)
    began = time.monotonic()
    with pytest.raises(Interrupted):
        train(engine, hear=stop)
    assert time.monotonic() - began < 60
    assert multiprocessing.active_children() == []


def test_a_monitor_that_no_process_logs_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r'monitor "acc" must be logged'):
        train(ModuleEngine(make(2), monitor="acc", trainer=FORKED))


def test_what_takes_too_long_leaves_no_process() -> None:
    # While they are being started, when nobody can end them yet.
    for seconds in (0.05, 0.5):
        with pytest.raises(TookLongerError):
            train(ModuleEngine(make(2), trainer=TWO), seconds=seconds)
        assert multiprocessing.active_children() == []
        assert [t.name for t in threading.enumerate() if t.name == "fit"] == []


def test_stopped_at_the_moment_it_begins_it_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def stopped(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "fit":
            raise Interrupted(2)

    monkeypatch.setattr(threading.Thread, "start", stopped)
    with pytest.raises(Interrupted):
        train(ModuleEngine(make(2), trainer=FORKED))
    assert multiprocessing.active_children() == []
    assert [t.name for t in threading.enumerate() if t.name == "fit"] == []


def test_a_strategy_that_would_run_the_script_again_is_spawned() -> None:
    assert strategy_of("ddp") == strategy_of("auto") == "ddp_spawn"
    assert strategy_of("ddp_fork") == "ddp_fork"


def test_strategies_that_run_the_script_again_elsewhere_are_refused() -> None:
    engine = ModuleEngine(make(2), trainer={**TWO, "strategy": "fsdp"})
    with pytest.raises((ConfigError, ValueError)):
        train(engine)
