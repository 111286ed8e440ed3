"""The pictures: how searches get better as they spend epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from picture import COLOURS, STYLE, alone

from tunekit.report.axes import Axis
from tunekit.report.figures import Frame, chart, line

__all__ = ["spending_svg"]

_OURS = "#c4472f"
_OTHERS = (*COLOURS[:5], "#7a4fa3", "#8b97a2", "#1d2329", "#a34f74")


def spending_svg(part: Mapping[str, Any], title: str, y: str, least: float) -> str:
    """A mean by epochs spent, one line a search, whiskers of one standard error.

    Args:
        part: With ``span`` (epochs) and, by search, ``mean`` and ``error``.
        title: What the picture shows.
        y: What the means are.
        least: Where the axis begins; what lies below is drawn there.
    """
    span, searches = part["span"], part["searches"]
    high = max(max(each["mean"]) for each in searches.values())
    low = max(least, min(min(each["mean"]) for each in searches.values()))
    frame = Frame(
        x=Axis(
            title="epochs trained, all trials together",
            scale="log",
            low=span[0],
            high=span[-1],
        ),
        y=Axis(title=y, scale="log", low=0.8 * low, high=1.1 * high),
        width=860,
        height=520,
        font=13,
    )
    marks, style = [], STYLE
    # The first of them, ours, is drawn last.
    for n, (search, each) in reversed([*enumerate(searches.items())]):
        colour = _OTHERS[(n - 1) % len(_OTHERS)] if n else _OURS
        kind, wide = f"s{n}", 2 if n else 4
        style += f".{kind}{{stroke:{colour};stroke-width:{wide}}}"
        marks.append(line(frame, zip(span, each["mean"], strict=True), kind))
        marks += [
            _whisker(frame, budget, each, place, kind, n)
            for place, budget in enumerate(span)
            if budget in part["budgets"]
        ]
        marks.append(_named(frame, n, len(searches), kind, search, each["runs"]))
    return alone(chart(frame, title, marks), style)


def _whisker(
    frame: Frame, budget: int, each: Mapping[str, Any], place: int, kind: str, n: int
) -> Markup:
    """Mean plus and minus one standard error; beside each other, not on each other."""
    mean, error = each["mean"][place], each["error"][place]
    x, low = frame.point(budget, max(frame.y.low, mean - error))
    _, high = frame.point(budget, mean + error)
    return Markup('<path class="{}" d="M{:.1f} {:.1f}V{:.1f}"/>').format(
        kind, x + 2.5 * ((n + 1) // 2 * (-1) ** n), low, high
    )


def _named(
    frame: Frame, n: int, count: int, kind: str, search: str, runs: int
) -> Markup:
    """A line of the legend, lower left, where no curve is."""
    x, y = frame.left + 14, frame.bottom - 12 - (count - 1 - n) * 1.4 * frame.font
    return Markup(
        '<path class="{}" d="M{:.1f} {:.1f}h22"/>'
        '<text class="name" x="{:.1f}" y="{:.1f}">{} ({} runs)</text>'
    ).format(kind, x, y - 4, x + 29, y, search, runs)
