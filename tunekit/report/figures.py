"""Pictures as SVG text: pure functions, no scripts, all text escaped.

A :class:`Frame` maps values to places; marks (lines, steps, dots) are drawn in it, and
:func:`chart` puts title, axes and ticks around them. Colours are classes of the page's
style sheet, so that a picture is right on light, dark and paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from tunekit.report.axes import Axis

__all__ = ["Bar", "Frame", "bars", "chart", "dots", "line", "steps"]

_CHAR = 0.56
"""Mean width of a character, in font sizes."""
_MOST_LETTERS = 12
"""Longer names of choices are cut beside an axis."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The place of a picture: its two axes, its size in pixels and that of its text."""

    x: Axis
    y: Axis
    width: int = 560
    height: int = 310
    font: int = 14

    @property
    def left(self) -> float:
        """Where the plot begins, right of the y axis' labels."""
        texts = [_short(text, _MOST_LETTERS) for _, text in self.y.ticks()]
        longest = max(map(len, texts), default=1)
        return (longest * _CHAR + 2.4) * self.font

    @property
    def right(self) -> float:
        """Where the plot ends."""
        last = len(self.x.ticks()[-1][1]) if self.x.scale != "choices" else 0
        return self.width - max(1.1, 0.5 * last * _CHAR + 0.2) * self.font

    @property
    def top(self) -> float:
        """Where the plot begins, below the title and the legend."""
        return 3.3 * self.font

    @property
    def bottom(self) -> float:
        """Where the plot ends, above the x axis' labels."""
        return self.height - 4.1 * self.font

    def point(self, x: Any, y: Any) -> tuple[float, float]:
        """Where a pair of values lies, in pixels."""
        return (
            self.left + self.x.place(x) * (self.right - self.left),
            self.bottom - self.y.place(y) * (self.bottom - self.top),
        )


def line(frame: Frame, points: Iterable[tuple[Any, float]], kind: str) -> Markup:
    """A line through ``points``; ``kind`` is its class in the style sheet."""
    places = [frame.point(x, y) for x, y in points]
    if len(places) == 1:
        (x, y) = places[0]
        return Markup('<circle class="{} dot" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(
            kind, x, y
        )
    return Markup('<polyline class="{}" points="{}"/>').format(
        kind, " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    )


def steps(frame: Frame, points: Sequence[tuple[Any, float]], kind: str) -> Markup:
    """A stair: each value holds until the next one, the last to the end of the axis."""
    stairs: list[tuple[Any, float]] = []
    for x, y in points:
        if stairs:
            stairs.append((x, stairs[-1][1]))
        stairs.append((x, y))
    if stairs:
        stairs.append((frame.x.high, stairs[-1][1]))
    corners = [
        Markup('<circle class="{} dot" cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(
            kind, *frame.point(x, y)
        )
        for x, y in points
    ]
    return Markup("").join([line(frame, stairs, kind), *corners])


def dots(
    frame: Frame, points: Iterable[tuple[Any, float, str, str]], radius: float = 3.2
) -> Markup:
    """One dot per (x, y, kind, label); the label shows where a pointer rests on it.

    Values of a list of choices are spread a little, by their order, so that they do not
    hide one another.
    """
    drawn = []
    band = (frame.right - frame.left) / max(1, len(frame.x.choices))
    for order, (value, y, kind, label) in enumerate(points):
        x, height = frame.point(value, y)
        if frame.x.scale == "choices":
            # Multiples of the golden ratio fill an interval evenly.
            x += (order * 0.618034 % 1 - 0.5) * 0.6 * band
        drawn.append(
            Markup(
                '<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title>'
                "</circle>"
            ).format(kind, x, height, radius, label)
        )
    return Markup("").join(drawn)


def chart(
    frame: Frame,
    title: str,
    marks: Iterable[str],
    legend: Sequence[tuple[str, str]] = (),
) -> Markup:
    """A picture: title, legend, axes with ticks and names, and the marks inside.

    Args:
        frame: Axes and size.
        title: What the picture shows.
        marks: What :func:`line`, :func:`steps` and :func:`dots` returned.
        legend: Pairs of a mark's class and what it stands for.

    Example:
        >>> frame = Frame(x=Axis(title="epoch"), y=Axis(title="a < b"))
        >>> "a &lt; b" in chart(frame, "loss", [line(frame, [(0, 0), (1, 1)], "val")])
        True
    """
    font, middle = frame.font, (frame.left + frame.right) / 2
    parts = [
        _text(frame.left, 1.2 * font, title, "title"),
        _legend(frame, legend),
        *_y_ticks(frame),
        *_x_ticks(frame),
        Markup('<path class="axis" d="M{:.1f} {:.1f}V{:.1f}H{:.1f}"/>').format(
            frame.left, frame.top, frame.bottom, frame.right
        ),
        *map(Markup, marks),
        _text(middle, frame.height - 0.5 * font, frame.x.title, "name middle"),
        Markup(
            '<text class="name middle" transform="translate({:.1f} {:.1f})'
            ' rotate(-90)">{}</text>'
        ).format(1.0 * font, (frame.top + frame.bottom) / 2, frame.y.title),
    ]
    return _svg(frame.width, frame.height, font, title, parts)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar: its label, length, the text at its end, and perhaps an interval."""

    label: str
    length: float
    text: str
    kind: str = "bar"
    interval: tuple[float, float] | None = None


def bars(
    title: str,
    name: str,
    rows: Sequence[Bar],
    *,
    most: float | None = None,
    width: int = 560,
) -> Markup:
    """Lying bars from zero, one below the other.

    Args:
        title: What the picture shows.
        name: What the lengths are, with their unit.
        rows: The bars, from the top.
        most: Where the picture ends: longer bars are drawn broken.
        width: The picture's width in pixels.
    """
    font, step = 13, 26
    labels = [_short(row.label, 26) for row in rows]
    left = max(map(len, labels), default=1) * _CHAR * font + 14
    room = width - left - max((len(row.text) for row in rows), default=1) * 0.62 * font
    room -= 12
    ends = [max(row.length, row.interval[1] if row.interval else 0) for row in rows]
    longest = max(ends, default=0) or 1.0
    scale = room / min(longest, most or longest)
    height = round(2.4 * font + step * len(rows) + 1.6 * font)
    parts = [_text(0, 1.2 * font, title, "title")]
    for order, (row, label, end) in enumerate(zip(rows, labels, ends, strict=True)):
        y = 2.2 * font + step * order
        baseline = y + 0.5 * step + 0.35 * font
        long = min(room, scale * row.length)
        parts += [
            _text(left - 8, baseline, label, "end"),
            Markup(
                '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{}"'
                ' rx="2"/>'
            ).format(row.kind, left, y + 4, max(1.0, long), step - 8),
            _text(left + min(room, scale * end) + 6, baseline, row.text, "value"),
        ]
        if scale * row.length > 1.001 * room:
            parts.append(
                Markup('<path class="cut" d="M{:.1f} {:.1f}l6 -{}"/>').format(
                    left + 0.9 * room, y + step - 1, step - 2
                )
            )
        if row.interval:
            low, high = (left + min(room, scale * share) for share in row.interval)
            parts.append(
                Markup(
                    '<path class="whisker" d="M{0:.1f} {2:.1f}H{1:.1f}M{0:.1f} {3:.1f}'
                    'v8M{1:.1f} {3:.1f}v8"/>'
                ).format(low, high, y + 0.5 * step, y + 0.5 * step - 4)
            )
    parts.append(_text(left, height - 0.4 * font, name, "name"))
    return _svg(width, height, font, title, parts)


def _svg(
    width: int, height: int, font: int, title: str, parts: Iterable[str]
) -> Markup:
    return Markup(
        '<svg viewBox="0 0 {} {}" width="{}" height="{}" font-size="{}" role="img"'
        ' aria-label="{}">{}</svg>'
    ).format(width, height, width, height, font, title, Markup("").join(parts))


def _text(x: float, y: float, text: str, kind: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(
        kind, x, y, escape(text)
    )


def _legend(frame: Frame, legend: Sequence[tuple[str, str]]) -> Markup:
    x, y = frame.left, 2.5 * frame.font
    parts = []
    for kind, text in legend:
        parts.append(
            Markup('<path class="{}" d="M{:.1f} {:.1f}h18"/>').format(kind, x, y - 4)
        )
        parts.append(_text(x + 23, y, text, "name"))
        x += 23 + (len(text) * _CHAR + 1.2) * frame.font
    return Markup("").join(parts)


def _y_ticks(frame: Frame) -> Iterable[Markup]:
    """Labels left of the y axis; one that would run into another is left out."""
    free = float("inf")
    for value, full in frame.y.ticks():
        _, y = frame.point(frame.x.low, value)
        if y > free:
            continue
        free, text = y - 1.1 * frame.font, _short(full, _MOST_LETTERS)
        yield Markup('<path class="grid" d="M{:.1f} {:.1f}H{:.1f}"/>').format(
            frame.left, y, frame.right
        )
        yield _text(frame.left - 6, y + 0.35 * frame.font, text, "end")


def _x_ticks(frame: Frame) -> Iterable[Markup]:
    """Labels below the x axis; those of choices in two rows where one is too short.

    A label that would run into another one is left out.
    """
    room = frame.right - frame.left
    for most in (8, 6, 5, 4, 3, 2):
        labels = frame.x.ticks(most)
        if sum((len(text) + 2) * _CHAR * frame.font for _, text in labels) <= room:
            break
    free = [0.0, 0.0] if frame.x.scale == "choices" else [0.0]
    for value, full in labels:
        text = _short(full, _MOST_LETTERS)
        x, _ = frame.point(value, frame.y.low)
        yield Markup('<path class="axis" d="M{:.1f} {:.1f}v4"/>').format(
            x, frame.bottom
        )
        half = 0.5 * (len(text) * _CHAR + 0.4) * frame.font
        for row, end in enumerate(free):
            if x - half >= end:
                free[row] = x + half
                y = frame.bottom + (1.25 + 0.95 * row) * frame.font
                yield _text(x, y, text, "middle")
                break


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
