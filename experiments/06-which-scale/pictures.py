"""The pictures: where draws lie on each scale, and what the best of n comes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chances import geometric
from markupsafe import Markup
from picture import STYLE, alone, beside
from results import OF, bests, good_below

from tunekit.report.axes import Axis
from tunekit.report.figures import Frame, chart, dots, line

__all__ = ["draw"]

_COLOURS = {"linear": "#d9902f", "log": "#3aa38f", "1-x": "#2f7fb8"}
_AXES = {"log": "log", "1-x": "one-minus-log"}
_WIDTH, _HEIGHT = 440, 280
_RUG = 8
"""Height of a mark below a panel, in pixels."""


def draw(report: Mapping[str, Any]) -> dict[str, str]:
    """Every picture by file name."""
    return {"draws.svg": _draws(report["draws"]), "best.svg": _best(report)}


def _kind(scale: str) -> str:
    return f"s-{scale}"


def _style() -> str:
    return STYLE + "".join(
        f".{_kind(scale)}{{stroke:{colour};stroke-width:2.5}}"
        f".good-{scale}{{fill:{colour}}}"
        f".poor-{scale}{{fill:#fff;stroke:{colour};stroke-width:1.5}}"
        for scale, colour in _COLOURS.items()
    )


def _draws(part: Mapping[str, Any]) -> str:
    """Draws on two scales, seen on the right one; those of one seed and rate."""
    first = part["seeds"][0]
    panels = []
    for key, of in part["subjects"].items():
        if key.endswith(", wide"):
            continue
        rates = [*first["losses"][key]]
        rate = rates[len(rates) // 2]
        losses, values = first["losses"][key][rate], first["values"][key][rate]
        every = [loss for scale in of["scales"] for loss in losses[scale]]
        at = of["optimizer"] if of["name"] == "lr" else f"learning rate {rate}"
        for scale in ("linear", of["right"]):
            frame = Frame(
                x=Axis(
                    title=f"{of['name']} ({of['right']} scale)",
                    scale=_AXES[of["right"]],
                    low=of["low"],
                    high=of["high"],
                ),
                y=Axis(
                    title="validation loss, nats",
                    scale="log",
                    low=0.93 * min(every),
                    high=1.07 * max(every),
                ),
                width=_WIDTH,
                height=_HEIGHT,
                font=13,
            )
            limit = good_below(losses)
            points = [
                (
                    value,
                    loss,
                    f"{'good' if loss <= limit else 'poor'}-{scale}",
                    f"{value:.4g}: {loss:.4f} nats",
                )
                for value, loss in zip(values[scale], losses[scale], strict=True)
            ]
            good = sum(loss <= limit for _, loss, _, _ in points)
            title = f"drawn {scale}, {at}: {good} of {len(points)} good"
            marks = [_rug(frame, scale, values[scale]), dots(frame, points, 3.6)]
            panels.append(chart(frame, title, marks))
    return alone(beside(panels, 2, _WIDTH, _HEIGHT), _style())


def _rug(frame: Frame, scale: str, values: list[float]) -> Markup:
    """A mark on the axis for every draw."""
    places = (frame.point(value, frame.y.low)[0] for value in values)
    path = "".join(f"M{x:.1f} {frame.bottom:.1f}v-{_RUG}" for x in places)
    return Markup('<path class="{}" d="{}"/>').format(_kind(scale), path)


def _best(report: Mapping[str, Any]) -> str:
    """The mean loss of the best of n, one panel a hyperparameter and range."""
    panels = []
    for key, of in report["draws"]["subjects"].items():
        fewest = min(
            len(losses)
            for scales in report["draws"]["seeds"][0]["losses"][key].values()
            for losses in scales.values()
        )
        lines = {
            scale: [
                (n, geometric(bests(report, key, scale, n)))
                for n in range(1, min(fewest, max(OF)) + 1)
            ]
            for scale in of["scales"]
        }
        every = [loss for points in lines.values() for _, loss in points]
        frame = Frame(
            x=Axis(title="draws", scale="log", low=1, high=max(OF)),
            y=Axis(
                title="best validation loss, nats",
                scale="log",
                low=0.96 * min(every),
                high=1.04 * max(every),
            ),
            width=_WIDTH,
            height=_HEIGHT,
            font=13,
        )
        marks = [line(frame, points, _kind(scale)) for scale, points in lines.items()]
        legend = [(_kind(scale), scale) for scale in of["scales"]]
        title = f"{key} ({of['low']:g} to {of['high']:g})"
        panels.append(chart(frame, title, marks, legend))
    return alone(beside(panels, 2, _WIDTH, _HEIGHT), _style())
