"""Searches of tunekit's own space: its sampler, and random draws of two kinds."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lab
from narrowing import NarrowingSampler, kept
from pool import Pool
from sklearn import datasets

import tunekit
from tunekit.report import narrowing
from tunekit.report.searched import listed
from tunekit.search import rungs_of
from tunekit.seeds import seed_for
from tunekit.space import Space
from tunekit.tuning.result import TuneResult

__all__ = ["PARTS"]

Report = dict[str, Any]

TABLES = ("digits", "breast_cancer", "wine")
SAMPLERS = ("coarse-to-fine", "narrowing", "random")
PRUNERS = ("none", "promote")
SEEDS = 5
_EXAMPLE = ("digits", "coarse-to-fine", "promote", 0)
"""The search whose region is drawn: tunekit's default."""
_PROCESSES = 2


@dataclass(frozen=True)
class Job:
    """One search."""

    settings: Mapping[str, Any]
    table: str
    sampler: str
    pruner: str
    seed: int

    @property
    def name(self) -> tuple[str, str, str, int]:
        return self.table, self.sampler, self.pruner, self.seed


def searches(asked: lab.Asked) -> Report:
    """Every search on every table for each seed; two at a time."""
    settings = lab.settings(asked.home)
    if asked.quick:
        settings |= {"budget_epochs": 27}
    jobs = [
        Job(settings, table, sampler, pruner, seed)
        for seed in range(2 if asked.quick else SEEDS)
        for table in TABLES[: 1 if asked.quick else None]
        for pruner in PRUNERS
        for sampler in SAMPLERS
    ]
    runs, example = [], {}
    # Not forked: what forks torch's threads hangs.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(_PROCESSES, os.cpu_count() or 1), context) as crew:
        for job, found in zip(jobs, crew.map(_run, jobs), strict=True):
            example = found.pop("region", example)
            runs.append(found)
            asked.say(f"{' '.join(map(str, job.name))}: {found['history'][-1][1]:.4f}")
    return {"budget": settings["budget_epochs"], "runs": runs, "example": example}


def _run(job: Job) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        settings = {**job.settings, **_data(job.table, Path(folder))}
        pool = Pool.of({**settings, "seed": job.seed})
    config, space = pool.config, pool.space
    rungs = rungs_of(job.pruner, config.max_epochs) or (config.max_epochs,)
    distributions = space.distributions(space.scales)
    # The same for all samplers; another on every table, or else one seed's draws would
    # be lucky on all of them at once.
    seed = seed_for(job.seed, job.table) % 2**31
    ours = NarrowingSampler(distributions, seed=seed, last=config.max_epochs)
    result = tunekit.tune(
        lambda params: _losses(pool, params, rungs),
        space.suggest,
        max_epochs=config.max_epochs,
        budget_epochs=config.budget_epochs,
        in_flight=config.in_flight or 1,
        sampler=ours if job.sampler == "narrowing" else job.sampler,
        pruner=job.pruner,
        seed=seed,
    )
    region: Mapping[str, Any] = {}
    if job.sampler == "narrowing":
        region = ours.region(result.study)
    if job.sampler == "coarse-to-fine":
        # As it was when its model was last made anew, if it was.
        regions = result.study.user_attrs.get("regions", [])
        region = regions[-1]["region"] if regions else {}
    best = result.best_params
    found = {
        "table": job.table,
        "sampler": job.sampler,
        "pruner": job.pruner,
        "seed": job.seed,
        "trials": len(result.trials),
        "kept": _short(kept(region, distributions)),
        "history": [[spent, _short(loss)] for spent, loss in result.history],
        # Its weights of the best epoch, had it been trained to the end.
        "test_loss": _short(pool.test_loss(best, pool.train([best])[0])),
    }
    if job.name == _EXAMPLE:
        found["region"] = _region(result, space)
    return found


def _losses(
    pool: Pool, params: Mapping[str, Any], rungs: Sequence[int]
) -> Iterator[float]:
    """Validation losses, epoch by epoch, no further than to where the search looks.

    A run is the same however far it goes, so that going on from a rung may begin anew.
    """
    told = 0
    for rung in rungs:
        curve = pool.train([params], until=rung)[0].curve
        for metrics in curve[told:]:
            yield min(pool.chance, metrics.val_loss)
        told = rung
        if len(curve) < rung:
            return


def _region(result: TuneResult, space: Space) -> Report:
    """What the picture of the region needs, as a study's report holds it."""
    params = result.best_params
    trials = [
        {
            "number": trial.number,
            "begun": trial.number + 1,
            "val_loss": _short(trial.user_attrs["best_val_loss"]),
            "params": {
                name: _short(each) if isinstance(each, float) else each
                for name, each in space.from_stored(trial.params).items()
            },
        }
        for trial in result.study.get_trials(deepcopy=False)
        if trial.user_attrs.get("best_val_loss") is not None
    ]
    return {
        "space": listed(space.as_settings(), params)[0],
        "regions": narrowing.told(result.study.user_attrs["regions"], space),
        "trials": trials,
    }


def _data(table: str, folder: Path) -> Report:
    """The table's file, and its target; the digits need none."""
    if table == "digits":
        return {}
    frame = getattr(datasets, f"load_{table}")(as_frame=True).frame
    path = folder / f"{table}.csv"
    frame.to_csv(path, index=False)
    return {"data": str(path), "target": "target"}


def _short(number: float) -> float:
    return float(f"{number:.6g}")


PARTS: dict[str, Callable[[lab.Asked], Report]] = {"searches": searches}
