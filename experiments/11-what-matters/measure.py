"""Random configurations, each of them trained, and what their losses hang on."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import lab
import optuna
import rows
from importances import importances

from tunekit import Config
from tunekit.draws import UniformSampler
from tunekit.feed import train_together
from tunekit.seeds import seed_for
from tunekit.space import Space
from tunekit.trial import Fitted, Recipe, Run
from tunekit.vectorized import VectorizedEngine
from tunekit.workers import Setup

__all__ = ["PARTS"]

NOTHING = "nothing"
"""A hyperparameter that is drawn as the others are, and that nothing depends on: what
importance it is given is an error that the others have, too."""

Report = dict[str, Any]


def of_optimizer(optimizer: str, asked: lab.Asked) -> Report:
    """By table its size, its losses, and the importances by hyperparameter."""
    given = lab.settings(asked.home)
    given["space"] = {**given["space"], "optimizer": optimizer}
    if asked.quick:
        given["n_trials"] = 24
    found: Report = {}
    with tempfile.TemporaryDirectory() as work:
        for name, path in rows.each(Path(work), asked.tables, quick=asked.quick):
            config = Config.from_mapping(
                {**given, "data": str(path), "target": "target"}
            )
            comes_along = name in rows.EMBEDDED
            found[name] = {"comes along": comes_along, **_measured(config, name)}
            asked.say(f"{optimizer}: {name}")
    return {"configurations": given["n_trials"], "tables": found}


def _measured(config: Config, name: str) -> Report:
    setup = Setup.of(config)
    table, space = setup.table, setup.space
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Each table has draws of its own: what is lucky on all at once would be one sample.
    sampler = UniformSampler(seed_for(config.seed, name, space.fixed["optimizer"]))
    study = optuna.create_study(sampler=sampler)
    trials = [study.ask() for _ in range(config.n_trials or 0)]
    runs = [_run(config, space, trial) for trial in trials]
    # Whoever does worse than guessing knows as little as whoever guesses.
    guess = math.log(len(table.classes))
    losses = [_loss(fitted, guess) for fitted in _trained(setup, runs)]
    for trial, loss in zip(trials, losses, strict=True):
        study.tell(trial, math.log(loss))
    losses.sort()
    return {
        "rows": table.n_rows,
        "inputs": table.n_inputs,
        "classes": len(table.classes),
        "best": _short(losses[0]),
        "median": _short(losses[len(losses) // 2]),
        **{
            kind: _short_by_name(of, space)
            for kind, of in importances(study, config.seed).items()
        },
    }


def _run(config: Config, space: Space, trial: optuna.Trial) -> Run:
    params = {**space.fixed, **space.suggest(trial)}
    trial.suggest_float(NOTHING, 0.0, 1.0)
    return Run(
        recipe=Recipe().with_params(params),
        max_epochs=config.max_epochs,
        patience=config.patience,
        seed=config.seed,
        key=f"trial-{trial.number}",
    )


def _trained(setup: Setup, runs: list[Run]) -> list[Fitted]:
    table = setup.table
    engine = VectorizedEngine(
        *(table.x_train, table.y_train, table.x_valid, table.y_valid),
        len(table.classes),
        "cpu",
    )
    try:
        return train_together(engine, runs, lambda heard: True)
    finally:
        engine.close()


def _loss(fitted: Fitted, guess: float) -> float:
    return min(guess, fitted.best.val_loss) if fitted.best_epoch else guess


def _short_by_name(found: Mapping[str, float], space: Space) -> dict[str, float]:
    """By the names that people read, in the order of the space."""
    stored = {name: scale.stored_name(name) for name, scale in space.scales.items()}
    stored[NOTHING] = NOTHING
    return {name: _short(found[kept]) for name, kept in stored.items()}


def _short(number: float) -> float:
    return float(f"{number:.6g}")


PARTS: dict[str, Callable[[lab.Asked], Mapping[str, Any]]] = {
    optimizer: partial(of_optimizer, optimizer) for optimizer in ("sgd", "adam")
}
