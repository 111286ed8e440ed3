"""The pictures: contours; loss by learning rate; training curves at the best one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median
from typing import Any

from markupsafe import Markup
from picture import STYLE, alone, beside
from results import NETWORKS

from tunekit.report.axes import Axis
from tunekit.report.figures import Frame, chart, dots, line

__all__ = ["draw"]

_KINDS = {"raw": ("raw", "#c4472f"), "normalised": ("norm", "#1d3f72")}
_KINDS["tunekit's"] = ("robust", "#8aa832")
_WIDTH, _HEIGHT = 440, 270
_SQUARE = (480, 460)
_COLUMNS = ("mean texture", "radius error")
_UNITS = {"raw": "unit of the column", "normalised": "standard deviation"}
_LEVELS = (0.02, 0.1, 0.3, 0.7)
"""Of the drop from zero weights to the optimum."""
_STYLE = STYLE + ".ring{stroke:#8b97a2;stroke-width:1.5}"
_STYLE += "".join(
    f".{kind}{{stroke:{colour};stroke-width:2}}" for kind, colour in _KINDS.values()
)
_LEGEND = [(kind, form) for form, (kind, _) in _KINDS.items()]


def draw(report: Mapping[str, Any]) -> dict[str, str]:
    """Contours; and both others with a row a network and a column a table."""
    part = report["training"]
    tables = part["tables"]
    rates = [
        _rates(part["lrs"], each, name, network)
        for network in NETWORKS
        for name, each in tables.items()
    ]
    curves = [
        _curves(each, name, network)
        for network in NETWORKS
        for name, each in tables.items()
    ]
    cost = report["contours"]
    ways = [_contours(cost[form][0], form) for form in ("raw", "normalised")]
    return {
        "contours.svg": alone(beside(ways, 2, *_SQUARE), _STYLE),
    } | {
        name: alone(beside(panels, len(tables), _WIDTH, _HEIGHT), _STYLE)
        for name, panels in (("rates.svg", rates), ("curves.svg", curves))
    }


def _contours(run: Mapping[str, Any], form: str) -> Markup:
    """Ellipses of equal cost, and gradient descent's way; one scale for both axes."""
    (a, b), (_, d) = run["curvature"]
    x0, y0 = run["optimum"]
    rings = []
    for level in _LEVELS:
        # By the triangular factor of the curvature: its points have all the same cost.
        radius = math.sqrt(2 * level * run["drop"])
        root, rest = math.sqrt(a), math.sqrt(d - b * b / a)
        rings.append(
            [
                (
                    x0 + radius * (math.cos(t) - b / root * math.sin(t) / rest) / root,
                    y0 + radius * math.sin(t) / rest,
                )
                for t in (2 * math.pi * n / 90 for n in range(91))
            ]
        )
    way = run["two weights"]["way"]
    every = [*rings[-1], *way]
    low, high = min(y for _, y in every), max(y for _, y in every)
    room = 0.05 * (high - low)
    low, high = low - room, high + room
    titles = [f"weight of {name} (log odds per {_UNITS[form]})" for name in _COLUMNS]
    frame = Frame(
        x=Axis(title=titles[0]),
        y=Axis(title=titles[1], low=low, high=high),
        width=_SQUARE[0],
        height=_SQUARE[1],
        font=13,
    )
    unit = (high - low) / (frame.bottom - frame.top)
    middle = 0.5 * (min(x for x, _ in every) + max(x for x, _ in every))
    # As wide as the other axis has it; the frame's edges do not depend on this.
    half = 0.5 * unit * (frame.right - frame.left)
    frame = replace(
        frame, x=Axis(title=titles[0], low=middle - half, high=middle + half)
    )
    kind = _KINDS[form][0]
    marks = [line(frame, ring, "ring") for ring in rings]
    marks.append(line(frame, way, kind))
    marks.append(dots(frame, ((x, y, f"{kind} dot", "") for x, y in way), 2.2))
    legend = [("ring", "equal cost"), (kind, f"{len(way) - 1} steps of descent")]
    return chart(
        frame, f"The cost (nats) over two weights: {form} inputs", marks, legend
    )


def _rates(
    lrs: Sequence[float], of_table: Mapping[str, Any], name: str, network: str
) -> Markup:
    chance, runs = of_table["chance"], of_table[network]
    lines = {}
    for form in _KINDS:
        # What diverged, or ends above the classes' shares, is drawn at the top.
        losses = [
            median(
                min(2 * chance, 2 * chance if loss is None else loss)
                for loss in (run[form]["last"][place] for run in runs)
            )
            for place in range(len(lrs))
        ]
        lines[form] = list(zip(lrs, losses, strict=True))
    x = Axis(title="learning rate", scale="log", low=lrs[0], high=lrs[-1])
    return _chart(x, lines, 2 * chance, f"{name}: {network}")


def _curves(of_table: Mapping[str, Any], name: str, network: str) -> Markup:
    runs = of_table[network]
    lines = {}
    for form in _KINDS:
        curves = zip(*(run[form]["curve"] for run in runs), strict=True)
        lines[form] = [(epoch, fmean(each)) for epoch, each in enumerate(curves, 1)]
    last = max(epoch for epoch, _ in lines["raw"])
    x = Axis(title="epoch", scale="uniform", low=0, high=last)
    return _chart(x, lines, 2 * of_table["chance"], f"{name}: {network}")


def _chart(
    x: Axis,
    lines: Mapping[str, Sequence[tuple[float, float]]],
    high: float,
    title: str,
) -> Markup:
    low = min(y for each in lines.values() for _, y in each)
    frame = Frame(
        x=x,
        y=Axis(title="training loss (nats)", scale="log", low=0.8 * low, high=high),
        width=_WIDTH,
        height=_HEIGHT,
        font=13,
    )
    marks = [line(frame, each, _KINDS[form][0]) for form, each in lines.items()]
    return chart(frame, title, marks, _LEGEND)
