"""What deciding costs: a proposal after many trials, and a trial outside the model.

In processor time of one thread, because others may use the machine; beside it wall
time.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState, create_trial

from tunekit import (
    Categorical,
    IntLogUniform,
    LogUniform,
    OneMinusLogUniform,
    Uniform,
    tune,
)
from tunekit.rungs import ladder
from tunekit.sampler import CoarseToFineSampler
from tunekit.space import Scale

__all__ = ["measure"]

SPACE: dict[str, Scale] = {
    **{f"log{i}": LogUniform(1e-4, 1.0) for i in range(5)},
    **{f"gap{i}": OneMinusLogUniform(0.5, 0.999) for i in range(2)},
    **{f"share{i}": Uniform(0.0, 1.0) for i in range(2)},
    "width": IntLogUniform(16, 512),
    "kind": Categorical("a", "b", "c"),
    "way": Categorical(True, False),
}
"""Twelve hyperparameters of every kind."""
RECORDED = (200, 1000)
_ASKS = 21
_HORIZON = 50
_EPOCHS = 3
"""Epochs of a toy trial."""


def measure(n_trials: int = 10_000, recorded: tuple[int, ...] = RECORDED) -> Any:
    """Milliseconds of an ask, and of a trial of a toy objective.

    Args:
        n_trials: Toy trials.
        recorded: Trials that are known when the first of some is asked for.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    asks = {}
    for n in recorded:
        for kind, rungs in (("full fits", None), ("rungs", ladder(_HORIZON))):
            asks[f"{n}, {kind}"] = asking(n, rungs)
            print(f"ask after {n} trials, {kind}: {asks[f'{n}, {kind}']}", flush=True)
    toys = {}
    for where in ("memory", "journal"):
        with tempfile.TemporaryDirectory() as folder:
            toys[where] = toy(n_trials, None if where == "memory" else folder)
        print(f"{n_trials} toy trials, {where}: {toys[where]}", flush=True)
    return {"asks": asks, "trials": n_trials, "toys": toys}


def asking(n: int, rungs: tuple[int, ...] | None) -> dict[str, float]:
    """Milliseconds of an ask with all its suggestions, after ``n`` recorded trials.

    Args:
        n: Trials that are recorded before the first ask; each ask adds one.
        rungs: Epochs where those were pruned, all but the best; None for full fits.
    """
    study = optuna.create_study(sampler=CoarseToFineSampler(seed=0, rungs=rungs))
    rng = np.random.default_rng(0)
    distributions = {
        scale.stored_name(name): scale.distribution() for name, scale in SPACE.items()
    }
    drawn = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(n):
        params = drawn.ask(distributions).params
        curve = _curve(params, rungs, rng)
        state = TrialState.COMPLETE
        if rungs is not None and len(curve) < rungs[-1]:
            state = TrialState.PRUNED
        study.add_trial(
            create_trial(
                params=params,
                distributions=distributions,
                intermediate_values=curve if rungs else {},
                value=curve[max(curve)],
                state=state,
            )
        )
    taken: list[float] = []
    wall: list[float] = []
    for _ in range(_ASKS):
        began, began_wall = time.process_time(), time.perf_counter()
        trial = study.ask()
        for name, scale in SPACE.items():
            scale.suggest(trial, name)
        taken.append(1e3 * (time.process_time() - began))
        wall.append(1e3 * (time.perf_counter() - began_wall))
        curve = _curve(trial.params, rungs, rng)
        if rungs:
            for epoch, value in curve.items():
                trial.report(value, epoch)
        study.tell(trial, curve[max(curve)])
    return {
        "median": round(statistics.median(taken), 1),
        "most": round(max(taken), 1),
        "median, wall": round(statistics.median(wall), 1),
    }


def _curve(
    params: Mapping[str, Any], rungs: tuple[int, ...] | None, rng: np.random.Generator
) -> dict[int, float]:
    """Losses up to a rung; of those at a rung, a third gets to the next."""
    last = rungs[0] if rungs else 1
    for rung in (rungs or ())[1:]:
        if rng.random() > 1 / 3:
            break
        last = rung
    loss = sum((np.log(params[f"log{i}"]) + 4) ** 2 for i in range(5)) / 50
    loss += 0.1 * (params["kind"] == "a") + 0.05 * rng.random()
    return {epoch: float(loss + 1 / (epoch + 1)) for epoch in range(1, last + 1)}


def toy(n: int, out: str | None) -> dict[str, float]:
    """Milliseconds of a toy trial that is drawn at random, all but the objective."""
    begun: list[tuple[float, float]] = []

    def make(params: Mapping[str, Any]) -> Iterator[float]:
        begun.append((time.process_time(), time.perf_counter()))
        for epoch in range(_EPOCHS):
            yield params["log0"] + 1 / (epoch + 1)

    tune(
        make,
        SPACE,
        max_epochs=_EPOCHS,
        n_trials=n,
        sampler="random",
        pruner="none",
        out=out,
    )
    tenth = n // 10
    ends = {"all": (0, -1), "first": (0, tenth), "last": (n - 1 - tenth, n - 1)}
    found = {}
    for name, (first, last) in ends.items():
        count = (last % n) - first
        for clock, kind in enumerate(("", ", wall")):
            spent = begun[last][clock] - begun[first][clock]
            found[name + kind] = round(1e3 * spent / count, 3)
    return found
