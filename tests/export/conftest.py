"""A finished study, small, of a table whose names try a writer's patience."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tunekit import Config, Result, run

TARGET = 'no: "1e-5" # ü'


def finished(root: Path, **options: object) -> Result:
    """A study of noisy rows, whose best epoch is an early one."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "null"])
    frame["kind"] = rng.choice(["x", "y"], 200)
    up = x[:, 0] + 0.5 * x[:, 1] + 2 * rng.normal(size=200) > 0
    frame[TARGET] = np.where(up, "up", "down")
    frame.to_csv(root / "rows.csv", index=False)
    settings = {
        "data": str(root / "rows.csv"),
        "target": TARGET,
        "drop": ("null",),
        "n_trials": 2,
        "max_epochs": 6,
        "final_seeds": 2,
        "pruner": "none",
        "space": {
            "lr": "0.05..0.1",
            "width": "16..32",
            "schedule": "cosine",
            "eps": 1e-5,
            "optimizer": "adam",
            "label_smoothing": 0,
        },
        "seed": 3,
        "out": str(root),
        "name": "noisy",
        "accelerator": "cpu",
    }
    return run(Config(**{**settings, **options}))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return finished(tmp_path_factory.mktemp("study"))
