"""A babysat model's history drawn: its losses, and each hyperparameter, by epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from tunekit.babysit.account import Account
from tunekit.babysit.way import BEST, LINE, TRIED
from tunekit.report.axes import Axis, value_text
from tunekit.report.figures import Frame, chart, dots, line, steps

__all__ = ["knob_svg", "loss_svg"]

_SPENT = "epochs trained in all, what was tried and given up among them"
_LOG_FROM = 5.0
_SHOWN = 0.98
"""The worst values, as those of branches that diverged, are drawn at the edge."""


def loss_svg(account: Account, words: str, loss: str, *, maximize: bool) -> Markup:
    """The loss of the line, of what was given up, and the best so far.

    Args:
        account: What the history tells.
        words: What the value is, as the title begins.
        loss: The same with its unit, for the axis.
        maximize: Whether higher values are better.
    """
    found = {
        run: account.losses[run].points if run in account.losses else []
        for run in (LINE, BEST, TRIED)
    }
    seen = sorted(value for run in found.values() for _, value in run) or [0.0, 1.0]
    end = len(seen) - 1
    low, high = seen[0], seen[int(_SHOWN * end)]
    if maximize:
        low, high = seen[math.ceil((1 - _SHOWN) * end)], seen[-1]
    scale = "log" if low > 0 and high > _LOG_FROM * low else "uniform"
    last = max((step for run in found.values() for step, _ in run), default=1)
    frame = Frame(
        x=Axis(title=_SPENT, low=0, high=last),
        y=Axis(title=loss, scale=scale, low=low, high=max(high, low + 1e-9)),
        width=860,
        height=360,
    )
    tried = [(step, value, "dot tried", f"{value:.4g}") for step, value in found[TRIED]]
    edits = _edits(frame, account)
    marks = [
        dots(frame, tried, radius=2.0),
        *edits,
        line(frame, found[LINE], "train"),
        steps_line(frame, found[BEST], "val"),
    ]
    legend = [("train", "as it trained"), ("val", "best so far")]
    legend += [("tried", "tried and given up")] if tried else []
    legend += [("edit", "a person's edit")] if edits else []
    return chart(frame, f"{words} while the model was watched", marks, legend)


def knob_svg(account: Account, name: str, scale: str) -> Markup | None:
    """One hyperparameter as it changed; None where there is nothing to draw.

    Args:
        account: What the history tells.
        name: The hyperparameter.
        scale: Its scale, as axes know it.
    """
    if name not in account.knobs:
        return None
    knob = account.knobs[name]
    low, high = knob.low, knob.high
    if scale == "log" and low > 0:
        low, high = low / 1.5, high * 1.5
    elif scale == "one-minus-log":
        low, high = 1 - 1.5 * (1 - low), 1 - (1 - high) / 1.5
    else:
        low, high = low - 0.05, high + 0.05
    last, value = knob.points[-1]
    # A rescue is drawn once it is over: a person may have stepped in meanwhile.
    last = max([last, *(edit["spent"] for edit in account.edits)])
    frame = Frame(
        x=Axis(title="epochs trained in all", low=0, high=last),
        y=Axis(title=name, scale=scale, low=low, high=high),
        width=420,
        height=260,
        font=13,
    )
    marks = [*_edits(frame, account), steps(frame, knob.points, "val")]
    return chart(frame, f"{name}, {value_text(value, scale)} at the end", marks)


def steps_line(frame: Frame, points: Sequence[tuple[int, float]], kind: str) -> Markup:
    """A stair without a dot at every step."""
    stairs: list[tuple[int, float]] = []
    for x, y in points:
        if stairs and y != stairs[-1][1]:
            stairs.append((x, stairs[-1][1]))
        if not stairs or y != stairs[-1][1]:
            stairs.append((x, y))
    if stairs and points:
        stairs.append((points[-1][0], stairs[-1][1]))
    return line(frame, stairs, kind)


def _edits(frame: Frame, account: Account) -> list[Markup]:
    """A line where a person stepped in."""
    return [
        Markup('<path class="edit" d="M{:.1f} {:.1f}V{:.1f}"/>').format(
            frame.point(edit["spent"], frame.y.low)[0], frame.bottom, frame.top
        )
        for edit in account.edits
        if not edit["refused"]
    ]
