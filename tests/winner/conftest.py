"""Two clouds of points, engines that train nothing, and a winner to crown."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from optuna.trial import FrozenTrial, TrialState, create_trial

from tunekit.data import Table, load
from tunekit.feed import one_by_one
from tunekit.fit import LightningEngine
from tunekit.mlp import MLP
from tunekit.trial import Engine, Feed, Fitted, Metrics, Recipe, Run, Verdict
from tunekit.vectorized import VectorizedEngine
from tunekit.winner import crown

SETTINGS = {"final_seeds": 3, "max_epochs": 4, "patience": 10, "seed": 0}
DEFAULT = Recipe(batch_size=32)
RECIPE = Recipe(width=8, n_layers=1, batch_size=16, dropout=0.0)
OnEpoch = Callable[[int, Metrics], Verdict]


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Three overlapping classes, one of them rare, in a file with text and holes."""
    rng = np.random.default_rng(0)
    y = rng.choice(["a", "b", "c"], 200, p=[0.5, 0.4, 0.1])
    centre = pd.Series(y).map({"a": 0.0, "b": 1.5, "c": 3.0}).to_numpy()
    frame = pd.DataFrame(
        {
            "x": centre + rng.normal(size=200),
            "z": rng.normal(size=200),
            "town": np.where(rng.random(200) < 0.5, "Ulm", "Köln"),
            "y": y,
        }
    )
    frame.loc[::13, "z"] = np.nan
    path = tmp_path_factory.mktemp("winner") / "clouds.csv"
    frame.to_csv(path, index=False)
    return load(path, "y")


def engine_for(table: Table, name: str = "lightning") -> Engine:
    data = (table.x_train, table.y_train, table.x_valid, table.y_valid)
    if name == "lightning":
        return LightningEngine(*data, len(table.classes), "cpu", 1)
    return VectorizedEngine(*data, len(table.classes), "cpu", 1, processes=1)


class Untrained:
    """Networks as they are drawn; the validation loss of each seed is given."""

    name = "untrained"

    def __init__(
        self, table: Table, losses: dict[str, list[float]] | None = None
    ) -> None:
        self.table, self.losses = table, losses or {}
        self.runs: list[Run] = []
        self.weights: dict[str, dict[str, Any]] = {}

    def train(self, run: Run, on_epoch: OnEpoch) -> Fitted:
        self.runs.append(run)
        torch.manual_seed(len(self.runs))
        network = MLP.of(run.recipe, self.table.n_inputs, len(self.table.classes))
        network.eval()
        weights = {k: v.clone() for k, v in network.state_dict().items()}
        self.weights[run.key] = weights
        curve: list[Metrics] = []
        best, best_epoch = math.inf, 0
        for loss in self.losses.get(run.key, [1.0] * run.max_epochs):
            curve.append(Metrics(loss, loss, 0.5, 0.5, 1e-3, 0.1))
            if math.isfinite(loss) and loss < best:
                best, best_epoch = loss, len(curve)
            verdict = on_epoch(len(curve), curve[-1])
            if verdict is Verdict.STOP or not math.isfinite(loss):
                break
        return Fitted(
            curve=curve,
            best_epoch=best_epoch,
            weights=weights if best_epoch else {},
            diverged=not math.isfinite(curve[-1].val_loss),
        )

    def train_all(self, feed: Feed, slots: int) -> None:
        one_by_one(self.train, feed)

    def close(self) -> None:
        """Nothing to let go of."""


def winning(**attrs: Any) -> FrozenTrial:
    trial = create_trial(state=TrialState.COMPLETE, value=0.5, user_attrs=attrs)
    trial.number = 7
    return trial


def crowned(folder: Path, table: Table, engine: Any, **options: Any) -> dict[str, Any]:
    settings = {**SETTINGS, **options.pop("settings", {})}
    return crown(
        winning(**options.pop("attrs", {})),
        RECIPE,
        default=DEFAULT,
        engine=engine,
        table=table,
        settings=settings,
        folder=folder,
        **options,
    )


def figures(proba: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Loss and error in the plainest way."""
    losses = [-math.log(max(row[k], 1e-300)) for row, k in zip(proba, y, strict=True)]
    wrong = [int(np.argmax(row)) != k for row, k in zip(proba, y, strict=True)]
    return sum(losses) / len(losses), sum(wrong) / len(wrong)
