"""The picture: to which class every point of a plane is given.

Inputs are normalised: an axis has its column's standard deviation as its unit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup
from picture import STYLE, alone, beside

from tunekit.report.axes import Axis
from tunekit.report.figures import Frame, chart, dots

__all__ = ["draw"]

_COLOURS = ("#1d3f72", "#d9902f", "#3aa38f")
_WIDTH, _HEIGHT = 420, 360
_STYLE = STYLE + "".join(
    f".k{n}{{fill:{colour};stroke:{colour};stroke-width:3}}"
    f".a{n}{{fill:{colour};opacity:0.28}}"
    for n, colour in enumerate(_COLOURS)
)
_COLUMNS = {
    "iris (petal length and width)": ("petal length", "petal width"),
    "wine (alcohol and flavanoids)": ("alcohol", "flavanoids"),
    "rings (made up)": ("across", "upwards"),
}
_TOLD = {"0": "no hidden layer", "1": "one hidden layer"}


def draw(report: Mapping[str, Any]) -> dict[str, str]:
    """A row without a hidden layer and one with it, a column a table."""
    planes = report["boundaries"]
    panels = [
        _plane(planes[name][layers][0], name, told)
        for layers, told in _TOLD.items()
        for name in planes
    ]
    svg = beside(panels, len(planes), _WIDTH, _HEIGHT)
    return {"boundaries.svg": alone(svg, _STYLE)}


def _plane(run: Mapping[str, Any], name: str, told: str) -> Markup:
    left, low, right, high = run["ends"]
    x, y = (f"{column} (standard deviations)" for column in _COLUMNS[name])
    frame = Frame(
        x=Axis(title=x, low=left, high=right),
        y=Axis(title=y, low=low, high=high),
        width=_WIDTH,
        height=_HEIGHT,
        font=13,
    )
    classes = sorted({row[2] for row in run["rows"]})
    points = dots(
        frame, ((x, y, f"k{k}", f"class {k}") for x, y, k in run["rows"]), 1.8
    )
    legend = [(f"k{k}", f"class {k}") for k in classes]
    return chart(frame, f"{name}: {told}", [*_areas(frame, run["map"]), points], legend)


def _areas(frame: Frame, rows: list[str]) -> Iterator[Markup]:
    """A rectangle for each stretch of one class in a row of points."""
    down, across = len(rows), len(rows[0])
    wide = (frame.right - frame.left) / across
    high = (frame.bottom - frame.top) / down
    for n, row in enumerate(rows):
        start = 0
        for place, some in itertools.groupby(row):
            count = len([*some])
            yield Markup(
                '<rect class="a{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" '
                'height="{:.1f}"/>'
            ).format(
                place,
                frame.left + start * wide,
                frame.bottom - (n + 1) * high,
                count * wide,
                high,
            )
            start += count
