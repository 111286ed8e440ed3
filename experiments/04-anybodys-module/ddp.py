"""One search in one process, and in two that train every trial together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from forked import called
from net import N_TRAIN, N_VALID, Net, tables
from torch.utils.data import DataLoader

__all__ = ["measure"]

_PATIENCE_SECONDS = 1500.0
_ONE: dict[str, Any] = {"devices": 1}
_TWO: dict[str, Any] = {"devices": 2}
_FORKED = {**_TWO, "strategy": "ddp_fork"}
_RANDOM = {"sampler": "random"}
_DOUBLE = {"precision": "64-true"}
_WAYS: dict[str, dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "random": {
        "one": (_RANDOM, _ONE),
        "two": (_RANDOM, _TWO),
        "two, forked": (_RANDOM, _FORKED),
    },
    "coarse-to-fine": {"one": ({}, _ONE), "two, forked": ({}, _FORKED)},
    "coarse-to-fine, in double precision": {
        "one": ({}, {**_ONE, **_DOUBLE}),
        "two, forked": ({}, {**_FORKED, **_DOUBLE}),
    },
}
"""By search and processes, arguments of ``tune`` and of the Trainer."""


def measure(work: Path, n_trials: int) -> dict[str, Any]:
    """The same searches by one process, then by two; each within a time limit.

    All rows are in one step and nothing is dropped, so that the processes' halves,
    in whatever order, are the same step but for rounding.
    """
    found: list[dict[str, Any]] = []
    faults: list[str] = []
    for search, ways in _WAYS.items():
        alone: list[Any] | None = None
        for processes, (options, trainer) in ways.items():

            def searched(
                options: dict[str, Any] = options, trainer: dict[str, Any] = trainer
            ) -> Any:
                return _search(n_trials, options, trainer)

            done = called(searched, work, patience=_PATIENCE_SECONDS)
            if done.code != 0:
                told = "hung" if done.code is None else done.told[-500:]
                faults.append(f"{search}, {processes}: {told}")
                continue
            trials = done.found["trials"]
            alone = trials if alone is None else alone
            states = Counter(state for _, state, *_ in trials)
            way = {
                "search": search,
                "processes": processes,
                "seconds": round(done.seconds, 1),
                "states": dict(sorted(states.items())),
                "epochs": sum(len(values) for *_, values in trials),
                "best value": done.found["best value"],
                "processes left": done.found["processes left"],
                "alike": _alike(alone, trials),
            }
            print(way, flush=True)
            found.append(way)
    return {
        "n_trials": n_trials,
        "limit, s": _PATIENCE_SECONDS,
        "ways": found,
        "faults": faults,
    }


def _search(
    n_trials: int, options: dict[str, Any], trainer: dict[str, Any]
) -> dict[str, Any]:
    import multiprocessing

    import tunekit
    from tunekit import IntLogUniform, LogUniform

    n_processes = trainer["devices"]

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
        trainer={"accelerator": "cpu", **trainer},
        **options,
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
