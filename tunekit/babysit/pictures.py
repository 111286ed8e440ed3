"""A babysat model's history drawn: its losses, and each hyperparameter, by epochs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from tunekit.babysit.curves import BEST, LINE, TRIED, points
from tunekit.report.axes import Axis, value_text
from tunekit.report.figures import Frame, chart, dots, line, steps

__all__ = ["knob_svg", "loss_svg"]

_SPENT = "epochs trained in all, what was tried and given up among them"
_MOST = 1500
"""Points of a line; of a longer history, every so many."""
_LOG_FROM = 5.0
_SHOWN = 0.98
"""The largest losses, as those of branches that diverged, are drawn at the top."""


def loss_svg(history: Sequence[Mapping[str, Any]], loss: str) -> Markup:
    """The loss of the line, of what was given up, and the best so far.

    Args:
        history: Every round and edit, in order.
        loss: What the value is, with its unit.
    """
    found: dict[str, list[tuple[int, float]]] = {LINE: [], BEST: [], TRIED: []}
    for event in history:
        for run, step, values in points(event):
            if "loss/val" in values:
                found[run].append((step, values["loss/val"]))
    seen = sorted(value for run in found.values() for _, value in run) or [0.0, 1.0]
    low, high = seen[0], seen[int(_SHOWN * (len(seen) - 1))]
    scale = "log" if low > 0 and high > _LOG_FROM * low else "uniform"
    last = max((step for run in found.values() for step, _ in run), default=1)
    frame = Frame(
        x=Axis(title=_SPENT, low=0, high=last),
        y=Axis(title=loss, scale=scale, low=low, high=max(high, low + 1e-9)),
        width=860,
        height=360,
    )
    tried = [(step, value, "dot tried", f"{value:.4g}") for step, value in found[TRIED]]
    marks = [
        dots(frame, _thin(tried), radius=2.0),
        *_edits(frame, history),
        line(frame, _thin(found[LINE]), "train"),
        steps_line(frame, found[BEST], "val"),
    ]
    legend = [("train", "as it trained"), ("val", "best so far")]
    legend += [("tried", "tried and given up")] if tried else []
    legend += [("edit", "a person's edit")] if _edits(frame, history) else []
    return chart(frame, "Loss while the model was watched", marks, legend)


def knob_svg(
    history: Sequence[Mapping[str, Any]], name: str, scale: str
) -> Markup | None:
    """One hyperparameter as it changed; None where there is nothing to draw.

    Args:
        history: Every round and edit, in order.
        name: The hyperparameter.
        scale: Its scale, as axes know it.
    """
    tag = f"hyperparameter/{name}"
    found = [
        (step, values[tag])
        for event in history
        for run, step, values in points(event)
        if run == LINE and tag in values
    ]
    if not found:
        return None
    changes = [found[0]]
    changes += [b for a, b in pairwise(found) if b[1] != a[1]]
    low, high = min(v for _, v in found), max(v for _, v in found)
    if scale == "log" and low > 0:
        low, high = low / 1.5, high * 1.5
    elif scale == "one-minus-log":
        low, high = 1 - 1.5 * (1 - low), 1 - (1 - high) / 1.5
    else:
        low, high = low - 0.05, high + 0.05
    frame = Frame(
        x=Axis(title="epochs trained in all", low=0, high=found[-1][0]),
        y=Axis(title=name, scale=scale, low=low, high=high),
        width=420,
        height=260,
        font=13,
    )
    now = value_text(found[-1][1], scale)
    marks = [*_edits(frame, history), steps(frame, _thin(changes), "val")]
    return chart(frame, f"{name}, {now} at the end", marks)


def steps_line(frame: Frame, points: Sequence[tuple[int, float]], kind: str) -> Markup:
    """A stair without a dot at every step."""
    stairs: list[tuple[int, float]] = []
    for x, y in points:
        if stairs and y != stairs[-1][1]:
            stairs.append((x, stairs[-1][1]))
        if not stairs or y != stairs[-1][1]:
            stairs.append((x, y))
    if stairs and points:
        stairs.append((points[-1][0], stairs[-1][1]))
    return line(frame, stairs, kind)


def _edits(frame: Frame, history: Iterable[Mapping[str, Any]]) -> list[Markup]:
    """A line where a person stepped in."""
    return [
        Markup('<path class="edit" d="M{:.1f} {:.1f}V{:.1f}"/>').format(
            frame.point(event["spent"], frame.y.low)[0], frame.bottom, frame.top
        )
        for event in history
        if "edit" in event
    ]


def _thin(points: Sequence[Any]) -> list[Any]:
    every = math.ceil(len(points) / _MOST) or 1
    return [*points[::every], *points[-1:]] if every > 1 else list(points)
