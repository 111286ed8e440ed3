"""The loads: which configurations are trained on which table, alike for everybody.

A load is drawn once, from a fixed seed, out of tunekit's own space; the list of its
configurations and the arrays of its table are written to a folder, from which every
contestant reads them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from tunekit.data import load
from tunekit.space import recipe_space
from tunekit.trial import Recipe

__all__ = ["LOADS", "MNIST", "Load", "Shape", "prepare"]

SEED = 0
"""Seed of the split and of the draw."""
MNIST = "mnist_t10k"
"""The one table that does not come along."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """So many configurations of a space, trained for so many epochs."""

    name: str
    table: str
    n: int
    epochs: int
    space: Mapping[str, Any] = field(default_factory=dict)
    """What is narrowed of the default space."""

    def quick(self) -> Load:
        """A taste of it, to see that everything runs."""
        return dataclasses.replace(self, n=3, epochs=2)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of a table that costs depend on."""

    n_train: int
    n_valid: int
    n_inputs: int
    n_classes: int


LOADS: dict[str, Load] = {
    load.name: load
    for load in (
        Load(
            name="digits-small",
            table="digits",
            n=64,
            epochs=20,
            space={"n_layers": "1..3", "width": "16..128"},
        ),
        Load(name="digits-default", table="digits", n=64, epochs=20),
        Load(
            name="mnist",
            table=MNIST,
            n=32,
            epochs=5,
            space={"n_layers": "2..4", "width": "256..512"},
        ),
        Load(name="gpu-digits", table="digits", n=1024, epochs=20),
        Load(
            name="gpu-mnist",
            table=MNIST,
            n=256,
            epochs=5,
            space={"n_layers": "2..4", "width": "256..512"},
        ),
    )
}


def prepare(load_: Load, folder: Path, tables: Path | None) -> dict[str, Any]:
    """Draw a load and write it to ``folder``: ``job.json`` and ``arrays.npz``.

    Args:
        load_: What to draw.
        folder: Where contestants will read it.
        tables: The folder of tables that do not come along.

    Returns:
        The content of ``job.json``: the table's file and sizes, the space, the epochs,
        and the configurations, both what was drawn (``params``, human values) and the
        whole recipe.
    """
    data = None if load_.table == "digits" else str(_file(load_.table, tables))
    table = load(data, seed=SEED)
    arrays = folder / "arrays.npz"
    np.savez(
        arrays,
        x_train=table.x_train,
        y_train=table.y_train,
        x_valid=table.x_valid,
        y_valid=table.y_valid,
    )
    space = recipe_space(load_.space, len(table.y_train))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=SEED))
    params = [space.suggest(study.ask()) for _ in range(load_.n)]
    shape = Shape(
        n_train=len(table.y_train),
        n_valid=len(table.y_valid),
        n_inputs=table.x_train.shape[1],
        n_classes=len(table.classes),
    )
    job = {
        "load": load_.name,
        "data": data,
        "seed": SEED,
        "space": dict(load_.space),
        "epochs": load_.epochs,
        "shape": dataclasses.asdict(shape),
        "arrays": str(arrays),
        "params": params,
        "recipes": [Recipe().with_params(each).as_dict() for each in params],
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    return job


def _file(name: str, tables: Path | None) -> Path:
    """Where a table lies: ``TABLES/NAME/NAME.npz`` or ``TABLES/NAME.npz``."""
    assert tables is not None
    for path in (tables / name / f"{name}.npz", tables / f"{name}.npz"):
        if path.is_file():
            return path.resolve()
    raise SystemExit(
        f"{tables} must hold {name}.npz (arrays X and y), or a folder {name} with it; "
        "give another --tables"
    )
