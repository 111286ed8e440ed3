"""``report.json`` and ``report.html`` of a babysat model, from its history."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jinja2

from tunekit.babysit.course import Course
from tunekit.babysit.nudges import Knob
from tunekit.babysit.pictures import knob_svg, loss_svg
from tunekit.babysit.schedule import Stretch, schedule_of
from tunekit.babysit.steer import said
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
    history: Sequence[Mapping[str, Any]],
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
        history: Every round and edit.
        metric: What its value is.
        seconds: Of training, in all processes.
        maximize: Whether higher values are better.
        ended: Whether training is over, for now; else it goes on, or was broken off.
    """
    rounds = Counter(line["doing"] for line in history if "doing" in line)
    schedule = schedule_of(history, course.best_at)
    return {
        "model": name,
        "metric": metric,
        "ended": ended,
        "epochs_trained": course.spent,
        "seconds": round(seconds, 1),
        "best": {
            "value": -course.best if maximize else course.best,
            "epoch": course.lowest_epoch,
            "settings": schedule[-1].settings if schedule else {},
        },
        "rounds": {each: rounds[each] for each in ("burst", "train", "rescue", "cool")},
        "rescues": _rescues(history),
        "edits": [
            {"spent": line["spent"], "text": _text(line), "refused": "refused" in line}
            for line in history
            if "edit" in line or "refused" in line
        ],
        "schedule": [each.as_dict() for each in _joined(schedule)],
        "test": None,
        "versions": {package: metadata.version(package) for package in _PACKAGES},
    }


def write_pages(
    folder: Path,
    report: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    knobs: Mapping[str, Knob],
) -> None:
    """Write both files, each whole or not at all.

    Args:
        folder: The model's.
        report: What :func:`described` gave.
        history: Every round and edit.
        knobs: The hyperparameters to be drawn.
    """
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / "report.json", text + "\n")
    write_text(folder / "report.html", _page(folder, report, history, knobs))


def _page(
    folder: Path,
    report: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
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
    drawn = [knob_svg(history, name, _scale(knob)) for name, knob in knobs.items()]
    return template.render(
        r=report,
        words=words,
        loss=loss_svg(history, _LOSS if metric == "val_loss" else metric),
        knobs=[picture for picture in drawn if picture is not None],
        names=list(knobs),
        schedule=report["schedule"][-_MOST_ROWS:],
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


def _rescues(history: Sequence[Mapping[str, Any]]) -> int:
    """How often it was taken back: rescues in a row are one."""
    doing = [line.get("doing") for line in history if "doing" in line]
    pairs = zip([None, *doing], doing, strict=False)
    return sum(now == "rescue" != before for before, now in pairs)


def _text(line: Mapping[str, Any]) -> str:
    if "refused" in line:
        return f"refused: {line['refused']}"
    return said(line["edit"])
