"""Every number of a report, from the study folder alone.

``build`` reads ``study.toml``, ``split.json``, ``journal.log`` and, once the winner was
evaluated, ``final.json``. What it returns is strict JSON: plain values, and null where
a number is missing or not finite.
"""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunekit.errors import SpaceError, one_line
from tunekit.flat import FLAT, why_ended
from tunekit.paused import chain_of, is_paused
from tunekit.report import narrowing
from tunekit.report.importance import importance
from tunekit.report.reading import (
    open_study,
    order,
    read,
    read_final,
    unreadable,
)
from tunekit.report.result import told
from tunekit.report.searched import listed, scales
from tunekit.tally import as_one

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from tunekit.space import Space

__all__ = ["build"]

_STATES = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}
_LONGEST_TRACEBACK = 4096
"""Characters of a traceback that are told."""
_BUDGETS = ("n_trials", "budget_epochs", "timeout")
_PACKAGES = ("optuna-tunekit", "torch", "pytorch-lightning", "optuna", "numpy")


def build(folder: Path) -> dict[str, Any]:
    """All of ``report.json``, recomputed from what stands in ``folder``.

    Args:
        folder: A study folder, finished or not.

    Raises:
        ConfigError: The folder is no study.
        DataError: One of its files is damaged.
    """
    settings = read(folder, "study.toml")
    split = read(folder, "split.json")
    study = open_study(folder)
    final = read_final(folder)
    recorded = study.get_trials(deepcopy=False)
    frozen = as_one(recorded)
    max_epochs = settings.get("max_epochs", math.inf)
    table = settings.pop("space", {})
    try:
        known = scales(table)
    except SpaceError as error:
        raise unreadable(folder / "study.toml", error) from None
    trials = [
        _trial(trial, known, max_epochs)
        | {"begun": chain_of(recorded, trial.number)[0] + 1}
        for trial in frozen
    ]
    ended = [trial for trial in trials if trial["val_loss"] is not None]
    ranked = sorted(ended, key=lambda trial: (trial["val_loss"], trial["number"]))
    best = _best(ranked)
    space, fixed = listed(table, best["params"] if best else {})
    losses = {trial["number"]: trial["val_loss"] for trial in ended}
    shares, reason = importance(frozen, losses, known)
    try:
        winner = told(final, best["number"] if best else None, split.get("classes", []))
    except KeyError as error:
        raise unreadable(folder / "final.json", f"it lacks {error}") from None
    states = Counter(trial["state"] for trial in trials)
    report = {
        "study": study.study_name,
        "folder": str(folder),
        "finished": bool(
            study.user_attrs.get("finished")
            and (winner["test"] or _untested(split))
            and not states["running"]
            and not states["paused"]
        ),
        "seed": settings.get("seed"),
        "engine": study.user_attrs.get("engine", settings.get("engine")),
        "metric": "val_loss",
        "data": _data(split),
        "budget": {name: settings.get(name) for name in _BUDGETS},
        "trials": {
            "total": len(trials),
            "complete": states["complete"],
            "pruned": states["pruned"],
            "failed": states["failed"],
            "running": states["running"],
            "paused": states["paused"],
        },
        "epochs_trained": sum(trial["epochs"] for trial in trials),
        "seconds": study.user_attrs.get(
            "seconds", sum(trial["seconds"] or 0.0 for trial in trials)
        ),
        "best": best,
        "history": _history(recorded, order(folder)),
        **winner,
        "versions": study.user_attrs.get("versions") or _versions(),
        "space": space,
        "fixed": fixed,
        "top": ranked[:10],
        "regions": narrowing.told(study.user_attrs.get("regions", []), known),
        "importance": shares,
        "importance_missing": reason,
        "best_curve": _curve(recorded[ranked[0]["number"]]) if ranked else [],
        "errors": [
            {
                "number": trial.number,
                "error": str(trial.user_attrs.get("error", "no reason was recorded")),
                "traceback": _end(str(trial.user_attrs.get("traceback", ""))),
            }
            for trial in frozen
            if trial.state.name == "FAIL"
        ],
        "stopped_early": _stopped(trials),
        "ended_flat": why_ended(study.user_attrs.get(FLAT))
        if settings.get("stop_when_flat")
        else "",
        "trial_list": trials,
        "settings": settings,
    }
    plain: dict[str, Any] = _plain(report)
    return plain


def _trial(trial: FrozenTrial, space: Space, max_epochs: float) -> dict[str, Any]:
    """What is told of one trial, hyperparameters in human units."""
    attrs = trial.user_attrs
    lowest = min(
        ((loss, epoch) for epoch, loss in _curve(trial) if math.isfinite(loss)),
        default=(None, None),
    )
    # Of one that goes on after a pause they are those of the pause.
    whole = attrs.get("epochs") == len(trial.intermediate_values)
    recorded = attrs.get("best_val_loss") if whole else None
    if recorded is not None and math.isfinite(recorded):
        lowest = (recorded, attrs.get("best_epoch", lowest[1]))
    return {
        "number": trial.number,
        "state": "paused"
        if is_paused(trial, max_epochs)
        else _STATES[trial.state.name],
        "val_loss": lowest[0],
        "val_score": attrs.get("best_val_score") if whole else None,
        "epoch": lowest[1],
        "epochs": len(trial.intermediate_values),
        "seconds": attrs.get("seconds"),
        "stopped": attrs.get("stopped", ""),
        "params": attrs.get("params") or space.from_stored(trial.params),
    }


def _curve(trial: FrozenTrial) -> list[tuple[int, float]]:
    return sorted(trial.intermediate_values.items())


def _own(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> list[tuple[int, float]]:
    """Its curve without what it has from the trial that it continues."""
    before = trial.user_attrs.get("continues")
    had = 0 if before is None else len(trials[before].intermediate_values)
    return _curve(trial)[had:]


def _best(ranked: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if not ranked:
        return None
    return {name: ranked[0][name] for name in ("number", "params", "val_loss", "epoch")}


def _history(
    trials: Sequence[FrozenTrial], order: Sequence[int]
) -> list[tuple[int, float]]:
    """(epochs trained in all, best loss so far) at each improvement."""
    left = {trial._trial_id: iter(_own(trial, trials)) for trial in trials}
    history: list[tuple[int, float]] = []
    for epochs, trial_id in enumerate(order, start=1):
        _, loss = next(left.get(trial_id, iter(())), (0, math.inf))
        if math.isfinite(loss) and (not history or loss < history[-1][1]):
            history.append((epochs, loss))
    return history


def _data(split: Mapping[str, Any]) -> dict[str, Any]:
    """The table in a few numbers: ``classes`` counts, ``class_names`` lists them."""
    names = split.get("classes", [])
    return {
        "rows": split.get("rows"),
        "features": split.get("features"),
        "classes": len(names),
        "source": split.get("source"),
        "target": split.get("target"),
        "inputs": split.get("inputs"),
        "class_names": names,
        "split": {
            part: len(split.get(part, ())) for part in ("train", "validation", "test")
        },
        "columns": split.get("columns", []),
        "notes": split.get("notes", []),
    }


def _untested(split: Mapping[str, Any]) -> bool:
    """Whether no rows were set aside for a test: whoever asked keeps their own."""
    return not split.get("test", True)


def _stopped(trials: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many trials ended before their last epoch, by reason, the commonest first."""
    reasons = Counter(
        # "diverged at epoch 3": one reason, whichever the epoch.
        str(trial["stopped"]).split(" at epoch ")[0]
        for trial in trials
        if trial["stopped"]
    )
    return dict(reasons.most_common())


def _end(text: str) -> str:
    """The last lines of a traceback, which name the cause; no control characters."""
    if len(text) > _LONGEST_TRACEBACK:
        text = text[-_LONGEST_TRACEBACK:].partition("\n")[2]
    return "\n".join(one_line(line) for line in text.rstrip().split("\n"))


def _versions() -> dict[str, str]:
    """What is installed now, for a study that did not record what it ran with."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _plain(value: Any) -> Any:
    """The value as strict JSON gives it back: lists, string keys, null for NaN."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    # TOML's dates are the one other kind of value that can stand in these files.
    return str(value)
