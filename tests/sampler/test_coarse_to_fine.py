"""The sampler in plain Optuna studies: the same for all, and it finds the best."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial

from tunekit.sampler import CoarseToFineSampler


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def mixed(trial: Trial) -> float:
    """Every kind of hyperparameter, one of them under a condition."""
    lr = trial.suggest_float("lr", 1e-5, 1.0, log=True)
    width = trial.suggest_int("width", 8, 512, log=True)
    kind = trial.suggest_categorical("kind", ["sgd", "adam"])
    loss = (math.log10(lr) + 2.5) ** 2 + 0.3 * (math.log2(width) - 6) ** 2
    if kind == "sgd":
        gap = trial.suggest_float("one_minus_momentum", 1e-3, 0.5, log=True)
        return loss + (math.log10(gap) + 1) ** 2
    return loss + 1.0


def searched(
    objective: Callable[[Trial], float], n: int, seed: int = 0, **options: Any
) -> optuna.Study:
    sampler = CoarseToFineSampler(seed=seed)
    study = optuna.create_study(sampler=sampler, **options)
    study.optimize(objective, n_trials=n)
    return study


def params(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


# --- a function of seed, number and history -------------------------------------------


def test_a_seed_gives_the_same_search_and_another_another() -> None:
    assert params(searched(mixed, 16)) == params(searched(mixed, 16))
    assert params(searched(mixed, 16)) != params(searched(mixed, 16, seed=1))


def test_a_search_goes_on_after_a_stop_as_if_there_had_been_none() -> None:
    storage = optuna.storages.InMemoryStorage()
    for n in (3, 7, 1, 9):
        study = optuna.create_study(
            study_name="s",
            storage=storage,
            sampler=CoarseToFineSampler(seed=0),
            load_if_exists=True,
        )
        study.optimize(mixed, n_trials=n)
    assert params(study) == params(searched(mixed, 20))


ASK = """
import json, sys, optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from tunekit.sampler import CoarseToFineSampler
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.load_study(
    study_name="s",
    storage=JournalStorage(JournalFileBackend(sys.argv[1])),
    sampler=CoarseToFineSampler(seed=5),
)
space = study.sampler.infer_relative_search_space(study, study.trials[-1])
found = study.sampler.sample_relative(study, study.trials[-1], space)
print(json.dumps(found))
"""


def test_two_processes_propose_the_same_after_the_same_history(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    study = optuna.create_study(
        study_name="s",
        storage=JournalStorage(JournalFileBackend(str(path))),
        sampler=CoarseToFineSampler(seed=5),
    )
    study.optimize(mixed, n_trials=15)
    study.ask()
    found = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", ASK, str(path)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert found[0]


def test_parallel_asks_do_not_repeat_each_other() -> None:
    study = searched(mixed, 12)
    waiting = [study.ask() for _ in range(6)]
    for trial in waiting:
        mixed(trial)
    asked = [(trial.params["lr"], trial.params["width"]) for trial in waiting]
    assert len(set(asked)) == 6
    logs = np.log10([lr for lr, _ in asked])
    assert np.ptp(logs) > 0.05


def test_several_objectives_are_refused() -> None:
    study = optuna.create_study(
        directions=["minimize", "maximize"], sampler=CoarseToFineSampler(seed=0)
    )
    with pytest.raises(ValueError, match="one objective, got 2"):
        study.optimize(lambda t: (t.suggest_float("x", 0, 1), 0.0), n_trials=1)


# --- it finds the best ----------------------------------------------------------------


def corner(trial: Trial) -> float:
    """The best, -0.22, is in a corner, where it is -0.08; all else is above 0."""
    x = np.array([trial.suggest_float(f"x{i}", 0, 1) for i in range(3)])
    wide = 0.6 * ((x - 0.3) ** 2).sum()
    deep = -1.0 * math.exp(-(((x - 0.97) / 0.25) ** 2).sum())
    return float(wide + deep)


def useless(trial: Trial) -> float:
    """Six of seven do nothing."""
    for i in range(6):
        trial.suggest_float(f"idle{i}", 0, 1)
    lr = trial.suggest_float("lr", 1e-6, 1.0, log=True)
    return abs(math.log10(lr) + 3.3)


def noisy(trial: Trial) -> float:
    x = trial.suggest_float("x", -1, 1)
    y = trial.suggest_float("y", -1, 1)
    noise = np.random.default_rng(trial.number).normal(0, 0.05)
    return (x - 0.4) ** 2 + (y + 0.2) ** 2 + noise


def negative(trial: Trial) -> float:
    x = trial.suggest_float("x", -10, 10)
    return -1e6 + 1e3 * (x - 7) ** 2


def diverging(trial: Trial) -> float:
    """The best is beside a cliff."""
    x = trial.suggest_float("x", 0, 1)
    return math.inf if x > 0.6 else 1 - x


def fast_starters(trial: Trial) -> float:
    """Below 0.5, curves begin well and end badly."""
    x = trial.suggest_float("x", 0, 1)
    for epoch in range(1, 28):
        end = 1.0 - 0.8 * math.exp(-(((x - 0.8) / 0.1) ** 2))
        start = 0.5 if x < 0.5 else 2.0
        share = math.log(epoch) / math.log(27)
        value = start * (1 - share) + end * share
        trial.report(value, epoch)
    return value


@pytest.mark.parametrize(
    ("objective", "n", "at_most"),
    [
        (mixed, 40, 0.1),
        (useless, 40, 0.05),
        (negative, 25, -1e6 + 10),
        (diverging, 40, 0.42),
        (fast_starters, 40, 0.25),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("seed", range(3))
def test_it_finds_the_best(
    objective: Callable[[Trial], float], n: int, at_most: float, seed: int
) -> None:
    assert searched(objective, n, seed).best_value <= at_most


def test_most_searches_find_a_corner_that_the_wide_bowl_does_not_lead_to() -> None:
    """Which do is a matter of rounding, too; one search in six by random draws does."""
    found = [searched(corner, 60, seed).best_value <= -0.07 for seed in range(10)]
    assert sum(found) >= 6


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_the_best_through_noise(seed: int) -> None:
    best = searched(noisy, 50, seed).best_params
    assert math.hypot(best["x"] - 0.4, best["y"] + 0.2) < 0.3


@pytest.mark.parametrize("seed", range(3))
def test_it_maximizes(seed: int) -> None:
    study = searched(lambda t: -mixed(t), 40, seed, direction="maximize")
    assert study.best_value >= -0.1


def test_it_keeps_out_of_what_diverges() -> None:
    study = searched(diverging, 60)
    late = [trial.params["x"] for trial in study.trials[30:]]
    assert np.mean([x > 0.62 for x in late]) < 0.3
