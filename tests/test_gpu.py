"""What must hold on a GPU as on a CPU; skipped where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tunekit.data import load
from tunekit.feed import train_together
from tunekit.fit import LightningEngine
from tunekit.trial import Engine, Fitted, Heard, Recipe, Run, State, Verdict
from tunekit.vectorized import VectorizedEngine

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

ENGINES = {"lightning": LightningEngine, "vectorized": VectorizedEngine}


def engine_for(name: str, accelerator: str) -> Engine:
    table = load("digits")
    data = (table.x_train, table.y_train, table.x_valid, table.y_valid)
    made: Engine = ENGINES[name](*data, 10, accelerator)
    return made


def run_of(key: str = "trial-0", **params: object) -> Run:
    recipe = Recipe(dropout=0.3).with_params(params)
    return Run(recipe=recipe, max_epochs=2, patience=9, seed=0, key=key)


@pytest.mark.parametrize("name", ENGINES)
def test_a_run_follows_the_cpu_within_rounding(name: str) -> None:
    run = run_of()
    on_cpu = engine_for("lightning", "cpu").train(run, lambda epoch, metrics: True)
    on_gpu = engine_for(name, "gpu").train(run, lambda epoch, metrics: True)
    for one, other in zip(on_gpu.curve[:1], on_cpu.curve[:1], strict=True):
        assert one.val_loss == pytest.approx(other.val_loss, rel=1e-3)
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-3)
    assert on_gpu.curve[1].val_loss == pytest.approx(on_cpu.curve[1].val_loss, rel=1e-2)
    # Weights are handed over where everybody can read them.
    assert {value.device.type for value in on_gpu.weights.values()} == {"cpu"}
    assert on_gpu.weights.keys() == on_cpu.weights.keys()


def test_many_runs_at_once_are_each_as_if_alone() -> None:
    runs = [
        run_of("trial-0"),
        run_of("trial-1", width=40, n_layers=3, shape="funnel", activation="tanh"),
        run_of("trial-2", optimizer="sgd", lr=0.05, n_layers=0),
        run_of("trial-3", optimizer="rmsprop", batch_size=32, dropout=0.0),
        run_of("trial-4", width=33, optimizer="adam", label_smoothing=0.1),
    ]
    engine = engine_for("vectorized", "gpu")
    together = train_together(engine, runs, lambda heard: True)
    for run, fitted in zip(runs, together, strict=True):
        alone = engine.train(run, lambda epoch, metrics: True)
        losses = [metrics.val_loss for metrics in alone.curve]
        assert [m.val_loss for m in fitted.curve] == pytest.approx(losses, rel=1e-3)


class Once:
    """A feed of one run; it may be paused after its first epoch."""

    def __init__(self, run: Run, pauses: bool) -> None:
        self.waiting, self.pauses = [run], pauses
        self.state: State | None = None
        self.fitted: Fitted | None = None

    def turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    def next(self) -> Run | None:
        return self.waiting.pop() if self.waiting else None

    def epochs(self, heard: Sequence[Heard]) -> list[Verdict]:
        return [Verdict.PAUSE if self.pauses else Verdict.GO_ON for _ in heard]

    def paused(self, run: Run, state: State | None) -> None:
        self.state = state

    def end(self, run: Run, fitted: Fitted) -> None:
        self.fitted = fitted

    def fail(self, run: Run, error: Exception) -> None:
        raise error


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "rmsprop"])
@pytest.mark.parametrize("then", ENGINES)
@pytest.mark.parametrize("name", ENGINES)
def test_a_run_paused_on_the_gpu_goes_on_anywhere(
    name: str, then: str, optimizer: str
) -> None:
    run = run_of(optimizer=optimizer)
    whole = engine_for(name, "gpu").train(run, lambda epoch, metrics: True)
    feed = Once(run, pauses=True)
    engine_for(name, "gpu").train_all(feed, 1)
    assert feed.state is not None
    assert {value.device.type for value in feed.state.tensors.values()} == {"cpu"}
    for accelerator in ("gpu", "cpu"):
        again = Once(replace(run, state=feed.state), pauses=False)
        engine_for(then, accelerator).train_all(again, 1)
        assert again.fitted is not None
        assert again.fitted.curve[0] == feed.state.curve[0]
        found, expected = again.fitted.curve[1], whole.curve[1]
        assert found.lr == pytest.approx(expected.lr)
        assert found.val_loss == pytest.approx(expected.val_loss, rel=1e-2)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_study_begun_on_the_gpu_goes_on_on_the_cpu(
    tmp_path: Path, engine: str
) -> None:
    for accelerator, n_trials in (("gpu", "2"), ("cpu", "3")):
        command = [sys.executable, "-m", "tunekit.study", "--accelerator", accelerator]
        command += ["--n-trials", n_trials, "--max-epochs", "3", "--final-seeds", "1"]
        command += ["--engine", engine]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    report = json.loads((tmp_path / "runs/digits/report.json").read_text())
    assert report["trials"]["total"] == 3


def test_a_module_of_ones_own_goes_on_where_it_was_paused() -> None:
    import tunekit
    from tunekit.space import Categorical, LogUniform

    def curves(**options: object) -> dict[float, dict[int, float]]:
        data = tunekit.TableData(batch_size=128)

        def make(params: dict[str, float]) -> object:
            return tunekit.LitMLP(data.n_features, data.n_classes, lr=params["lr"])

        result = tunekit.tune(
            make,
            {"lr": LogUniform(1e-4, 1e-1), "width": Categorical(16, 32)},
            data=data,
            max_epochs=9,
            trainer={"accelerator": "gpu", "devices": 1},
            **options,  # type: ignore[arg-type]
        )
        assert next(result.best_module().parameters()).device.type == "cpu"
        trials = result.study.get_trials()
        return {t.params["lr"]: t.intermediate_values for t in trials[:4]}

    straight = curves(n_trials=4, pruner="none")
    paused = curves(budget_epochs=30)
    compared = 0
    for lr, curve in paused.items():
        for epoch, value in curve.items():
            if lr in straight:
                assert value == pytest.approx(straight[lr][epoch], rel=1e-3)
                compared += epoch > 1
    assert compared > 2
