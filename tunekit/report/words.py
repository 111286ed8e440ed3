"""What hyperparameters, scales and states are called on the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tunekit.report.axes import value_text

__all__ = [
    "MEANINGS",
    "SCALES",
    "STATES",
    "baselines_left_out",
    "progress",
    "range_text",
    "trainings_left_out",
    "untested",
]

MEANINGS = {
    "n_layers": "hidden layers",
    "width": "units in a hidden layer",
    "shape": "all layers equally wide, or each half the last",
    "activation": "what a unit does to its input",
    "dropout": "share of units left out at random while training",
    "optimizer": "how weights are moved",
    "lr": "learning rate: how far weights move in a step",
    "momentum": "how much of the last step is kept (SGD)",
    "nesterov": "SGD looks a step ahead",
    "beta1": "memory of gradients (Adam)",
    "beta2": "memory of squared gradients (Adam)",
    "eps": "guard against division by zero (Adam)",
    "weight_decay": "how strongly weights are pulled to zero",
    "batch_size": "rows in one step",
    "schedule": "how the learning rate falls over epochs",
    "lr_decay": "how fast it falls, an epoch",
    "label_smoothing": "probability taken from the true class and spread",
}

SCALES = {
    "uniform": "even",
    "int": "whole numbers, even",
    "log": "by factors (logarithmic)",
    "int-log": "whole numbers, by factors",
    "one-minus-log": "distance to 1 by factors",
    "choices": "from a list",
}

STATES = {
    "complete": "finished",
    "pruned": "stopped early",
    "failed": "failed",
    "running": "running",
    "paused": "paused",
    "waiting": "waiting",
}


def range_text(entry: Mapping[str, Any]) -> str:
    """Where a hyperparameter was searched.

    Example:
        >>> range_text({"name": "lr", "scale": "log", "low": 1e-4, "high": 0.1})
        '0.0001 to 0.1'
        >>> range_text({"name": "act", "scale": "choices", "choices": ["relu", "tanh"]})
        'relu, tanh'
    """
    if entry["scale"] == "choices":
        return ", ".join(value_text(choice) for choice in entry["choices"])
    scale = entry["scale"]
    return f"{value_text(entry['low'], scale)} to {value_text(entry['high'], scale)}"


def progress(report: Mapping[str, Any]) -> str:
    """How far an unfinished search has come, in a sentence."""
    total, best = report["trials"]["total"], report["best"]
    if best is None:
        return f"The search is unfinished: {total} configurations, none with a result."
    return (
        f"The search is unfinished: {total} configurations so far, the best one "
        f"(trial {best['number']}) with a validation loss of "
        f"{value_text(best['val_loss'])}."
    )


def untested(report: Mapping[str, Any]) -> str:
    """What a search without test rows has found, in a sentence.

    Example:
        >>> best = {"number": 3, "val_loss": 0.25}
        >>> rows = {"split": {"validation": 30}}
        >>> untested({"trials": {"total": 8}, "best": best, "data": rows})
        'Of 8 configurations, trial 3 has the lowest loss on 30 validation rows: 0.25.'
    """
    total, best = report["trials"]["total"], report["best"]
    rows = report["data"]["split"]["validation"]
    return (
        f"Of {total} configurations, trial {best['number']} has the lowest loss on "
        f"{rows} validation rows: {value_text(best['val_loss'])}."
    )


def trainings_left_out(report: Mapping[str, Any]) -> str:
    """Which of the winner's trainings its test figures lack, after a space; or nothing.

    Example:
        >>> left_out = [{"what": "seed 3", "why": "diverged"}]
        >>> trainings_left_out(
        ...     {"test": {"seeds": 4}, "asked": {"seeds": 5}, "left_out": left_out}
        ... )
        ' 1 of 5 trainings diverged and is not in the mean.'
    """
    trainings = [each for each in report["left_out"] if _is_training(each["what"])]
    reasons = Counter(each["why"] for each in trainings if not each.get("counted"))
    asked = (report["asked"] or {}).get(
        "seeds", report["test"]["seeds"] + reasons.total()
    )
    sentences = []
    for why, n in reasons.items():
        are = "is" if n == 1 else "are"
        told = (
            f"diverged and {are} not in the mean"
            if why == "diverged"
            else f"{are} not in the mean ({why})"
        )
        sentences.append(f" {n} of {asked} trainings {told}.")
    cut = sum(bool(each.get("counted")) for each in trainings)
    if cut:
        are = "was cut short and is" if cut == 1 else "were cut short and are"
        sentences.append(f" {cut} of {asked} trainings {are} in the mean (no time).")
    return "".join(sentences)


def baselines_left_out(report: Mapping[str, Any]) -> str:
    """Which baselines are missing and why, after a space; or nothing.

    Example:
        >>> gone = [{"what": "default recipe", "why": "no time left"}]
        >>> baselines_left_out({"left_out": gone})
        ' Missing: default recipe (no time left).'
    """
    missing = [
        f"{each['what']} ({each['why']})"
        for each in report["left_out"]
        if not _is_training(each["what"])
    ]
    return f" Missing: {', '.join(missing)}." if missing else ""


def _is_training(what: str) -> bool:
    return what.startswith("seed ")
