"""The picture: what became of one model on each table, as its epochs were spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from picture import COLOURS, STYLE, alone

from tunekit.report.axes import Axis
from tunekit.report.figures import Frame, chart, line

__all__ = ["draw"]

_KINDS = {
    "babysat": ("s0", "babysat", COLOURS[5]),
    "too high": ("s1", "babysat, begun 30 times too high", COLOURS[4]),
    "cosine": ("s2", "cosine, the best of nine rates here", COLOURS[1]),
    "many": ("s3", "a search of many, as large: the best so far", COLOURS[2]),
}
_SHOWN = 0.95
"""The share of each curve's losses that has room; higher ones are at the upper edge."""


def draw(report: Mapping[str, Any]) -> dict[str, str]:
    """One picture a table, of the first seed."""
    watched = {
        run["table"]: run["curves"]
        for run in report["babysat"]["runs"]
        if "curves" in run
    }
    found = {}
    for run in report["schedules"]["runs"]:
        if "curves" in run:
            curves = {**run["curves"], **watched[run["table"]]}
            found[f"{run['table']}.svg"] = _curves(
                {**run, "curves": curves}, report["schedules"]["budget"]
            )
    return found


def _curves(run: Mapping[str, Any], budget: int) -> str:
    curves = run["curves"]
    drawn = {
        start: next((curves[key] for key in curves if key.startswith(start)), [])
        for start in _KINDS
    }
    losses = [sorted(loss for _, loss in curve) for curve in drawn.values() if curve]
    lowest = min(each[0] for each in losses)
    highest = max(each[int(_SHOWN * (len(each) - 1))] for each in losses)
    frame = Frame(
        x=Axis(title="epochs trained in all, bursts counted", low=0, high=budget),
        y=Axis(
            title="validation loss (nats a row)",
            scale="log",
            low=0.95 * lowest,
            high=1.05 * highest,
        ),
        width=860,
        height=400,
        font=13,
    )
    marks, legend, style = [], [], STYLE
    for start, (kind, name, colour) in reversed(_KINDS.items()):
        style += f".{kind}{{stroke:{colour};stroke-width:1.6}}"
        points = drawn[start]
        if start == "many":
            points = _steps(points, budget)
        marks.append(line(frame, points, kind))
        legend.append((kind, name))
    title = f"One model on {run['table']}, seed {run['seed']}, as it trained"
    return alone(chart(frame, title, marks, legend), style)


def _steps(points: Sequence[Sequence[float]], end: int) -> list[list[float]]:
    """The best so far, which stays until there is a better."""
    found: list[list[float]] = []
    for spent, loss in points:
        if found:
            found.append([spent, found[-1][1]])
        found.append([spent, loss])
    return [*found, [end, found[-1][1]]] if found else []
