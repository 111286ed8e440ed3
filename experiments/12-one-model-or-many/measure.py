"""One model watched, fixed schedules, and a search of many, at equal epochs."""

from __future__ import annotations

import io
import multiprocessing
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lab
from broken import killed, steered
from sklearn import datasets

__all__ = ["PARTS"]

TABLES = ("credit_g", "phoneme", "soybean", "car", "titanic", "splice")
COME_ALONG = ("breast_cancer",)
SAME = {"n_layers": 2, "width": 128, "batch_size": 64}
"""The network of the one model, for a search that is to cost as much an epoch."""
LRS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Of the cosine schedule; the best of them, over all seeds, is the tuned one."""
_SEEDS = 5
_TOO_HIGH = 30.0
_NEVER = 10**9

Report = dict[str, Any]


def schedules(asked: lab.Asked) -> Report:
    """Schedules that are fixed, and a search of many, by table and seed."""
    return _measured(asked, _one)


def babysat(asked: lab.Asked) -> Report:
    """One model watched, by table and seed."""
    return _measured(asked, _watched)


def _measured(asked: lab.Asked, one: Callable[[Any], Report]) -> Report:
    settings = lab.settings(asked.home)
    names: tuple[str, ...] = (*TABLES, *COME_ALONG)
    seeds, lrs = _SEEDS, LRS
    if asked.quick:
        names, seeds, lrs = ("digits",), 2, (3e-3, 1e-2)
        settings = {**settings, "budget_epochs": 20, "max_epochs": 5}
    with tempfile.TemporaryDirectory() as made:
        data = {name: _data(asked.tables, name, Path(made)) for name in names}
        jobs = [
            (name, data[name], seed, settings, lrs)
            for name in names
            for seed in range(seeds)
        ]
        runs = _runs(asked, one, jobs)
    return {"lrs": list(lrs), "runs": runs, "budget": settings["budget_epochs"]}


def _runs(asked: lab.Asked, one: Callable[[Any], Report], jobs: list[Any]) -> list[Any]:
    """Two at a time."""
    runs = []
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for run in pool.imap(one, jobs):
            runs.append(run)
            asked.say(f"{run['table']}, seed {run['seed']}")
    return runs


def _one(
    job: tuple[str, dict[str, Any], int, dict[str, Any], tuple[float, ...]],
) -> Report:
    """The schedules and the search on one table with one seed."""
    from tunekit.feed import train_together
    from tunekit.trial import Recipe, Run

    name, data, seed, settings, lrs = job
    engine, tested, sizes = _set_up(job)
    recipes = {
        "fixed": Recipe(schedule="constant"),
        "fixed too high": Recipe(schedule="constant", lr=_TOO_HIGH * Recipe().lr),
        **{f"cosine {lr:g}": Recipe(lr=lr) for lr in lrs},
    }
    fits = train_together(
        engine,
        [
            Run(
                recipe=recipe,
                max_epochs=settings["budget_epochs"],
                patience=_NEVER,
                seed=seed,
                key=key,
                stream="all",
            )
            for key, recipe in recipes.items()
        ],
        lambda heard: True,
    )
    found: Report = {"table": name, "seed": seed, "ways": {}}
    for (key, recipe), fitted in zip(recipes.items(), fits, strict=True):
        found["ways"][key] = {
            "final": _short(fitted.curve[-1].val_loss),
            "lowest": _short(fitted.best.val_loss),
            "test": _short(tested(recipe, fitted)),
        }
    if seed == 0:
        best = min(
            (key for key in recipes if key.startswith("cosine")),
            key=lambda key: found["ways"][key]["lowest"],
        )
        curve = [_short(m.val_loss) for m in fits[[*recipes].index(best)].curve]
        found["curves"] = {best: [[n + 1, loss] for n, loss in enumerate(curve)]}
    for key, space in (("many", SAME), ("many of any size", {})):
        asks = {**settings, **data, "seed": seed, "space": space}
        found["ways"][key], curve = _many(asks, sizes)
        if seed == 0:
            found["curves"][key] = curve
    return found


def _watched(
    job: tuple[str, dict[str, Any], int, dict[str, Any], tuple[float, ...]],
) -> Report:
    """One model watched on one table with one seed, from two learning rates."""
    from tunekit.trial import Recipe

    name, _, seed, settings, _ = job
    engine, tested, _ = _set_up(job)
    found: Report = {"table": name, "seed": seed, "ways": {}}
    for key, factor in (("babysat", 1.0), ("babysat, too high", _TOO_HIGH)):
        lr = factor * Recipe().lr
        way, curve = _babysat(engine, lr, settings["budget_epochs"], seed, tested)
        found["ways"][key] = way
        if seed == 0:
            start = "babysat" if factor == 1.0 else "too high"
            found.setdefault("curves", {})[start] = curve
    return found


def _set_up(job: tuple[Any, ...]) -> tuple[Any, Callable[..., float], tuple[int, int]]:
    """What trains on a table's rows, the loss on its test rows, inputs and classes."""
    import torch

    from tunekit import Config
    from tunekit.vectorized import VectorizedEngine
    from tunekit.winner import Judge
    from tunekit.workers.setup import Setup

    _, data, seed, settings, _ = job
    torch.set_num_threads(1)
    setup = Setup.of(Config.from_mapping({**settings, **data, "seed": seed}))
    table = setup.table
    rows = (table.x_train, table.y_train, table.x_valid, table.y_valid)
    engine = VectorizedEngine(*rows, len(table.classes), "cpu", processes=1)
    judge = Judge(table)

    def tested(recipe: Any, fitted: Any) -> float:
        loss_N, _ = judge.figures(judge.probabilities(recipe, fitted))
        return float(loss_N.mean())

    return engine, tested, (table.n_inputs, len(table.classes))


def _babysat(
    engine: Any, lr: float, budget: int, seed: int, tested: Callable[..., float]
) -> tuple[Report, list[list[float]]]:
    """One model watched; what it came to, and its line by all epochs spent."""
    from tunekit.babysit.course import Rules
    from tunekit.babysit.job import run_of
    from tunekit.babysit.nowhere import Nowhere
    from tunekit.babysit.nudges import recipe_knobs
    from tunekit.babysit.sitter import Sitter
    from tunekit.babysit.way import LINE, VAL, Way, points
    from tunekit.states import part_of
    from tunekit.trial import Fitted, Recipe

    recipe = Recipe(schedule="constant", lr=lr)
    knobs, keep = recipe_knobs(recipe), Nowhere()
    start = {name: getattr(recipe, name) for name in knobs}
    rules = Rules(horizon=budget)
    sitter = Sitter(engine, run_of(recipe), keep, knobs, start, rules, seed=seed)
    course = sitter.sit()
    state = keep.load(course.best_at)
    assert state is not None
    fitted = Fitted(
        curve=[], best_epoch=1, weights=part_of(state, "best"), diverged=False
    )
    rescues = [each for each in keep.lines if each.get("doing") == "rescue"]
    way = {
        "final": _short(course.best),
        "lowest": _short(course.best),
        "last": _short(course.here.loss),
        "test": _short(tested(recipe, fitted)),
        "spent": course.spent,
        "rescue_rounds": len(rescues),
        "lr": course.base["lr"],
    }
    line = Way()
    curve = [
        [step, _short(values[VAL])]
        for each in keep.lines
        for part in line.parts(each)
        for run, step, values in points(part)
        if run == LINE
    ]
    return way, curve


def _many(
    settings: Mapping[str, Any], sizes: tuple[int, int]
) -> tuple[Report, list[list[float]]]:
    """A search of many models with as many epochs; its best so far by epochs spent."""
    from rich.console import Console

    from tunekit import Config
    from tunekit import run as study

    with tempfile.TemporaryDirectory() as out:
        config = Config.from_mapping({**settings, "out": out, "name": "many"})
        result = study(config, console=Console(file=io.StringIO()))
        lowest = min(loss for _, loss in result.history)
        way = {
            "final": _short(lowest),
            "lowest": _short(lowest),
            "test": _short(result.report["model"]["loss"]),
            "spent": result.report["epochs_trained"],
            "trials": result.report["trials"]["total"],
            "work": _short(_work(result, sizes) / settings["budget_epochs"]),
        }
        return way, [[spent, _short(loss)] for spent, loss in result.history]


def _work(result: Any, sizes: tuple[int, int]) -> float:
    """Epochs of a search, each weighed by the multiplications of its network.

    One is an epoch of the default network; batches do not change what an epoch takes.
    """
    from tunekit.sizes import parameter_count
    from tunekit.trial import Recipe

    one, _ = parameter_count(Recipe(), *sizes)
    names = {"n_layers", "width", "shape"}
    work = 0.0
    for row in result.trials.to_dict("records"):
        known = {n: row[n] for n in names & row.keys() if row[n] == row[n]}
        shape = {n: int(v) if n != "shape" else v for n, v in known.items()}
        count, _ = parameter_count(Recipe(**shape), *sizes)
        work += row["epochs"] * count / one
    return work


def _data(folder: Path | None, name: str, made: Path) -> dict[str, Any]:
    """A table's file, and its target; the digits need none."""
    if name in COME_ALONG:
        file = made / f"{name}.csv"
        getattr(datasets, f"load_{name}")(as_frame=True).frame.to_csv(file, index=False)
        return {"data": str(file), "target": "target"}
    if folder is None or name == "digits":
        return {}
    file = folder / name / f"{name}.csv"
    if not file.is_file():
        raise SystemExit(f"--tables must hold {name}/{name}.csv, got {folder}")
    return {"data": str(file), "target": "target"}


def _short(value: float) -> float:
    return float(f"{value:.6g}")


PARTS = {
    "schedules": schedules,
    "babysat": babysat,
    "killed": killed,
    "steered": steered,
}
