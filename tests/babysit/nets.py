"""Small LightningModules of both packages whose hyperparameters may be nudged."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tunekit.space import LogUniform, OneMinusLogUniform, Uniform

PACKAGES = ("pytorch_lightning", "lightning.pytorch")
SPACE: dict[str, Any] = {
    "lr": LogUniform(1e-5, 10.0),
    "momentum": OneMinusLogUniform(0.5, 0.999),
    "weight_decay": LogUniform(1e-6, 1.0),
    "dropout": Uniform(0.0, 0.8),
}
START = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4, "dropout": 0.1}
Schedule = Callable[[Any], Any]
"""From an optimizer to a schedule, or to Lightning's description of one."""


def rows(n: int = 48, seed: int = 0) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=generator)
    noise = torch.randn(n, generator=generator)
    return TensorDataset(x, (x[:, 0] + 0.7 * noise > 0).float())


def loaders() -> tuple[DataLoader[Any], DataLoader[Any]]:
    train = DataLoader(rows(), batch_size=16, shuffle=True)
    return train, DataLoader(rows(32, 1), batch_size=32)


def maker(
    package: str,
    steps: list[dict[str, Any]] | None = None,
    schedule: Schedule | None = None,
) -> Callable[[Mapping[str, float]], Any]:
    """What makes a module of some settings.

    Args:
        package: Its Lightning package.
        steps: Where to note, before every step, what the optimizer goes by.
        schedule: Of the learning rate; it may go by its optimizer's ``horizon``, which
            is the Trainer's ``max_epochs``.
    """
    parent: Any = importlib.import_module(package).LightningModule

    class Net(parent):  # type: ignore[misc]
        def __init__(self, settings: Mapping[str, float]) -> None:
            super().__init__()
            self.settings = dict(settings)
            self.drop = nn.Dropout(settings["dropout"])
            self.layers = nn.Sequential(
                nn.Linear(4, 6),
                nn.BatchNorm1d(6),
                nn.ReLU(),
                self.drop,
                nn.Linear(6, 1),
            )

        def loss(self, batch: Any) -> Tensor:
            logits = self.layers(batch[0])[:, 0]
            return nn.functional.binary_cross_entropy_with_logits(logits, batch[1])

        def training_step(self, batch: Any, i: int) -> Tensor:
            if steps is not None:
                optimizer = self.optimizers().optimizer
                group = optimizer.param_groups[0]
                moment = optimizer.state[self.layers[0].weight].get("momentum_buffer")
                noted = {name: group[name] for name in ("lr", "momentum")}
                noted |= {"weight_decay": group["weight_decay"], "dropout": self.drop.p}
                noted["moment"] = None if moment is None else moment.clone()
                steps.append({**noted, "epoch": self.current_epoch})
            return self.loss(batch)

        def validation_step(self, batch: Any, i: int) -> None:
            right = (self.layers(batch[0])[:, 0] > 0) == (batch[1] > 0)
            self.log("val_loss", self.loss(batch))
            self.log("val_acc", right.float().mean())

        def configure_optimizers(self) -> Any:
            given = {n: self.settings[n] for n in ("lr", "momentum", "weight_decay")}
            optimizer: Any = torch.optim.SGD(self.parameters(), **given)
            optimizer.horizon = self.trainer.max_epochs
            return (
                optimizer if schedule is None else ([optimizer], [schedule(optimizer)])
            )

    return Net
