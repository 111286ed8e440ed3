"""A user's own module and Trainer, of either Lightning package."""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from functools import cache
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

PACKAGES = ("pytorch_lightning", "lightning.pytorch")
NAMES = {"OwnOfPytorchLightning": PACKAGES[0], "OwnOfLightning": PACKAGES[1]}


@cache
def own(package: str) -> Any:
    """A module that logs ``val_loss`` where and as it is told to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parent: Any = importlib.import_module(package).LightningModule

    class Own(parent):  # type: ignore[misc]
        def __init__(
            self,
            curve: list[float],
            where: str = "on_validation_epoch_end",
            name: str = "val_loss",
        ) -> None:
            super().__init__()
            # One value each time it is logged; the last one again after that.
            self.curve, self.where, self.name = list(curve), where, name
            self.layer = torch.nn.Linear(2, 1)
            self.said: list[str] = []

        def _log(self, where: str) -> None:
            if where == self.where:
                value = self.curve.pop(0) if len(self.curve) > 1 else self.curve[0]
                rank = self.trainer.global_rank
                self.log(self.name, float(value) + rank, on_epoch=True, sync_dist=True)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.layer(batch[0]).square().mean()
            how = {"on_step": False, "on_epoch": True, "sync_dist": True}
            self.log("train_loss", loss.detach(), **how)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.layer(batch[0])

        def on_validation_epoch_end(self) -> None:
            self._log("on_validation_epoch_end")

        def on_train_epoch_end(self) -> None:
            self.said.append(f"epoch {self.current_epoch}")
            self._log("on_train_epoch_end")

        def teardown(self, stage: str) -> None:
            self.said.append("teardown")

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    # Found by its name in processes that Lightning starts; see __getattr__.
    Own.__qualname__ = next(name for name in NAMES if NAMES[name] == package)
    return Own


def __getattr__(name: str) -> Any:
    if name in NAMES:
        return own(NAMES[name])
    raise AttributeError(name)


def rows(workers: int = 0) -> DataLoader[Any]:
    return DataLoader(
        TensorDataset(torch.ones(8, 2)),
        batch_size=4,
        num_workers=workers,
    )


def trainer(package: str, *callbacks: Any, **options: Any) -> Any:
    options = {
        "max_epochs": 4,
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        **options,
    }
    return sys.modules[package].Trainer(callbacks=list(callbacks), **options)


def fit(package: str, callback: Any, curve: list[float], **options: Any) -> Any:
    """Train a module that logs ``curve``; the module."""
    about = {k: options.pop(k) for k in ("where", "name") if k in options}
    module = own(package)(curve, **about)
    workers = options.pop("workers", 0)
    trainer(package, callback, **options).fit(module, rows(workers), rows(workers))
    return module


def quiet() -> None:
    """Hints of Lightning about loaders and logging are not about a callback."""
    for package in (*PACKAGES, "lightning"):
        logging.getLogger(package).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",
        r".*isinstance\(treespec, LeafSpec",
        ".*smaller than the logging interval.*",
    ):
        warnings.filterwarnings("ignore", message=message)
