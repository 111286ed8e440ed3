"""What is kept of modules that were searched, and what is refused of them later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tunekit import LogUniform, ResumeError, tune

SPACE = {"lr": LogUniform(1e-3, 1.0)}


class Net(pl.LightningModule):
    """A line through points; its value is its ``lr``, or what a test makes of it."""

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.lr, self.net = lr, nn.Linear(2, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return (self.net(batch[0]) - 1).square().mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.lr)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.01)


def search(make: Any = Net, **options: Any) -> Any:
    rows = DataLoader(TensorDataset(torch.ones(8, 2)), batch_size=4)
    given: dict[str, Any] = {
        "data": (rows, rows),
        "max_epochs": 2,
        "n_trials": 2,
        "sampler": "random",
        "pruner": "none",
    }
    return tune(lambda p: make(p["lr"]), SPACE, **{**given, **options})


def test_a_folder_of_modules_takes_no_iterables_nor_the_other_way_round(
    tmp_path: Path,
) -> None:
    search(out=tmp_path, name="modules")
    with pytest.raises(ResumeError, match="with LightningModules, now iterables of"):
        search(lambda lr: [lr], data=None, out=tmp_path, name="modules", n_trials=3)
    assert len(search(out=tmp_path, name="modules", n_trials=3).trials) == 3
    search(lambda lr: [lr], data=None, out=tmp_path, name="loops")
    with pytest.raises(ResumeError, match="with iterables of floats, now Lightning"):
        search(out=tmp_path, name="loops", n_trials=3)
