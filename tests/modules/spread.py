"""Modules that other processes can import, with nothing drawn at random."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn


class Spread(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 32

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        x = torch.sin(torch.arange(4.0) * (i + 1))
        return x, (x.sum() > 0).float()


class SpreadNet(pl.LightningModule):
    def __init__(self, lr: float) -> None:
        super().__init__()
        self.layer, self.lr = nn.Linear(4, 1), lr

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        return nn.functional.binary_cross_entropy_with_logits(self.layer(x)[:, 0], y)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch), sync_dist=True)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Failing(SpreadNet):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        raise ZeroDivisionError("of my own")
