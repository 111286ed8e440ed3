"""The picture: what became of one model on each table, as its epochs were spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from picture import COLOURS, STYLE, alone

from tunekit.report.axes import Axis
from tunekit.report.figures import Frame, chart, line

__all__ = ["draw"]

_KINDS = {
    "babysat": ("s0", "babysat", COLOURS[5]),
    "too high": ("s1", "babysat, begun 30 times too high", COLOURS[4]),
    "cosine": ("s2", "cosine, the best of nine rates here", COLOURS[1]),
}
_HIGH = 3.0
"""Losses above so many times the lowest are drawn at the top."""


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
    lowest = min(loss for curve in curves.values() for _, loss in curve)
    frame = Frame(
        x=Axis(title="epochs trained in all, bursts counted", low=0, high=budget),
        y=Axis(
            title="validation loss (nats a row)",
            scale="log",
            low=0.95 * lowest,
            high=_HIGH * max(lowest, 1e-3),
        ),
        width=860,
        height=400,
        font=13,
    )
    marks, legend, style = [], [], STYLE
    for start, (kind, name, colour) in reversed(_KINDS.items()):
        key = next((key for key in curves if key.startswith(start)), None)
        if key is None:
            continue
        style += f".{kind}{{stroke:{colour};stroke-width:1.6}}"
        marks.append(line(frame, curves[key], kind))
        legend.append((kind, name))
    title = f"One model on {run['table']}, seed {run['seed']}, as it trained"
    return alone(chart(frame, title, marks, legend), style)
