"""Lightning's own demo modules, which were not written for us, tuned unchanged."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import tunekit
from tunekit import IntLogUniform, LogUniform, Uniform


@pytest.mark.parametrize("name", ["BoringModel", "ManualOptimBoringModel"])
def test_boring_models(package: str, name: str) -> None:
    demos = importlib.import_module(f"{package}.demos.boring_classes")

    def make(params: Any) -> Any:
        rows = DataLoader(demos.RandomDataset(32, 64), batch_size=params["batch_size"])
        return getattr(demos, name)(), (rows, rows)

    result = tunekit.tune(
        make,
        {"batch_size": IntLogUniform(2, 32)},
        monitor="train_loss",
        max_epochs=3,
        n_trials=4,
    )
    assert len(result.trials) == 4
    assert result.best_value < 2.0
    assert isinstance(result.best_module(), demos.BoringModel)


def test_the_boring_datamodule(package: str) -> None:
    demos = importlib.import_module(f"{package}.demos.boring_classes")
    result = tunekit.tune(
        lambda params: demos.DemoModel(learning_rate=params["learning_rate"]),
        {"learning_rate": LogUniform(1e-4, 1e-1)},
        data=DataLoader(demos.RandomDataset(32, 64), batch_size=8),
        monitor="train_loss",
        max_epochs=3,
        budget_epochs=8,
    )
    assert result.trials["epochs"].sum() == 8


def test_the_transformer(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = importlib.import_module(f"{package}.demos.transformer")
    # Where its text lies already, it downloads none, but asks for what it would need.
    monkeypatch.setattr(demo, "_REQUESTS_AVAILABLE", True)
    monkeypatch.setitem(sys.modules, "requests", types.ModuleType("requests"))
    monkeypatch.chdir(tmp_path)
    text = tmp_path / "data" / "wikitext-2.txt"
    text.parent.mkdir()
    text.write_text("a rose is a rose is a rose\n" * 60)
    words = len(demo.WikiText2().dictionary)

    def make(params: Any) -> Any:
        module = demo.LightningTransformer(vocab_size=words)
        for part in module.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = params["dropout"]
        return module

    result = tunekit.tune(
        make,
        {"dropout": Uniform(0.0, 0.5)},
        monitor="train_loss",
        max_epochs=2,
        n_trials=3,
    )
    assert len(result.trials) == 3
    assert result.best_value < torch.log(torch.tensor(float(words)))
