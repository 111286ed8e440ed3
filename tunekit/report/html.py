"""``report.html``: one page, no scripts, nothing loaded from anywhere.

The page's order and words stand in ``template.html``; here its tables and pictures are
made. Everything from data goes through Jinja's autoescape or markupsafe, and control
characters are shown as Python writes them: a page is also read in a terminal.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import PurePath
from typing import Any
from unicodedata import category

import jinja2
from markupsafe import Markup

from tunekit.errors import one_line
from tunekit.report import axes, figures, narrowing, words
from tunekit.report.axes import Axis
from tunekit.report.figures import Bar, Frame

__all__ = ["render"]

_LOSS = "validation loss (nats a row)"
_MOST_CLASSES = 30
_MOST_DOTS = 300
_MOST_COLUMNS = 40
_LOG_FROM = 5.0
"""A loss axis is logarithmic where the largest is so many times the smallest."""


def render(report: Mapping[str, Any]) -> str:
    """The page for what ``report.json`` holds.

    Args:
        report: What :func:`tunekit.report.build` returned, or ``report.json`` loaded.

    Returns:
        HTML with its style and pictures inside.
    """
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
    )
    environment.filters.update(
        number=axes.number,
        count=axes.count,
        percent=axes.percent,
        duration=axes.duration,
        value=axes.value_text,
    )
    template = resources.files("tunekit.report").joinpath("template.html")
    page = environment.from_string(template.read_text(encoding="utf-8"))
    return page.render(
        r=report,
        words=words,
        folder=_shell(report["folder"]),
        tb=_shell(str(PurePath(report["folder"]) / "tb")),
        model=str(PurePath(report["folder"]) / "model"),
        scales={entry["name"]: entry["scale"] for entry in report["space"]},
        kinds=Counter(column["kind"] for column in report["data"]["columns"]),
        remarkable=_remarkable(report["data"]["columns"]),
        baseline_bars=_baseline_bars(report),
        history=_history(report),
        importance=_importance(report),
        dots=_dots(report),
        narrowing=_narrowing(report),
        curves=_curves(report),
        confusion=_confusion(report),
    )


def _visible(value: Any) -> Any:
    """What the page shows of a value: of text, no characters that nobody sees.

    Line ends stay, and every kind of space.
    """
    if not isinstance(value, str):
        return value
    shown = "".join(
        char if char == "\n" or category(char) == "Zs" else one_line(char)
        for char in value
    )
    return Markup(shown) if isinstance(value, Markup) else shown


def _shell(path: str) -> str:
    return shlex.quote(path)


def _remarkable(columns: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Columns with missing cells or a note: the ones a reader may want to look at."""
    found = [c for c in columns if c.get("missing") or c.get("note")]
    return found[:_MOST_COLUMNS]


def _loss_axis(losses: Sequence[float], title: str = _LOSS) -> Axis:
    """An axis over losses with a little room at both ends."""
    low, high = min(losses), max(losses)
    if low > 0 and high / low > _LOG_FROM:
        return Axis(title=title, scale="log", low=low / 1.1, high=high * 1.1)
    room = 0.06 * (high - low) or abs(high) * 0.05 or 1.0
    floor = 0.0 if low >= 0 else -float("inf")
    return Axis(title=title, low=max(floor, low - room), high=high + room)


def _baseline_bars(report: Mapping[str, Any]) -> Markup | None:
    test = report["test"]
    if not test:
        return None
    low, high = test["error_interval"]
    rows = [
        Bar(
            label="tuned network",
            length=test["error"],
            text=axes.percent(test["error"]),
            kind="bar best",
            interval=(low, high),
        )
    ]
    for name, figure in (report["baselines"] or {}).items():
        error = figure["error"]
        rows.append(Bar(label=name, length=error, text=axes.percent(error)))
    # The majority class is often so far off that it would hide what is close together.
    others = sorted(row.length for row in rows)[:-1]
    return figures.bars(
        "Wrong answers on the test rows",
        "share of rows wrong",
        rows,
        most=1.6 * max(high, *others) if others else None,
    )


def _history(report: Mapping[str, Any]) -> Markup | None:
    history = report["history"]
    if not history:
        return None
    frame = Frame(
        x=Axis(
            title="epochs trained, all configurations together",
            scale="int",
            high=max(report["epochs_trained"], 1),
        ),
        y=_loss_axis([loss for _, loss in history]),
    )
    return figures.chart(
        frame, "Lowest validation loss so far", [figures.steps(frame, history, "val")]
    )


def _importance(report: Mapping[str, Any]) -> Markup | None:
    if not report["importance"]:
        return None
    rows = [
        Bar(label=name, length=share, text=axes.percent(share))
        for name, share in report["importance"]
    ]
    return figures.bars("What set the best apart", "share of importance", rows)


def _dots(report: Mapping[str, Any]) -> list[Markup]:
    """A small picture per hyperparameter: every trial's loss against its value."""
    trials = _thinned([t for t in report["trial_list"] if t["val_loss"] is not None])
    if not trials:
        return []
    y = _loss_axis([trial["val_loss"] for trial in trials], "validation loss")
    best = report["best"]["number"]
    pictures = []
    for entry in report["space"]:
        name = entry["name"]
        x = Axis(
            title=words.SCALES.get(entry["scale"], entry["scale"]),
            scale=entry["scale"],
            low=entry.get("low", 0.0),
            high=entry.get("high", 1.0),
            choices=entry.get("choices", ()),
        )
        frame = Frame(x=x, y=y, width=260, height=210, font=12)
        points = [
            (
                trial["params"][name],
                trial["val_loss"],
                "dot best" if trial["number"] == best else f"dot {trial['state']}",
                f"trial {trial['number']}: {axes.number(trial['val_loss'])} at "
                f"{axes.value_text(trial['params'][name], entry['scale'])}",
            )
            # The best is drawn last, on top.
            for trial in reversed(trials)
            if name in trial["params"]
        ]
        pictures.append(figures.chart(frame, name, [figures.dots(frame, points)]))
    return pictures


def _narrowing(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """How the search narrowed, where that was recorded."""
    valued = [t for t in report["trial_list"] if t["val_loss"] is not None]
    others = [t for t in report["trial_list"] if t["val_loss"] is None]
    trials = _thinned(valued) + others[: _MOST_DOTS // 6]
    pictures = narrowing.pictures(report, trials)
    if not pictures:
        return None
    return {
        "pictures": pictures,
        "legend": narrowing.legend(trials),
        "sentence": narrowing.sentence(report),
    }


def _thinned(trials: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The best third of what there is room for, and an even sample of the others."""
    ranked = sorted(trials, key=lambda trial: trial["val_loss"])
    if len(ranked) <= _MOST_DOTS:
        return ranked
    kept = _MOST_DOTS // 3
    others, room = ranked[kept:], _MOST_DOTS - kept
    return ranked[:kept] + [others[i * len(others) // room] for i in range(room)]


def _curves(report: Mapping[str, Any]) -> Markup | None:
    """Loss by epoch: the winner's with every seed, or the best trial's so far."""
    if report["winner"]:
        seeds = report["winner"]["seeds"]
        saved = report["model"]["seed"]
        lines = []
        for seed in sorted(seeds, key=lambda seed: bool(seed["seed"] == saved)):
            weight = "" if seed["seed"] == saved else " thin"
            for kind, column in (("train", 1), ("val", 2)):
                points = [(point[0], point[column]) for point in seed["curve"]]
                lines.append((kind + weight, points))
        legend = [("train", "training rows"), ("val", "validation rows")]
        title = "Loss of the winning configuration"
    else:
        lines, legend = [("val", report["best_curve"])], [("val", "validation rows")]
        title = "Loss of the best trial so far"
    lines = [
        (kind, [(epoch, loss) for epoch, loss in points if loss is not None])
        for kind, points in lines
    ]
    lines = [(kind, points) for kind, points in lines if points]
    if not lines:
        return None
    every = [point for _, points in lines for point in points]
    frame = Frame(
        x=Axis(title="epoch", scale="int", high=max(epoch for epoch, _ in every)),
        y=_loss_axis([loss for _, loss in every], "loss (nats a row)"),
    )
    marks = [figures.line(frame, points, kind) for kind, points in lines]
    return figures.chart(frame, title, marks, legend)


def _confusion(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The confusion matrix as rows of coloured counts, and what is mixed up most."""
    if not report["test"]:
        return None
    names = [str(name) for name in report["data"]["class_names"]]
    shown = len(names) <= _MOST_CLASSES
    rows = []
    for true, counts in enumerate(report["confusion"] if shown else []):
        total = sum(counts)
        cells = []
        for predicted, n in enumerate(counts):
            share = n / total if total else 0.0
            # Ten depths; a single row that went wrong is still seen.
            depth = min(9, int(share * 10)) if n else None
            cells.append({"count": n, "depth": depth, "right": true == predicted})
        rows.append({"name": names[true], "cells": cells})
    pairs = report["most_confused"][: 5 if shown else 20]
    return {"names": names, "rows": rows, "pairs": pairs}
