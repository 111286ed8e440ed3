"""Searches of real training: tunekit's own networks on tables, equal epochs."""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from finished import Job, source
from regrets import mean_and_error
from searches import OURS

__all__ = ["BUDGETS", "SEARCHES", "SPAN", "TABLES", "jobs", "summary"]

TABLES = ("credit_g", "soybean", "phoneme")
HORIZON = 30
BUDGETS = (30, 60, 120, 300, 600)
SPAN = tuple(sorted({*BUDGETS, *(round(3 * 200 ** (i / 32)) for i in range(33))}))
SEARCHES: dict[str, dict[str, str]] = {
    OURS: {},
    "tpe+hyperband": {"sampler": "tpe", "pruner": "hyperband"},
    "gp": {"sampler": "gp", "pruner": "none"},
    "random+halving": {"sampler": "random", "pruner": "halving"},
}
"""Options that are not the defaults."""


def jobs(
    folder: Path, names: Sequence[str], searches: Iterable[str], seeds: int
) -> list[Job]:
    """One run for each table, search and seed.

    Raises:
        SystemExit: If a table is not there; one line.
    """
    for name in names:
        if not _file(folder, name).is_file():
            raise SystemExit(f"--tables must hold {name}/{name}.csv, got {folder}")
    decided = source()
    return [
        Job(
            name=f"training/{search}/{name}-{seed}",
            asked={
                "instance": name,
                "search": search,
                "seed": seed,
                "horizon": HORIZON,
                "span": [*SPAN],
                "decided": decided if search == OURS else optuna.__version__,
            },
            work=run,
            arguments=(folder, name, search, seed),
        )
        for seed in range(seeds)
        for name in names
        for search in SEARCHES
        if search in searches
    ]


def run(folder: Path, name: str, search: str, seed: int) -> dict[str, Any]:
    """One study as its users run it, but for one trial at a time.

    Trials side by side would blur what is compared: what a search knows by then.
    """
    import torch
    from rich.console import Console

    from tunekit import Config
    from tunekit import run as study

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as out:
        config = Config(
            data=str(_file(folder, name)),
            target="target",
            max_epochs=HORIZON,
            budget_epochs=BUDGETS[-1],
            in_flight=1,
            accelerator="cpu",
            final_seeds=1,
            seed=seed,
            out=out,
            **SEARCHES[search],
        )
        history = study(config, console=Console(file=io.StringIO())).history
    lowest = [
        min((loss for spent, loss in history if spent <= budget), default=math.inf)
        for budget in SPAN
    ]
    return {"lowest": lowest}


def summary(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By search: mean rank, and mean excess over the lowest loss that is known.

    A seed has a split of its own, so that losses are compared within a table and seed.
    Only those count on which all the searches were run.
    """
    searches = list(dict.fromkeys(each["asked"]["search"] for each in results))
    groups: dict[tuple[str, int], dict[str, list[float]]] = {}
    for each in results:
        asked = each["asked"]
        key = asked["instance"], asked["seed"]
        groups.setdefault(key, {})[asked["search"]] = each["lowest"]
    excess: dict[str, list[Any]] = {search: [] for search in searches}
    ranks: dict[str, list[Any]] = {search: [] for search in searches}
    for lines in groups.values():
        if len(lines) < len(searches):
            continue
        lowest = np.array([lines[search] for search in searches])
        best = lowest.min()
        rank = _ranks(lowest)
        for n, search in enumerate(searches):
            excess[search].append(lowest[n] / best - 1.0)
            ranks[search].append(rank[n])
    found = {}
    for search in searches:
        mean, error = mean_and_error(excess[search])
        rank, rank_error = mean_and_error(ranks[search])
        found[search] = {
            "runs": len(excess[search]),
            "mean": mean,
            "error": error,
            "rank": rank,
            "rank_error": rank_error,
        }
    return {"budgets": [*BUDGETS], "span": [*SPAN], "searches": found}


def _ranks(lowest: Any) -> Any:
    """(searches, budgets) -> rank of each, 1 the lowest; those alike share theirs."""
    below = (lowest[None] < lowest[:, None]).sum(1)
    alike = (lowest[None] == lowest[:, None]).sum(1)
    return below + (alike + 1) / 2


def _file(folder: Path, name: str) -> Path:
    return (folder / name / f"{name}.csv").resolve()
