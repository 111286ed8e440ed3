"""Small LightningModules of both packages, and their data."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tunekit.modules import ModuleEngine
from tunekit.states import from_bytes, to_bytes
from tunekit.trial import Fitted, Metrics, Run, State, Verdict

PACKAGES = ("pytorch_lightning", "lightning.pytorch")


def rows(n: int = 64, seed: int = 0) -> TensorDataset:
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, (x[:, 0] > 0).float())


def loaders(
    shuffle: bool = True, workers: int = 0
) -> tuple[DataLoader[Any], DataLoader[Any]]:
    train = DataLoader(rows(), batch_size=16, shuffle=shuffle, num_workers=workers)
    return train, DataLoader(rows(32, 1), batch_size=16, num_workers=workers)


def net_of(package: str, **methods: Any) -> Any:
    """A class of logistic regression with dropout; further methods replace its own."""
    parent: Any = importlib.import_module(package).LightningModule

    class Net(parent):  # type: ignore[misc]
        def __init__(self, lr: float = 0.1) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layers = nn.Sequential(
                nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 1)
            )

        def loss(self, batch: Any) -> Tensor:
            x, y = batch
            return nn.functional.binary_cross_entropy_with_logits(
                self.layers(x)[:, 0], y
            )

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = self.loss(batch)
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", self.loss(batch))

        def configure_optimizers(self) -> Any:
            made = torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(made, 9)
            return [made], [schedule]

    for name, method in methods.items():
        setattr(Net, name, method)
    return Net


def train(
    engine: ModuleEngine,
    *stops: int,
    epochs: int = 5,
    hear: Callable[[int, Metrics], Verdict] | None = None,
    seconds: float | None = None,
) -> tuple[Fitted, list[float]]:
    """One run, paused after these epochs, its state through bytes each time."""
    state: State | None = None
    told: list[float] = []

    for stop in (*stops, epochs):

        def on_epoch(epoch: int, metrics: Metrics, stop: int = stop) -> Verdict:
            assert epoch == len(told) + 1
            told.append(metrics.val_loss)
            if hear is not None:
                return hear(epoch, metrics)
            return Verdict.PAUSE if epoch == stop < epochs else Verdict.GO_ON

        run = Run(
            params={"lr": 0.05},
            max_epochs=epochs,
            patience=epochs,
            seed=3,
            key="trial-4",
            state=state,
            max_seconds=seconds,
        )
        found = engine.train_until(run, on_epoch)
        if stop == epochs:
            assert isinstance(found, Fitted)
            return found, told
        assert isinstance(found, State)
        state = from_bytes(to_bytes(found))
    raise AssertionError


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> str:
    return str(request.param)
