"""The pictures: learning rates, training, test time, averages and divisors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, geometric_mean
from typing import Any

from markupsafe import Markup
from picture import COLOURS, STYLE, alone, beside

from tunekit.report.axes import Axis
from tunekit.report.figures import Frame, chart, line

__all__ = ["draw"]

_WIDTH, _HEIGHT = 470, 280
_KINDS = {"with": "c0", "without": "c5"}
_STYLE = STYLE + "".join(
    f".c{n}{{stroke:{colour};stroke-width:2}}" for n, colour in enumerate(COLOURS)
)
_LEGEND = [(kind, f"{side} batch norm") for side, kind in _KINDS.items()]

Points = Sequence[tuple[float, float]]


def draw(report: Mapping[str, Any]) -> dict[str, str]:
    """All of them."""
    rates = report["rates"]
    columns = len(rates["tables"])
    panels = {
        "rates.svg": (
            [
                make(rates, name)
                for make in (_steps, _curves)
                for name in rates["tables"]
            ],
            columns,
        ),
        "test-time.svg": ([_errors(report), _changes(report)], 2),
        "averages.svg": (
            [
                *(_averages(report, way) for way in ("from 0 and 1", "corrected")),
                *(_divisors(report, beta) for beta in ("0.9", "0.999")),
            ],
            2,
        ),
    }
    return {
        name: alone(beside(each, n, _WIDTH, _HEIGHT), _STYLE)
        for name, (each, n) in panels.items()
    }


def _steps(part: Mapping[str, Any], name: str) -> Markup:
    """Steps to the loss by learning rate, over the seeds that come to it."""
    lrs, sides = part["lrs"], part["tables"][name]
    lines: dict[str, list[tuple[float, float]]] = {}
    for side in _KINDS:
        runs = sides[side]
        lines[side] = []
        for place, lr in enumerate(lrs):
            steps = [run["steps"][0][place] for run in runs]
            if None not in steps:
                lines[side].append((lr, geometric_mean(steps)))
    return _chart(
        f"{name}: steps to a loss of {sides['aims'][0]:.2g} nats",
        Axis(title="learning rate", scale="log", low=lrs[0], high=lrs[-1]),
        Axis(title="steps", scale="log", low=part["look"], high=part["most"]),
        {_KINDS[side]: points for side, points in lines.items()},
        _LEGEND,
    )


def _curves(part: Mapping[str, Any], name: str) -> Markup:
    """Training loss of what ends lowest, geometric mean over seeds."""
    look, lines = part["look"], {}
    for side, kind in _KINDS.items():
        curves = zip(*(r["curve"] for r in part["tables"][name][side]), strict=True)
        lines[kind] = [
            (look * n, geometric_mean(losses)) for n, losses in enumerate(curves, 1)
        ]
    return _chart(
        f"{name}: the learning rate that ends lowest",
        Axis(title="steps", low=0, high=max(x for p in lines.values() for x, _ in p)),
        _log("training loss (nats)", lines),
        lines,
        _LEGEND,
    )


def _errors(report: Mapping[str, Any]) -> Markup:
    runs = report["test time"]["digits"]
    sizes = [key for key in runs[0] if key.isdigit()]
    error = fmean(run["running averages"]["error"] for run in runs)
    lines = {
        "c5": [(int(s), 100 * fmean(r[s]["error"] for r in runs)) for s in sizes],
        "c0": [(int(s), 100 * error) for s in sizes],
    }
    return _chart(
        "Test error by the statistics of the rows predicted",
        Axis(title="rows at a time", scale="log", low=1, high=int(sizes[-1])),
        _log("test error (%)", lines),
        lines,
        [("c5", "their own"), ("c0", "running averages")],
    )


def _changes(report: Mapping[str, Any]) -> Markup:
    runs = report["test time"]["digits"]
    sizes = [key for key in runs[0] if key.isdigit()]
    lines = {
        "c5": [(int(s), 100 * fmean(r[s]["changed"] for r in runs)) for s in sizes],
        "c0": [(int(s), 0.0) for s in sizes],
    }
    return _chart(
        "Rows whose class changes with their neighbours",
        Axis(title="rows at a time", scale="log", low=1, high=int(sizes[-1])),
        Axis(title="share of rows (%)", low=0, high=100),
        lines,
        [("c5", "their own"), ("c0", "running averages")],
    )


def _averages(report: Mapping[str, Any], way: str) -> Markup:
    part = report["momentum"]
    runs, steps = part["digits"], part["steps"]
    lines, legend = {}, []
    for n, beta in enumerate(runs[0][0][way]):
        kind = f"c{(0, 2, 4, 5)[n]}"
        means = [
            geometric_mean([r[k][way][beta] for r in runs]) for k in range(len(steps))
        ]
        lines[kind] = list(zip(steps, means, strict=True))
        legend.append((kind, f"beta {beta}"))
    told = "not corrected (from 0 and 1)" if way != "corrected" else "bias corrected"
    return _chart(
        f"Running averages, {told}",
        Axis(title="steps trained", scale="log", low=steps[0], high=steps[-1]),
        _log("test loss (nats)", lines),
        lines,
        legend,
    )


def _divisors(report: Mapping[str, Any], beta: str) -> Markup:
    part = report["variance"]
    lines = {}
    for kind, key in (("c5", f"{beta}, m"), ("c0", f"{beta}, m - 1")):
        lines[kind] = [
            (int(size), geometric_mean([run[key] for run in runs]))
            for size, runs in part.items()
        ]
    sizes = [int(size) for size in part]
    return _chart(
        f"What the running variance is divided by, beta {beta}",
        Axis(title="rows of a batch, m", scale="int-log", low=sizes[0], high=sizes[-1]),
        _log("test loss (nats)", lines),
        lines,
        [("c5", "m"), ("c0", "m - 1")],
    )


def _log(title: str, lines: Mapping[str, Points]) -> Axis:
    every = [y for points in lines.values() for _, y in points if math.isfinite(y)]
    return Axis(title=title, scale="log", low=0.8 * min(every), high=1.2 * max(every))


def _chart(
    title: str,
    x: Axis,
    y: Axis,
    lines: Mapping[str, Points],
    legend: Sequence[tuple[str, str]],
) -> Markup:
    frame = Frame(x=x, y=y, width=_WIDTH, height=_HEIGHT, font=13)
    marks = [line(frame, points, kind) for kind, points in lines.items() if points]
    return chart(frame, title, marks, legend)
