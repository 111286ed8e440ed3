"""The peer: Optuna and Lightning as Optuna's own Lightning example puts them together.

A LightningModule around an ``nn.Sequential``, a DataModule with DataLoaders, a Trainer
with its logger on and a callback that reports to the trial; the study lies in memory.
It trains the very recipes of the load, enqueued, and knows nothing of tunekit. Where
the example leaves a default, so does this script; its progress bar alone is off.

    python idiomatic.py JOB.json RESULT.json
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import tensorboard as tensorboard  # by its logger; before the clock
from torch.utils.data import DataLoader, TensorDataset

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU, "tanh": nn.Tanh}


class Net(nn.Module):
    def __init__(self, n_inputs: int, n_classes: int, params: dict[str, Any]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = params["width"]
        for _ in range(params["n_layers"]):
            layers.append(nn.Linear(n_inputs, width, bias=False))
            layers.append(nn.BatchNorm1d(width))
            layers.append(ACTIVATIONS[params["activation"]]())
            layers.append(nn.Dropout(params["dropout"]))
            n_inputs = width
            if params.get("shape") == "funnel":
                width = max(1, math.ceil(width / 2))
        layers.append(nn.Linear(n_inputs, n_classes))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class LightningNet(pl.LightningModule):
    def __init__(
        self, n_inputs: int, n_classes: int, max_epochs: int, params: dict[str, Any]
    ) -> None:
        super().__init__()
        self.model = Net(n_inputs, n_classes, params)
        self.params = params
        self.max_epochs = max_epochs

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        smoothing = self.params["label_smoothing"]
        return F.cross_entropy(self(x), y, label_smoothing=smoothing)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        x, y = batch
        logits = self(x)
        self.log("val_loss", F.cross_entropy(logits, y))
        self.log("val_acc", (logits.argmax(dim=1) == y).float().mean())

    def configure_optimizers(self) -> Any:
        optimizer = make_optimizer(self.params, self.parameters())
        factor = make_schedule(self.params, self.max_epochs)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return [optimizer], [schedule]


class TableDataModule(pl.LightningDataModule):
    def __init__(self, arrays: dict[str, Tensor], batch_size: int) -> None:
        super().__init__()
        self.arrays = arrays
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        dataset = TensorDataset(self.arrays["x_train"], self.arrays["y_train"])
        # Batch norm refuses a last batch of a single row.
        drop_last = len(dataset) % self.batch_size == 1
        return DataLoader(
            dataset, batch_size=self.batch_size, shuffle=True, drop_last=drop_last
        )

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        dataset = TensorDataset(self.arrays["x_valid"], self.arrays["y_valid"])
        return DataLoader(dataset, batch_size=self.batch_size, shuffle=False)


class PruningCallback(pl.Callback):
    """What Optuna's integration package does, which would be one more to install."""

    def __init__(self, trial: optuna.Trial, monitor: str) -> None:
        self.trial, self.monitor = trial, monitor

    def on_validation_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        if trainer.sanity_checking:
            return
        loss = trainer.callback_metrics[self.monitor].item()
        self.trial.report(loss, step=trainer.current_epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def make_optimizer(params: dict[str, Any], weights: Any) -> torch.optim.Optimizer:
    lr, decay = params["lr"], params["weight_decay"]
    if params["optimizer"] == "sgd":
        momentum, nesterov = params["momentum"], params["nesterov"]
        return torch.optim.SGD(
            weights, lr, momentum=momentum, nesterov=nesterov, weight_decay=decay
        )
    if params["optimizer"] == "rmsprop":
        return torch.optim.RMSprop(weights, lr, weight_decay=decay)
    cls = torch.optim.AdamW if params["optimizer"] == "adamw" else torch.optim.Adam
    betas = (params["beta1"], params["beta2"])
    return cls(weights, lr, betas=betas, eps=params["eps"], weight_decay=decay)


def make_schedule(params: dict[str, Any], max_epochs: int) -> Callable[[int], float]:
    decay = params.get("lr_decay", 0.0)
    half_life = math.log(2) / decay if decay else math.inf
    return {
        "constant": lambda epoch: 1.0,
        "inverse": lambda epoch: 1 / (1 + decay * epoch),
        "exponential": lambda epoch: math.exp(-decay * epoch),
        "step": lambda epoch: 0.5 ** math.floor(epoch / half_life),
        "cosine": lambda epoch: 0.5 * (1 + math.cos(math.pi * epoch / max_epochs)),
    }[params["schedule"]]


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    p: dict[str, Any] = {}
    p["n_layers"] = trial.suggest_int("n_layers", 1, 4)
    p["width"] = trial.suggest_int("width", 16, 512, log=True)
    if p["n_layers"] >= 2:
        p["shape"] = trial.suggest_categorical("shape", ["block", "funnel"])
    p["activation"] = trial.suggest_categorical("activation", list(ACTIVATIONS))
    p["dropout"] = trial.suggest_float("dropout", 0.0, 0.5)
    optimizers = ["adamw", "adam", "sgd", "rmsprop"]
    p["optimizer"] = trial.suggest_categorical("optimizer", optimizers)
    p["lr"] = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    if p["optimizer"] == "sgd":
        p["momentum"] = trial.suggest_float("momentum", 0.5, 0.995)
        p["nesterov"] = trial.suggest_categorical("nesterov", [True, False])
    if p["optimizer"] in ("adam", "adamw"):
        p["beta1"] = trial.suggest_float("beta1", 0.8, 0.98)
        p["beta2"] = trial.suggest_float("beta2", 0.9, 0.9999)
        p["eps"] = trial.suggest_float("eps", 1e-10, 1e-4, log=True)
    p["weight_decay"] = trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True)
    sizes = [16, 32, 64, 128, 256]
    p["batch_size"] = trial.suggest_categorical("batch_size", sizes)
    schedules = ["constant", "inverse", "exponential", "step", "cosine"]
    p["schedule"] = trial.suggest_categorical("schedule", schedules)
    if p["schedule"] in ("inverse", "exponential", "step"):
        p["lr_decay"] = trial.suggest_float("lr_decay", 3e-3, 3e-1, log=True)
    p["label_smoothing"] = trial.suggest_float("label_smoothing", 0.0, 0.1)
    return p


def main(job: dict[str, Any], root: str) -> dict[str, Any]:
    shape, epochs = job["shape"], job["epochs"]
    with np.load(job["arrays"]) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files}

    def objective(trial: optuna.Trial) -> float:
        params = suggest(trial)
        model = LightningNet(shape["n_inputs"], shape["n_classes"], epochs, params)
        datamodule = TableDataModule(arrays, params["batch_size"])
        trainer = pl.Trainer(
            logger=True,
            enable_checkpointing=False,
            max_epochs=epochs,
            accelerator="cpu",
            devices=1,
            enable_progress_bar=False,
            default_root_dir=root,
            callbacks=[PruningCallback(trial, monitor="val_loss")],
        )
        trainer.logger.log_hyperparams(params)  # type: ignore[union-attr]
        trainer.fit(model, datamodule=datamodule)
        return trainer.callback_metrics["val_loss"].item()

    pruner = optuna.pruners.NopPruner()
    study = optuna.create_study(direction="minimize", pruner=pruner)
    for params in job["params"]:
        study.enqueue_trial(params)
    began = time.perf_counter()
    study.optimize(objective, n_trials=len(job["params"]))
    seconds = time.perf_counter() - began
    trials = []
    for trial, params in zip(study.trials, job["params"], strict=True):
        assert trial.params == params, (trial.params, params)
        losses = [loss for loss in trial.intermediate_values.values()]
        finite = [loss for loss in losses if math.isfinite(loss)]
        spent = trial.duration.total_seconds() if trial.duration else 0.0
        trials.append(
            {
                "epochs": len(losses),
                "best_val_loss": min(finite, default=None),
                "seconds": spent,
            }
        )
    return {"seconds_search": seconds, "trials": trials}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asked = json.loads(Path(sys.argv[1]).read_text("utf-8"))
        result = main(asked, folder)
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")
