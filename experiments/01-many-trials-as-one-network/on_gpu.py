"""The same on a GPU: many more configurations at once, against one after the other.

The Lightning engine trains the first sixteen configurations of the list alone; its cost
per trial-epoch is set against that of the vectorized engine on all of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loads import LOADS, MNIST, prepare
from race import once, spread

__all__ = ["AIM", "device", "race_on_gpu"]

AIM = 50
"""How many times faster, per trial-epoch."""
_SAMPLE = 16


def device() -> str | None:
    """The name of the CUDA device; None without one."""
    asks = "import torch as t; print(t.cuda.get_device_name() if t.cuda.is_available() "
    asks += "else '')"
    done = subprocess.run(
        [sys.executable, "-c", asks], capture_output=True, text=True, check=True
    )
    return done.stdout.strip() or None


def race_on_gpu(
    *,
    repeats: int,
    tables: Path | None,
    quick: bool,
    save: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Run it, on digits and, where its file is to be had, on MNIST.

    Args:
        repeats: Turns.
        tables: The folder of tables that do not come along.
        quick: Whether a few configurations do.
        save: Hears of the result after every turn.
    """
    result: dict[str, Any] = {"device": device(), "aim": AIM, "loads": {}}
    for name in ("gpu-digits", "gpu-mnist"):
        load = LOADS[name].quick() if quick else LOADS[name]
        if load.table == MNIST and tables is None:
            print(f"{name}: skipped, it needs --tables")
            continue
        runs: dict[str, list[dict[str, Any]]] = {"vectorized": [], "lightning": []}
        with tempfile.TemporaryDirectory() as folder:
            whole, sample = Path(folder), Path(folder) / "sample"
            job = prepare(load, whole, tables)
            sample.mkdir()
            few = {key: job[key][:_SAMPLE] for key in ("params", "recipes")}
            (sample / "job.json").write_text(json.dumps({**job, **few}), "utf-8")
            for turn in range(repeats):
                for engine, within in (("vectorized", whole), ("lightning", sample)):
                    script = ["by_tunekit.py", engine, "--accelerator", "gpu"]
                    runs[engine].append(once(f"{name} {engine}", script, within))
                result["loads"][name] = _result(load.n, load.epochs, runs, turn + 1)
                save(result)
    return result


def _result(
    n: int, epochs: int, runs: dict[str, list[dict[str, Any]]], repeats: int
) -> dict[str, Any]:
    """Costs per trial-epoch and their ratio."""
    ms = {
        engine: [
            1e3 * each["seconds_search"] / sum(t["epochs"] for t in each["trials"])
            for each in of
        ]
        for engine, of in runs.items()
    }
    ratios = [b / a for a, b in zip(ms["vectorized"], ms["lightning"], strict=True)]
    return {
        "configurations": n,
        "sample": min(n, _SAMPLE),
        "epochs": epochs,
        "repeats": repeats,
        "seconds_vectorized": spread([r["seconds_search"] for r in runs["vectorized"]]),
        "ms_per_trial_epoch": {engine: spread(of) for engine, of in ms.items()},
        "ratio": spread(ratios),
    }
