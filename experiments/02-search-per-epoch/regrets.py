"""Searches on known curves: regret after so many epochs, over problems and seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from curves import instances, problem
from finished import Job, source
from searches import OURS, SEARCHES, SLOW

__all__ = ["BUDGETS", "HORIZON", "SPAN", "jobs", "mean_and_error", "summary"]

HORIZON = 50
"""Epochs of a full fit."""
BUDGETS = (50, 100, 200, 500, 1000)
SPAN = tuple(sorted({*BUDGETS, *(round(10 * 100 ** (i / 32)) for i in range(33))}))
"""Budgets of the figures."""
CHECKED_SEEDS = 3
"""Seeds of the published figures that check the harness."""
_BY_TUNEKIT = (OURS, "random+plain-promote", "coarse-to-fine")


def jobs(
    benchmark: str,
    folder: Path,
    searches: Iterable[str],
    seeds: int,
    slow_seeds: int,
    first: int | None = None,
) -> list[Job]:
    """One run for each problem, search and seed; the slow ones last.

    Args:
        benchmark: Its name.
        folder: Where it lies.
        searches: Names of searches.
        seeds: Seeds of each on each problem.
        slow_seeds: Seeds of those that take minutes.
        first: So many of the problems; all when None.
    """
    decided = {name: source() for name in _BY_TUNEKIT}
    asked = [
        (seed, instance, search)
        for seed in range(max(seeds, slow_seeds))
        for instance in instances(benchmark, folder)[:first]
        for search in searches
        if seed < (slow_seeds if search in SLOW else seeds)
    ]
    asked.sort(key=lambda each: each[2] in SLOW)
    return [
        Job(
            name=f"{benchmark}/{search}/{instance}-{seed}",
            asked={
                "instance": instance,
                "search": search,
                "seed": seed,
                "horizon": HORIZON,
                "span": [*SPAN],
                "decided": decided.get(search, f"optuna {optuna.__version__}"),
            },
            work=run,
            arguments=(benchmark, folder, instance, search, seed),
        )
        for seed, instance, search in asked
    ]


def run(
    benchmark: str, folder: Path, instance: str, search: str, seed: int
) -> dict[str, Any]:
    """One search of one problem."""
    found = problem(benchmark, folder, instance)
    history = SEARCHES[search](found, HORIZON, BUDGETS[-1], seed)
    regret = [float(each) for each in found.regret(history, SPAN)]
    return {"regret": regret}


def summary(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Regret by search: mean and standard error over runs, and the mean by problem."""
    searches: dict[str, Any] = {}
    places = [SPAN.index(budget) for budget in BUDGETS]
    for search in dict.fromkeys(each["asked"]["search"] for each in results):
        ours = [each for each in results if each["asked"]["search"] == search]
        mean, error = mean_and_error([each["regret"] for each in ours])
        by_instance = {
            instance: _rounded(
                np.mean(
                    [
                        np.take(each["regret"], places)
                        for each in ours
                        if each["asked"]["instance"] == instance
                    ],
                    axis=0,
                )
            )
            for instance in dict.fromkeys(each["asked"]["instance"] for each in ours)
        }
        checked = [
            np.take(each["regret"], places)
            for each in ours
            if each["asked"]["seed"] < CHECKED_SEEDS
        ]
        searches[search] = {
            "runs": len(ours),
            "seconds": statistics.median(each["seconds"] for each in ours),
            "mean": mean,
            "error": error,
            "by_instance": by_instance,
            "first_seeds": _rounded(np.mean(checked, axis=0)),
        }
    return {"budgets": [*BUDGETS], "span": [*SPAN], "searches": searches}


def mean_and_error(
    lines: Sequence[Sequence[float]],
) -> tuple[list[float], list[float]]:
    """Mean and standard error, place by place; the error of a single line is 0."""
    many = np.asarray(lines, float)
    n = len(many)
    error = many.std(0, ddof=1) / n**0.5 if n > 1 else np.zeros(many.shape[1])
    return _rounded(many.mean(0)), _rounded(error)


def _rounded(values: Iterable[float]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
