"""Tunekit's own loop with one of its engines, as users get it.

A study folder with journal, TensorBoard and kept weights; the configurations come
through the sampler that gives fixed ones first.

    python by_tunekit.py ENGINE JOB.json RESULT.json [--accelerator gpu]
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna

from tunekit.budget import Budget
from tunekit.config import Config
from tunekit.data import Table
from tunekit.search import SeededSampler, pruner
from tunekit.store import Store
from tunekit.trial import Recipe
from tunekit.vectorized import VectorizedEngine
from tunekit.workers import work
from tunekit.workers.setup import Setup


def search(
    job: dict[str, Any],
    make: Callable[[Table], Any],
    *,
    accelerator: str,
    out: str,
    in_flight: int | None = None,
) -> dict[str, Any]:
    """Search a load.

    Args:
        job: A load as :func:`loads.prepare` wrote it.
        make: Builds what trains all trials of a table; before the clock runs.
        accelerator: ``cpu`` or ``gpu``.
        out: Where the study folder is made.
        in_flight: Trials open at once; as many as there are when None.

    Returns:
        The seconds of the search, and what each trial came to.
    """
    n, epochs = len(job["params"]), job["epochs"]
    config = Config(
        data=job["data"],
        space=job["space"],
        seed=job["seed"],
        n_trials=n,
        max_epochs=epochs,
        patience=epochs,
        sampler="random",
        pruner="none",
        accelerator=accelerator,
        out=out,
        name="race",
    )
    setup = Setup.of(config)
    space = setup.space
    sampler = SeededSampler(
        lambda seed: optuna.samplers.RandomSampler(seed=seed),
        seed=config.seed,
        first=[space.to_stored(params) for params in job["params"]],
        distributions=[space.distributions(params) for params in job["params"]],
    )
    engine = make(setup.table)
    importlib.import_module("tensorboard.summary.writer.record_writer")
    try:
        began = time.perf_counter()
        Store.create(config.folder, setup.settings, setup.table.describe())
        store = Store(config.folder, sampler, pruner("none", epochs))
        work(
            store,
            engine,
            space,
            Budget(n_trials=n),
            board=setup.board(),
            in_flight=in_flight or n,
        )
        seconds = time.perf_counter() - began
    finally:
        engine.close()
    return {"seconds_search": seconds, "trials": _trials(store, job, space)}


def main(name: str, job: dict[str, Any], accelerator: str, out: str) -> dict[str, Any]:
    """Search a load with the engine of this name."""

    def make(table: Table) -> Any:
        arrays = (table.x_train, table.y_train, table.x_valid, table.y_valid)
        n_classes = len(table.classes)
        if accelerator == "gpu":
            importlib.import_module("torch").zeros(1, device="cuda")
        if name == "lightning":
            importlib.import_module("pytorch_lightning")
            fit = importlib.import_module("tunekit.fit")
            return fit.LightningEngine(*arrays, n_classes, accelerator)
        engine = VectorizedEngine(*arrays, n_classes, accelerator)
        # As a study does, which knows how much is to come: a second process starts
        # and imports what we import now.
        n = len(job["params"])
        engine.expect(Recipe(), n * job["epochs"], n)
        importlib.import_module("tunekit.vectorized.shard")
        return engine

    in_flight = None if name == "vectorized" else 1
    return search(job, make, accelerator=accelerator, out=out, in_flight=in_flight)


def _trials(store: Store, job: dict[str, Any], space: Any) -> list[dict[str, Any]]:
    """What each trial came to, checked to be the one that was asked for."""
    found = []
    for trial, params in zip(store.trials(), job["params"], strict=True):
        assert space.from_stored(trial.params) == params, (trial.params, params)
        assert trial.state.name != "FAIL", trial.user_attrs
        found.append(
            {
                "epochs": len(trial.intermediate_values),
                "best_val_loss": trial.user_attrs["best_val_loss"],
                "seconds": trial.user_attrs["seconds"],
            }
        )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=("vectorized", "lightning"))
    parser.add_argument("job", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--accelerator", choices=("cpu", "gpu"), default="cpu")
    options = parser.parse_args()
    asked = json.loads(options.job.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        result = main(options.engine, asked, options.accelerator, folder)
    options.result.write_text(json.dumps(result), encoding="utf-8")
