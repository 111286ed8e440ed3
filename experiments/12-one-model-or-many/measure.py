"""One model watched, fixed schedules, and a search of many, at equal epochs."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lab

__all__ = ["LRS", "OTHERS", "PARTS", "TABLES"]

TABLES = ("credit_g", "phoneme", "soybean")
"""Those of experiment 02, on which the claims rest."""
OTHERS = ("car", "titanic")
"""Two more, to see whether it is these three alone."""
LRS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Of the cosine schedule; the best of them, over all seeds, is the tuned one."""
_SEEDS = 5
_TOO_HIGH = 30.0
_KILLS = 5
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
    names: tuple[str, ...] = (*TABLES, *OTHERS)
    seeds, lrs = _SEEDS, LRS
    if asked.quick:
        names, seeds, lrs = ("digits",), 2, (3e-3, 1e-2)
        settings = {**settings, "budget_epochs": 20, "max_epochs": 5}
    jobs = [
        (name, _data(asked.tables, name), seed, settings, lrs)
        for name in names
        for seed in range(seeds)
    ]
    runs = []
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for run in pool.imap(one, jobs):
            runs.append(run)
            asked.say(f"{run['table']}, seed {run['seed']}")
    return {"lrs": list(lrs), "runs": runs, "budget": settings["budget_epochs"]}


def _one(
    job: tuple[str, dict[str, Any], int, dict[str, Any], tuple[float, ...]],
) -> Report:
    """The schedules and the search on one table with one seed."""
    from tunekit.feed import train_together
    from tunekit.trial import Recipe, Run

    name, data, seed, settings, lrs = job
    engine, tested = _set_up(job)
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
    found["ways"]["many"] = _many({**settings, **data, "seed": seed})
    return found


def _watched(
    job: tuple[str, dict[str, Any], int, dict[str, Any], tuple[float, ...]],
) -> Report:
    """One model watched on one table with one seed, from two learning rates."""
    from tunekit.trial import Recipe

    name, _, seed, settings, _ = job
    engine, tested = _set_up(job)
    found: Report = {"table": name, "seed": seed, "ways": {}}
    for key, factor in (("babysat", 1.0), ("babysat, too high", _TOO_HIGH)):
        lr = factor * Recipe().lr
        way, curve = _babysat(engine, lr, settings["budget_epochs"], seed, tested)
        found["ways"][key] = way
        if seed == 0:
            start = "babysat" if factor == 1.0 else "too high"
            found.setdefault("curves", {})[start] = curve
    return found


def _set_up(job: tuple[Any, ...]) -> tuple[Any, Callable[..., float]]:
    """What trains on a table's rows, and the loss on its test rows."""
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

    return engine, tested


def _babysat(
    engine: Any, lr: float, budget: int, seed: int, tested: Callable[..., float]
) -> tuple[Report, list[list[float]]]:
    """One model watched; what it came to, and its line by all epochs spent."""
    from tunekit.babysit.course import Rules
    from tunekit.babysit.curves import LINE, points
    from tunekit.babysit.job import run_of
    from tunekit.babysit.nowhere import Nowhere
    from tunekit.babysit.nudges import recipe_knobs
    from tunekit.babysit.sitter import Sitter
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
    history = keep.history()
    rescues = [line for line in history if line.get("doing") == "rescue"]
    way = {
        "final": _short(course.best),
        "lowest": _short(course.best),
        "last": _short(course.here.loss),
        "test": _short(tested(recipe, fitted)),
        "spent": course.spent,
        "rescue_rounds": len(rescues),
        "lr": course.base["lr"],
    }
    curve = [
        [step, _short(values["loss/val"])]
        for line in history
        for run, step, values in points(line)
        if run == LINE
    ]
    return way, curve


def _many(settings: Mapping[str, Any]) -> Report:
    """A search of many models with as many epochs."""
    from rich.console import Console

    from tunekit import Config
    from tunekit import run as study

    with tempfile.TemporaryDirectory() as out:
        config = Config.from_mapping({**settings, "out": out, "name": "many"})
        result = study(config, console=Console(file=io.StringIO()))
        lowest = min(loss for _, loss in result.history)
        return {
            "final": _short(lowest),
            "lowest": _short(lowest),
            "test": _short(result.report["model"]["loss"]),
            "spent": result.report["epochs_trained"],
            "trials": result.report["trials"]["total"],
        }


def killed(asked: lab.Asked) -> Report:
    """The same model, killed again and again and never."""
    kills, epochs = (1, 30) if asked.quick else (_KILLS, 200)
    found = []
    for seed in range(2 if asked.quick else 3):
        with tempfile.TemporaryDirectory() as out:
            whole, broken = Path(out) / "whole", Path(out) / "broken"
            began = time.monotonic()
            _run(whole, seed, epochs)
            seconds = time.monotonic() - began
            drawn, done = random.Random(seed), 0
            while done < kills:
                # Early enough that five times do not come to the end.
                if not _run(broken, seed, epochs, drawn.uniform(0.1, 0.4) * seconds):
                    break
                done += 1
            _run(broken, seed, epochs)
            a, b = (_told(each / "model-0") for each in (whole, broken))
            model = "model/model.safetensors"
            same = (whole / "model-0" / model).read_bytes() == (
                broken / "model-0" / model
            ).read_bytes()
            found.append(
                {
                    "seed": seed,
                    "kills": done,
                    "rounds": len(a),
                    "rounds that differ": sum(
                        x != y for x, y in zip(a, b, strict=False)
                    )
                    + abs(len(a) - len(b)),
                    "same weights": same,
                }
            )
            asked.say(f"killed {done} times, seed {seed}")
    return {"runs": found}


def _run(out: Path, seed: int, epochs: int, kill_after: float | None = None) -> bool:
    """The command; whether it was killed before it ended."""
    command = [sys.executable, "-m", "tunekit.babysit", "--out", str(out)]
    command += ["--name", "model-0", "--seed", str(seed), "--accelerator", "cpu"]
    command += ["--budget-epochs", str(epochs)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        code = process.wait(kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    return False


def _told(folder: Path) -> list[Any]:
    text = (folder / "history.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def steered(asked: lab.Asked) -> Report:
    """A person steps in after the third round, and wrongly after the sixth."""
    from tunekit.babysit.job import Job
    from tunekit.babysit.options import Options
    from tunekit.babysit.steer import FILE

    found = []
    for seed in range(2 if asked.quick else 3):
        with tempfile.TemporaryDirectory() as out:
            asks = {"out": out, "name": "steered", "seed": seed, "budget_epochs": 60}
            options = Options.from_mapping({**asks, "accelerator": "cpu"})
            job = Job(options, _silent(), time.monotonic())
            file = options.folder / FILE
            hear = job._hear

            def edit(told: Any, file: Path = file, hear: Any = hear) -> None:
                hear(told)
                if told.line.get("round") == 3:
                    file.write_text("lr = 0.0007\n", "utf-8")
                if told.line.get("round") == 6:
                    file.write_text("lr = -1\n", "utf-8")

            job._hear = edit  # type: ignore[method-assign]
            job.run()
            lines = _told(options.folder)
        at = next(i for i, line in enumerate(lines) if "edit" in line)
        wrong = next(i for i, line in enumerate(lines) if "refused" in line)
        before = lines[wrong - 1]["branches"][lines[wrong - 1]["kept"] or 0]
        after = lines[wrong + 1]["branches"][0]
        found.append(
            {
                "seed": seed,
                "asked after round": 3,
                "lr of the next round": lines[at + 1]["branches"][0]["settings"]["lr"],
                "refused": lines[wrong]["refused"],
                "lr before": before["settings"]["lr"],
                "lr after": after["settings"]["lr"],
            }
        )
    return {"wanted": 0.0007, "runs": found}


def _silent() -> Any:
    from rich.console import Console

    return Console(file=io.StringIO())


def _data(folder: Path | None, name: str) -> dict[str, Any]:
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
