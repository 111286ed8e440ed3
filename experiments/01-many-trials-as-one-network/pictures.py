"""The pictures: how cost grows, and what each contestant takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from picture import COLOURS, STYLE, alone

from tunekit.report.axes import Axis
from tunekit.report.figures import Bar, Frame, bars, chart, line

__all__ = ["growth_svg", "seconds_svg"]


def growth_svg(growth: Mapping[str, Any]) -> str:
    """Milliseconds per trial-epoch by trials at once, one line a width; log axes."""
    cells = growth["cells"]
    ks = sorted({cell["k"] for cell in cells})
    widths = sorted({cell["width"] for cell in cells})
    ms = [cell["ms"] for cell in cells]
    frame = Frame(
        x=Axis(title="trials open at once, K", scale="int-log", low=ks[0], high=ks[-1]),
        y=Axis(
            title="ms per trial-epoch",
            scale="log",
            low=min(ms) / 1.15,
            high=max(ms) * 1.15,
        ),
        width=680,
        height=420,
        font=13,
    )
    marks, legend, style = [], [], STYLE
    for colour, width in zip(COLOURS, widths, strict=False):
        kind = f"w{width}"
        style += f".{kind}{{stroke:{colour};stroke-width:2}}"
        points = [(cell["k"], cell["ms"]) for cell in cells if cell["width"] == width]
        marks.append(line(frame, sorted(points), kind))
        legend.append((kind, f"width {width}"))
    title = "Digits, 2 hidden layers, batches of 64, AdamW, dropout 0.1"
    return alone(chart(frame, title, marks, legend), style)


def seconds_svg(report: Mapping[str, Any], loads: tuple[str, ...]) -> str:
    """Seconds of the search: one bar a load and contestant, whiskers min to max."""
    rows = []
    for load in loads:
        for name, each in report.get(load, {}).get("contestants", {}).items():
            if "subset" in name:
                continue
            spread = each["seconds_search"]
            rows.append(
                Bar(
                    label=f"{load} {name}",
                    length=spread["median"],
                    text=f"{spread['median']:.1f} s",
                    kind="bar best" if name == "vectorized" else "bar",
                    interval=(spread["min"], spread["max"]),
                )
            )
    name = "seconds of the search (median; whiskers: least and most)"
    title = "The same configurations, trained by each"
    return alone(bars(title, name, rows, width=680), STYLE)
