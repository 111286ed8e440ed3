"""``report.json`` and ``report.html`` of a babysat model, from its history."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jinja2

from tunekit.babysit.account import Account
from tunekit.babysit.course import Course
from tunekit.babysit.nudges import Knob
from tunekit.babysit.pictures import knob_svg, loss_svg
from tunekit.babysit.schedule import Stretch
from tunekit.files import write_text
from tunekit.report import axes
from tunekit.space import OneMinusLogUniform

__all__ = ["described", "write_pages"]

_PACKAGES = ("torch", "pytorch-lightning", "optuna", "numpy")
_LOSS = "validation loss (nats a row)"
_MOST_ROWS = 200


def described(
    name: str,
    course: Course,
    account: Account,
    schedule: Sequence[Stretch],
    *,
    metric: str,
    seconds: float,
    maximize: bool = False,
    ended: bool = True,
) -> dict[str, Any]:
    """What ``report.json`` holds.

    Args:
        name: The model's.
        course: Where it stands.
        account: What its history tells.
        schedule: The way to the best epoch.
        metric: What its value is.
        seconds: Of training, in all processes.
        maximize: Whether higher values are better.
        ended: Whether training is over, for now; else it goes on, or was broken off.
    """
    kinds = ("burst", "train", "rescue", "cool")
    return {
        "model": name,
        "kind": "module",
        "metric": metric,
        "direction": "maximize" if maximize else "minimize",
        "ended": ended,
        "epochs_trained": course.spent,
        "seconds": round(seconds, 1),
        "best": {
            "value": -course.best if maximize else course.best,
            "epoch": course.lowest_epoch,
            "settings": schedule[-1].settings if schedule else {},
        },
        "rounds": {each: account.rounds[each] for each in kinds},
        "rescues": account.rescues,
        "edits": account.edits,
        "schedule": [each.as_dict() for each in _joined(schedule)],
        "test": None,
        "versions": {package: metadata.version(package) for package in _PACKAGES},
    }


def write_pages(
    folder: Path,
    report: Mapping[str, Any],
    account: Account,
    knobs: Mapping[str, Knob],
) -> None:
    """Write both files, each whole or not at all.

    Args:
        folder: The model's.
        report: What :func:`described` gave.
        account: What its history tells.
        knobs: The hyperparameters to be drawn.
    """
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / "report.json", text + "\n")
    write_text(folder / "report.html", _page(folder, report, account, knobs))


def _page(
    folder: Path,
    report: Mapping[str, Any],
    account: Account,
    knobs: Mapping[str, Knob],
) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(
        number=axes.number,
        percent=axes.percent,
        duration=axes.duration,
        value=axes.value_text,
    )
    page = resources.files("tunekit.babysit").joinpath("page.html")
    template = environment.from_string(page.read_text(encoding="utf-8"))
    metric = report["metric"]
    words = "validation loss" if metric == "val_loss" else metric
    drawn = [knob_svg(account, name, _scale(knob)) for name, knob in knobs.items()]
    schedule, most = report["schedule"], _MOST_ROWS // 2
    left_out = max(0, len(schedule) - 2 * most)
    return template.render(
        r=report,
        words=words,
        loss=loss_svg(
            account,
            "Validation loss" if metric == "val_loss" else metric,
            _LOSS if metric == "val_loss" else metric,
            maximize=report["direction"] == "maximize",
        ),
        knobs=[picture for picture in drawn if picture is not None],
        names=list(knobs),
        first=schedule[:most] if left_out else schedule,
        left_out=left_out,
        last=schedule[-most:] if left_out else [],
        folder=shlex.quote(str(folder)),
    )


def _scale(knob: Knob) -> str:
    if isinstance(knob.scale, OneMinusLogUniform):
        return "one-minus-log"
    return "log" if knob.scale.log else "uniform"


def _joined(schedule: Sequence[Stretch]) -> list[Stretch]:
    """Neighbours with the same settings as one, for people to read."""
    found: list[Stretch] = []
    for each in schedule:
        if found and found[-1].settings == each.settings:
            last = found[-1]
            found[-1] = replace(last, epochs=last.epochs + each.epochs)
        else:
            found.append(each)
    return found
