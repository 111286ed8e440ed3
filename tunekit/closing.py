"""What a person reads when a study has ended: the result, and what to do with it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from optuna.trial import FrozenTrial
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from tunekit.errors import one_line

if TYPE_CHECKING:
    from tunekit.config import Config

__all__ = ["show_result", "trials_frame"]


def show_result(console: Console, config: Config, report: Mapping[str, Any]) -> None:
    """The closing table of a finished study.

    Args:
        console: Where to print.
        config: The study's options.
        report: The content of ``report.json``.
    """
    test, best, trials = report["test"], report["best"], report["trials"]
    params = " ".join(
        f"{name}={_short(value)}" for name, value in best["params"].items()
    )
    _print(
        console,
        "",
        f"best of {trials['total']} trials ({trials['pruned']} stopped early, "
        f"{trials['failed']} failed): trial {best['number']}, validation loss "
        f"{best['val_loss']:.4f} at epoch {best['epoch']}",
        f"  {params}",
        "",
        f"test accuracy {1 - test['error']:.2%}, the mean of "
        f"{_trainings(test['seeds'])} anew, on {test['rows']:,} rows the search never "
        "saw",
        "",
    )
    figures = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("", "error", "95 % interval", "loss", "95 % interval"):
        figures.add_column(
            heading, no_wrap=True, justify="right" if heading else "left"
        )
    low, high = test["error_interval"]
    loss_low, loss_high = test["loss_interval"]
    figures.add_row(
        "winner",
        Text(f"{test['error']:.2%}", style="bold"),
        f"{low:.2%} to {high:.2%}",
        f"{test['loss']:.4f}",
        f"{loss_low:.4f} to {loss_high:.4f}",
    )
    others = {f"saved model (seed {report['model']['seed']})": report["model"]}
    for name, each in (others | report["baselines"]).items():
        figures.add_row(name, f"{each['error']:.2%}", "", f"{each['loss']:.4f}")
    console.print(figures)
    for each in report.get("left_out", []):
        how = "cut short" if each.get("counted") else "left out"
        _print(console, f"note: {each['what']} {how} ({each['why']})")
    folder = shlex.quote(str(config.folder))
    if report.get("ended_flat"):
        _print(console, "", report["ended_flat"])
    _print(
        console,
        "",
        f"report      {config.folder / 'report.html'}",
        f"curves      tensorboard --logdir {folder}/tb",
        f"predict     python -m tunekit.predict {folder} rows.csv -o predictions.csv",
        f"export      python -m tunekit.export {folder}",
        f"search on   the same command {_larger(config, report)}",
    )


def trials_frame(trials: Sequence[FrozenTrial]) -> pd.DataFrame:
    """One row a trial: number, state, value, epochs, seconds, hyperparameters."""
    rows = [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.user_attrs.get("best_val_loss"),
            "epochs": len(trial.intermediate_values),
            "seconds": trial.user_attrs.get("seconds"),
            **trial.user_attrs.get("params", {}),
        }
        for trial in trials
    ]
    return pd.DataFrame(rows)


def _larger(config: Config, report: Mapping[str, Any]) -> str:
    """What makes a search go on that has ended: twice the budget that ended it."""
    if report.get("ended_flat"):
        return "without --stop-when-flat"
    ended_by_time = (
        config.timeout is not None
        and report["trials"]["total"] < (config.n_trials or math.inf)
        and report["epochs_trained"] < (config.epochs or math.inf)
    )
    if config.n_trials is not None and not ended_by_time:
        return f"with --n-trials {2 * config.n_trials}"
    if config.budget_epochs is not None and not ended_by_time:
        return f"with --budget-epochs {2 * config.budget_epochs}"
    return f"with --timeout {2 * (config.timeout or 60):.12g}s"


def _trainings(n: int) -> str:
    return "one training" if n == 1 else f"{n} trainings"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _print(console: Console, *lines: str) -> None:
    """Lines taken literally: names from data are no markup."""
    for line in lines:
        console.print(Text(one_line(line)), soft_wrap=not console.is_terminal)
