"""One search in one process and in two that train every trial together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from forked import called
from net import N_TRAIN, N_VALID, Net, tables
from torch.utils.data import DataLoader

__all__ = ["measure"]

_PATIENCE_SECONDS = 1500.0


def measure(work: Path, n_trials: int) -> dict[str, Any]:
    """The same search by one process, then by two; each within a time limit.

    All rows are in one step and nothing is dropped, so that the processes' halves,
    in whatever order, are the same step but for rounding.
    """
    found: dict[str, Any] = {"n_trials": n_trials, "limit, s": _PATIENCE_SECONDS}
    faults: list[str] = []
    runs = []
    for n_processes in (1, 2):

        def searched(n: int = n_processes) -> Any:
            return _search(n, n_trials)

        done = called(searched, work, patience=_PATIENCE_SECONDS)
        if done.code != 0:
            ended = "hung" if done.code is None else f"{done.code}: {done.told[-500:]}"
            faults.append(f"{n_processes} processes: {ended}")
            continue
        runs.append(done.found)
        states = Counter(state for _, state, _, _ in done.found["trials"])
        found[f"{n_processes}"] = {
            "seconds": round(done.seconds, 1),
            "states": dict(sorted(states.items())),
            "epochs": sum(len(values) for *_, values in done.found["trials"]),
            "best value": done.found["best value"],
            "processes left": done.found["processes left"],
        }
        print(n_processes, found[f"{n_processes}"], flush=True)
    if len(runs) == 2:
        found["alike"] = _alike(*(run["trials"] for run in runs))
    return {**found, "faults": faults}


def _search(n_processes: int, n_trials: int) -> dict[str, Any]:
    import multiprocessing

    import tunekit
    from tunekit import IntLogUniform, LogUniform

    def make(params: Any) -> Any:
        rows, valid = tables()
        return Net(params["lr"], params["width"], 0.0), (
            DataLoader(rows, batch_size=N_TRAIN // n_processes, shuffle=True),
            DataLoader(valid, batch_size=N_VALID // n_processes),
        )

    result = tunekit.tune(
        make,
        {"lr": LogUniform(1e-4, 1e-1), "width": IntLogUniform(16, 256)},
        max_epochs=9,
        n_trials=n_trials,
        trainer={"accelerator": "cpu", "devices": n_processes},
    )
    trials = [
        (t.number, t.state.name, t.params, sorted(t.intermediate_values.items()))
        for t in result.study.trials
    ]
    return {
        "trials": trials,
        "best value": result.best_value,
        "processes left": len(multiprocessing.active_children()),
    }


def _alike(one: list[Any], two: list[Any]) -> dict[str, Any]:
    """In what two lists of trials are the same."""
    pairs = [*zip(one, two, strict=False)]
    apart = [
        abs(value - other) / abs(value)
        for (*_, values), (*_, others) in pairs
        for (_, value), (_, other) in zip(values, others, strict=False)
    ]
    return {
        "trials": len(one) == len(two),
        "states": sum(a[1] == b[1] for a, b in pairs),
        "hyperparameters": sum(a[2] == b[2] for a, b in pairs),
        "epochs": sum(len(a[3]) == len(b[3]) for a, b in pairs),
        "largest relative difference": max(apart, default=0.0),
    }
