"""The opening lines: what was read and what will be searched, names taken literally."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tunekit.config import Config
from tunekit.data import load
from tunekit.plan import Plan
from tunekit.space import recipe_space
from tunekit.trial import Fitted, Metrics, OnEpoch, Recipe, Run

NASTY = "[red]x[/red] [/] \x1b[31m\x1b[2J\x07\x9b31m"
OTHER = "[bold]y[/bold]\x1b]0;title\x07"
RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class Counted:
    """An engine that trains as many epochs as it is let to."""

    name = "counted"

    def __init__(self) -> None:
        self.epochs = 0
        self.run: Run | None = None

    def train(self, run: Run, on_epoch: OnEpoch) -> Fitted:
        self.run = run
        metrics = Metrics(1.0, 1.0, 0.5, 0.5, 1e-3, 0.1)
        for epoch in range(1, run.max_epochs + 1):
            self.epochs += 1
            if not on_epoch(epoch, metrics):
                break
        return Fitted(
            curve=[metrics] * self.epochs, best_epoch=1, weights={}, diverged=False
        )


def csv(tmp_path: Path, columns: dict[str, Any], classes: tuple[str, str]) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    frame = pd.DataFrame({"x": x, **columns, "y": np.where(x > 0, *classes)})
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    return path


def plan_of(
    path: Path | None, *, force_terminal: bool = False, **options: Any
) -> tuple[Plan, Console]:
    data = None if path is None else str(path)
    config = Config(**{"data": data, "target": path and "y", **options})
    table = load(config.data, config.target, drop=config.drop)
    console = Console(
        file=StringIO(), width=160, force_terminal=force_terminal, highlight=False
    )
    space = recipe_space(config.space, len(table.y_train))
    return Plan(console, config, table, space), console


def text_of(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_opening_of_the_digits() -> None:
    plan, console = plan_of(None)
    plan.show()
    text = text_of(console)
    assert "digits: 1,797 rows, 10 classes" in text
    assert "train 1,078 · validation 360 · test 359 rows" in text
    assert "30 trials or 225 epochs in all, each trial at most 30 epochs" in text
    assert "chosen by coarse-to-fine, all begun with few, the best go on" in text
    assert "17 hyperparameters: n_layers, width" in text


def test_budgets_in_words() -> None:
    plan, console = plan_of(
        None, n_trials=5, budget_epochs=70, timeout="90s", pruner="none"
    )
    plan.show()
    text = text_of(console)
    assert "5 trials or 70 epochs in all or 90 s, each trial" in text
    assert "no early stopping of weak trials" in text


def test_settings_without_effect_are_told() -> None:
    plan, console = plan_of(None, space={"optimizer": "sgd", "beta1": 0.9})
    plan.show()
    text = text_of(console)
    assert "beta1 counts only with optimizer adam or adamw: no effect here" in text
    assert "beta2" not in text


def test_nothing_to_search_is_said() -> None:
    fixed = {
        "n_layers": 0,
        "optimizer": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 0,
        "batch_size": 32,
        "schedule": "constant",
        "label_smoothing": 0,
    }
    plan, console = plan_of(None, space=fixed)
    plan.show()
    plan.show_space()
    assert "searching 0 hyperparameters: nothing" in text_of(console)


def test_every_hyperparameter_and_every_condition() -> None:
    plan, console = plan_of(None, space={"lr": "1e-3..1e-2", "dropout": 0})
    plan.show_space()
    text = text_of(console)
    assert re.search(r"lr +log +0.001 .. 0.01", text)
    assert re.search(r"dropout +fixed +0", text)
    assert re.search(r"momentum +one-minus-log +0.5 .. 0.995 +optimizer sgd", text)
    assert re.search(r"optimizer +choices +adamw, adam, sgd, rmsprop", text)
    assert "… and 24 more columns" in text


@pytest.mark.parametrize("force_terminal", [False, True])
def test_names_are_printed_literally(tmp_path: Path, force_terminal: bool) -> None:
    constant = f"const {NASTY}"
    path = csv(
        tmp_path,
        {NASTY: np.arange(60) % 7, constant: 1, OTHER: ["a", "b"] * 30},
        ("[green]", "[/green]\x1b[0m"),
    )
    plan, console = plan_of(path, force_terminal=force_terminal, drop=[OTHER])
    plan.show()
    plan.show_space()
    text = text_of(console)
    # Only rich's own colours may come from an escape.
    assert not RAW.search(re.sub(r"\x1b\[[0-9;]*m", "", text))
    assert "\x1b[31m" not in text
    assert "\x1b[2J" not in text
    assert "\x1b]0" not in text
    assert "[red]x[/red] [/] \\x1b[31m\\x1b[2J\\x07\\x9b31m" in text
    assert "[bold]y[/bold]\\x1b]0;title\\x07" in text
    assert f"const {NASTY[:16]}" in text


def test_expected_time_of_a_few_epochs() -> None:
    plan, console = plan_of(None, n_trials=100, timeout="10m")
    engine = Counted()
    plan.show_expected_time(engine, Recipe())
    assert engine.epochs == 3
    assert engine.run is not None
    assert engine.run.max_epochs == 30
    text = text_of(console)
    assert "the whole at most about 1 min" in text
    assert "and no longer than 10 min" in text
    assert "nothing was written" in text


def test_expected_time_with_a_single_epoch() -> None:
    plan, console = plan_of(None, max_epochs=1, budget_epochs=3)
    engine = Counted()
    plan.show_expected_time(engine, Recipe())
    assert engine.epochs == 1
    assert "an epoch of the default recipe takes" in text_of(console)
