"""The pictures: importance by hyperparameter and of the rest, a dot a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from picture import STYLE, alone
from results import NOTHING, REST, by_importance, samples

from tunekit.report.axes import Axis
from tunekit.report.figures import Frame, chart, dots

__all__ = ["draw"]

_STYLE = STYLE + (
    ".along{fill:#d9902f}.real{fill:#2f7fb8}.mean{stroke:#1d2329;stroke-width:2.5}"
    # A legend is drawn with lines.
    "path.along{stroke:#d9902f;stroke-width:7}path.real{stroke:#2f7fb8;stroke-width:7}"
)


def draw(report: Mapping[str, Any]) -> dict[str, str]:
    """One picture an optimizer."""
    return {
        f"{optimizer}.svg": _importance(report, optimizer)
        for optimizer in ("sgd", "adam")
    }


def _importance(report: Mapping[str, Any], optimizer: str) -> str:
    names = [*by_importance(report, optimizer), NOTHING, REST]
    tables = report[optimizer]["tables"]
    highest = max(max(samples(report, optimizer, name)) for name in names)
    frame = Frame(
        x=Axis(title="hyperparameter", scale="choices", choices=names),
        y=Axis(title="part of the variance (fANOVA)", high=1.05 * highest),
        width=860,
        height=420,
        font=13,
    )
    marks: list[Markup] = []
    for name in names:
        found = samples(report, optimizer, name)
        points = [
            (name, part, "along" if each["comes along"] else "real", table)
            for part, (table, each) in zip(found, tables.items(), strict=True)
        ]
        marks += [dots(frame, points, 4), _mean(frame, names, name, found)]
    kinds = {"along": "tables that come along", "real": "real tables"}
    there = {"along" if each["comes along"] else "real" for each in tables.values()}
    legend = [(kind, text) for kind, text in kinds.items() if kind in there]
    title = f"What the loss hangs on under {optimizer}, table by table"
    return alone(
        chart(frame, title, marks, [*legend, ("mean", "mean of the tables")]), _STYLE
    )


def _mean(frame: Frame, names: list[str], name: str, found: list[float]) -> Markup:
    x, y = frame.point(name, sum(found) / len(found))
    half = 0.36 * (frame.right - frame.left) / len(names)
    return Markup('<path class="mean" d="M{:.1f} {:.1f}h{:.1f}"/>').format(
        x - half, y, 2 * half
    )
