"""The pictures: the best loss by epochs spent, and the region as it closes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chances import geometric
from markupsafe import Markup
from picture import STYLE, alone, beside
from results import PRUNERS, SAMPLERS, lowest

from tunekit.report import narrowing
from tunekit.report.axes import Axis
from tunekit.report.figures import Frame, chart, line

__all__ = ["draw"]

_COLOURS = dict(zip(SAMPLERS, ("#c4472f", "#8aa832", "#2f7fb8"), strict=True))
_WIDTH, _HEIGHT = 450, 300
_POINTS = 60
_STEPS = (
    *("#00204c", "#12396e", "#434e6c", "#666970"),
    *("#8a8779", "#b0a573", "#d6c762", "#fde737"),
)
"""Colours of losses, the lowest first, as in a study's report."""
_SMALL = (260, 220)
"""The size of a picture of the region."""


def draw(report: Mapping[str, Any]) -> dict[str, str]:
    """Every picture by file name."""
    part = report["searches"]
    drawn = {"epochs.svg": _epochs(part)}
    if part["example"]:
        drawn["region.svg"] = _region(part["example"])
    return drawn


def _epochs(part: Mapping[str, Any]) -> str:
    """The mean best loss by epochs, one panel a table and way of training."""
    first = max(run["history"][0][0] for run in part["runs"])
    budgets = sorted(
        {
            round(first * (part["budget"] / first) ** (i / _POINTS))
            for i in range(_POINTS + 1)
        }
    )
    names = [*dict.fromkeys(run["table"] for run in part["runs"])]
    panels = []
    for pruner, how in PRUNERS.items():
        for name in names:
            lines = {
                sampler: [(b, _mean(part, (name, pruner, sampler), b)) for b in budgets]
                for sampler in SAMPLERS
            }
            every = [loss for points in lines.values() for _, loss in points]
            frame = Frame(
                x=Axis(
                    title="epochs trained, all trials together",
                    scale="log",
                    low=budgets[0],
                    high=part["budget"],
                ),
                y=Axis(
                    title="lowest validation loss, nats",
                    scale="log",
                    low=0.93 * min(every),
                    high=1.07 * max(every),
                ),
                width=_WIDTH,
                height=_HEIGHT,
                font=13,
            )
            marks = [line(frame, points, f"s-{each}") for each, points in lines.items()]
            legend = [(f"s-{each}", name) for each, name in SAMPLERS.items()]
            panels.append(chart(frame, f"{name}, {how}", marks, legend))
    style = STYLE + "".join(
        f".s-{each}{{stroke:{colour};stroke-width:2.5}}"
        for each, colour in _COLOURS.items()
    )
    return alone(beside(panels, len(names), _WIDTH, _HEIGHT), style)


def _region(example: Mapping[str, Any]) -> str:
    """The region over the trials, one panel a hyperparameter, losses as colours."""
    panels = [*narrowing.pictures(example, example["trials"])]
    # The legend is wider than a panel: it begins a row of its own.
    panels += [Markup("")] * (-len(panels) % 4)
    style = (
        STYLE
        + ".band{fill:#2467a8;fill-opacity:.16}"
        + "".join(f".q{n}{{fill:{colour}}}" for n, colour in enumerate(_STEPS))
    )
    legend = narrowing.legend(example["trials"])
    return alone(beside([*panels, legend], 4, *_SMALL), style)


def _mean(part: Mapping[str, Any], which: tuple[str, str, str], budget: int) -> float:
    return geometric(
        lowest(run, budget)
        for run in part["runs"]
        if (run["table"], run["pruner"], run["sampler"]) == which
    )
