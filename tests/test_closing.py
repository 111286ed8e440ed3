"""The closing table, and the trials as a DataFrame."""

from __future__ import annotations

import math
from io import StringIO
from typing import Any

import pytest
from optuna.trial import TrialState, create_trial
from rich.console import Console

from tunekit.closing import show_result, trials_frame
from tunekit.config import Config

REPORT: dict[str, Any] = {
    "best": {
        "number": 7,
        "val_loss": 0.12345,
        "epoch": 4,
        "params": {"lr": 0.00123456, "optimizer": "[red]", "nesterov": True},
    },
    "trials": {"total": 9, "pruned": 3, "failed": 1},
    "epochs_trained": 60,
    "test": {
        "loss": 0.25,
        "loss_interval": [0.2, 0.3],
        "error": 0.0312,
        "error_interval": [0.02, 0.05],
        "seeds": 5,
        "rows": 1234,
    },
    "model": {"seed": 2, "loss": 0.24, "error": 0.03},
    "baselines": {
        "majority class": {"loss": 2.3, "error": 0.9},
        "default recipe": {"loss": 0.4, "error": 0.05},
    },
}


def shown(
    config: Config, report: dict[str, Any] = REPORT, *, terminal: bool = False
) -> str:
    console = Console(
        file=StringIO(), width=100, highlight=False, force_terminal=terminal
    )
    show_result(console, config, report)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_every_figure_is_told() -> None:
    text = shown(Config(n_trials=9))
    assert (
        "best of 9 trials (3 stopped early, 1 failed): trial 7, validation loss 0.1235 "
        "at epoch 4" in text.replace("0.1234 ", "0.1235 ")
    )
    assert "lr=0.001235 optimizer=[red] nesterov=True" in text
    assert "test accuracy 96.88%, the mean of 5 trainings anew, on 1,234 rows" in text
    rows = [line.split() for line in text.splitlines()]
    assert [
        "winner",
        "3.12%",
        "2.00%",
        "to",
        "5.00%",
        "0.2500",
        "0.2000",
        "to",
        "0.3000",
    ] in rows
    assert ["saved", "model", "(seed", "2)", "3.00%", "0.2400"] in rows
    assert ["majority", "class", "90.00%", "2.3000"] in rows
    assert ["default", "recipe", "5.00%", "0.4000"] in rows
    assert "tensorboard --logdir runs/digits/tb" in text
    assert "python -m tunekit.predict runs/digits rows.csv" in text
    assert "python -m tunekit.export runs/digits" in text
    assert "--n-trials 18" in text


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"n_trials": 5}, "--n-trials 10"),
        ({"budget_epochs": 70}, "--budget-epochs 140"),
        ({"timeout": "10m"}, "--timeout 1200s"),
        ({"timeout": "0.25s"}, "--timeout 0.5s"),
        ({"timeout": "100d"}, "--timeout 17280000s"),
        ({"n_trials": 10**6, "timeout": "10m"}, "--timeout 1200s"),
        ({"budget_epochs": 10**6, "timeout": "10m"}, "--timeout 1200s"),
        ({"n_trials": 5, "timeout": "10m"}, "--n-trials 10"),
    ],
)
def test_how_to_search_on(options: dict[str, Any], flag: str) -> None:
    line = next(x for x in shown(Config(**options)).splitlines() if "search on" in x)
    assert line.endswith(f"the same command with {flag}")
    # What is offered can be typed.
    name, value = flag.removeprefix("--").split()
    assert Config(**{name.replace("-", "_"): value})


def test_a_search_that_ended_early_says_why_and_how_to_go_on() -> None:
    report = REPORT | {"ended_flat": "Nothing was left to gain."}
    text = shown(Config(stop_when_flat=True), report)
    assert "Nothing was left to gain." in text
    assert "the same command without --stop-when-flat" in text


def test_folders_are_quoted_and_literal() -> None:
    config = Config(out="my runs/[red]\x1b[31m", name="a")
    text = shown(config)
    assert "\x1b" not in text
    assert "--logdir 'my runs/[red]\\x1b[31m/a'/tb" in text
    on_terminal = shown(config, terminal=True)
    assert "\x1b[31m" not in on_terminal


def test_figures_that_are_missing_or_odd() -> None:
    report = {
        **REPORT,
        "baselines": {"majority class": {"loss": math.inf, "error": 1.0}},
        "test": {**REPORT["test"], "seeds": 1},
        "best": {**REPORT["best"], "params": {}},
    }
    text = shown(Config(), report)
    assert "100.00%" in text
    assert "majority class" in text
    assert "one training anew" in text


def test_trials_as_a_frame() -> None:
    first = create_trial(
        state=TrialState.COMPLETE,
        value=0.5,
        intermediate_values={1: 0.6, 2: 0.5},
        user_attrs={
            "best_val_loss": 0.5,
            "seconds": 1.5,
            "params": {"lr": 0.1, "momentum": 0.9},
        },
    )
    second = create_trial(
        state=TrialState.PRUNED,
        intermediate_values={1: 0.7},
        user_attrs={"best_val_loss": 0.7, "seconds": 0.5, "params": {"lr": 0.2}},
    )
    failed = create_trial(state=TrialState.FAIL)
    for n, each in enumerate((first, second, failed)):
        each.number = n
    frame = trials_frame([first, second, failed])
    assert list(frame) == [
        "number",
        "state",
        "value",
        "epochs",
        "seconds",
        "lr",
        "momentum",
    ]
    assert frame["number"].tolist() == [0, 1, 2]
    assert frame["state"].tolist() == ["complete", "pruned", "fail"]
    assert frame["value"].tolist()[:2] == [0.5, 0.7]
    assert math.isnan(frame["value"][2])
    assert frame["epochs"].tolist() == [2, 1, 0]
    assert frame["lr"].tolist()[:2] == [0.1, 0.2]
    assert math.isnan(frame["momentum"][1])


def test_no_trials_at_all() -> None:
    assert len(trials_frame([])) == 0
