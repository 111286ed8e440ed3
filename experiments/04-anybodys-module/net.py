"""The module that both scripts search, and its data: the digits that come along."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

__all__ = ["N_TRAIN", "N_VALID", "Net", "loaders", "tables"]

N_TRAIN, N_VALID = 1200, 400


class Net(pl.LightningModule):
    """One hidden layer, trained with Adam."""

    def __init__(self, lr: float, width: int, dropout: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.lr = lr
        self.layers = nn.Sequential(
            nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10)
        )

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self.layers(x), y)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch), sync_dist=True)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


@cache
def tables() -> tuple[TensorDataset, TensorDataset]:
    """Rows to train on, and rows to validate on."""
    x, y = load_digits(return_X_y=True)
    rows = torch.tensor(x / 16.0, dtype=torch.float32), torch.tensor(y)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    train, valid = order[:N_TRAIN], order[N_TRAIN : N_TRAIN + N_VALID]
    return (
        TensorDataset(*(each[train] for each in rows)),
        TensorDataset(*(each[valid] for each in rows)),
    )


def loaders(n_workers: int) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Workers stay from epoch to epoch, as Lightning's own warning asks for."""
    train, valid = tables()
    how: dict[str, Any] = {
        "num_workers": n_workers,
        "persistent_workers": n_workers > 0,
    }
    return (
        DataLoader(train, batch_size=64, shuffle=True, **how),
        DataLoader(valid, batch_size=N_VALID, **how),
    )
