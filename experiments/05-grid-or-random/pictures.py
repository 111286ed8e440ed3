"""The pictures: which values each search tries, and what it comes to by trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chances import geometric
from markupsafe import Markup
from picture import STYLE, alone, beside
from results import SEARCHES, losses

from tunekit.report.axes import Axis
from tunekit.report.figures import Frame, chart, dots, line

__all__ = ["draw"]

_KINDS = {"grid": "#d9902f", "ends": "#8b97a2", "random": "#2f7fb8"}
_WIDTH, _HEIGHT = 460, 330
_RUG = 7.0
"""Height of a mark below a panel, in pixels."""
_FROM, _TO = 0.08, 2.4
"""Losses that are drawn, nats; what lies beyond is at the edge."""


def draw(report: Mapping[str, Any]) -> dict[str, str]:
    """Every picture by file name."""
    return {
        "values.svg": _values(report["example"]),
        "trials.svg": _trials(report),
    }


def _style() -> str:
    return STYLE + "".join(
        f".s-{kind}{{stroke:{colour};stroke-width:2.5}}"
        f".p-{kind}{{fill:{colour};fill-opacity:.75}}"
        for kind, colour in _KINDS.items()
    )


def _values(example: Mapping[str, Any]) -> str:
    """The same trials twice: where they lie, and what each value of lr comes to."""
    lr = Axis(title="learning rate (log scale)", scale="log", low=1e-4, high=1.0)
    eps = Axis(
        title="eps, which hardly matters (log scale)",
        scale="log",
        low=1e-10,
        high=1e-6,
    )
    loss = Axis(title="validation loss, nats", scale="log", low=_FROM, high=_TO)
    above, below = [], []
    for side, points in example["points"].items():
        tried = len({each["params"]["lr"] for each in points})
        frame = Frame(x=lr, y=eps, width=_WIDTH, height=_HEIGHT, font=13)
        told = [_place(each, "eps", side) for each in points]
        title = f"{side}: {len(points)} trials, {tried} values of lr"
        above.append(chart(frame, title, [dots(frame, told), _rug(frame, points)]))
        frame = Frame(x=lr, y=loss, width=_WIDTH, height=_HEIGHT, font=13)
        told = [_place(each, "val_loss", side) for each in points]
        best = min(each["val_loss"] for each in points)
        title = f"{side}: the lowest of {len(points)} is {best:.3f} nats"
        below.append(chart(frame, title, [dots(frame, told), _rug(frame, points)]))
    return alone(beside([*above, *below], 2, _WIDTH, _HEIGHT), _style())


def _place(
    each: Mapping[str, Any], what: str, side: str
) -> tuple[float, float, str, str]:
    params, loss = each["params"], each["val_loss"]
    height = loss if what == "val_loss" else params[what]
    return params["lr"], height, f"p-{side}", f"lr {params['lr']:.2g}: {loss:.4f} nats"


def _rug(frame: Frame, points: list[Mapping[str, Any]]) -> Markup:
    """A mark on the axis for every value of the learning rate that is tried."""
    marks = []
    for each in points:
        x, _ = frame.point(each["params"]["lr"], frame.y.low)
        marks.append(f"M{x:.1f} {frame.bottom:.1f}v-{_RUG:.0f}")
    return Markup('<path class="whisker" d="{}"/>').format("".join(marks))


def _trials(report: Mapping[str, Any]) -> str:
    """The mean best loss by trials, one panel a space, all on the same axes."""
    spaces = report["searches"]["spaces"]
    panels, every = [], [*_all_losses(report)]
    loss = Axis(
        title="lowest validation loss, nats",
        scale="log",
        low=0.96 * min(every),
        high=1.04 * max(every),
    )
    for space, of in spaces.items():
        names = len(of["useful"]) + len(of["useless"])
        sizes = [values**names for values in of["values"]]
        lines: dict[str, list[tuple[float, float]]] = {
            search: [(n, geometric(losses(report, space, search, n))) for n in sizes]
            for search in ("grid", "ends")
        }
        lines["random"] = [
            (n, geometric(losses(report, space, "random", n)))
            for n in range(min(sizes), max(sizes) + 1)
        ]
        frame = Frame(
            x=Axis(title="trials", scale="log", low=3, high=100),
            y=loss,
            width=_WIDTH,
            height=_HEIGHT,
            font=13,
        )
        marks = []
        for search, points in lines.items():
            marks.append(line(frame, points, f"s-{search}"))
            if search != "random":
                told = [(n, y, f"p-{search}", f"{n}: {y:.4f}") for n, y in points]
                marks.append(dots(frame, told))
        legend = [(f"s-{search}", name) for search, name in SEARCHES.items()]
        panels.append(chart(frame, space, marks, legend))
    return alone(beside(panels, 2, _WIDTH, _HEIGHT), _style())


def _all_losses(report: Mapping[str, Any]) -> Iterator[float]:
    """Every mean that is drawn but those of grids with ends, which may be anywhere."""
    for space, of in report["searches"]["spaces"].items():
        for values in of["values"]:
            n = values ** (len(of["useful"]) + len(of["useless"]))
            for search in ("grid", "random"):
                yield geometric(losses(report, space, search, n))
