"""How a search narrowed: its region over the trials, one picture per hyperparameter.

The sampler writes down the region of every moment at which its model was made anew (the
study's user attribute ``regions``). Here it is told in the units people read, and
drawn: across, the trials in the order in which they began; upwards, the hyperparameter
on its own scale; shaded, where the search looked for the best; every trial as a dot,
coloured by its loss.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tunekit.report import axes, figures, words
from tunekit.report.axes import Axis
from tunekit.report.figures import Frame
from tunekit.space import OneMinusLogUniform, Scale, Space

__all__ = ["legend", "pictures", "sentence", "told"]

_COLOURS = 8
"""Steps of the colour scale, each with equally many trials."""
_THIN = 3.0
"""The least height of a band, in pixels: a region of one value is seen, too."""
_MOST_TOLD = 4

Regions = list[dict[str, Any]]


def told(recorded: Sequence[Mapping[str, Any]], space: Space) -> Regions:
    """The regions of a study as people read them, in the order of time.

    Args:
        recorded: The study's user attribute ``regions``.
        space: The scales, which know what is stored of a value.

    Returns:
        One entry a moment: ``trials`` that had begun, and ``region``, by name the two
        ends of a range, or the choices that were left. Of several moments at one number
        of trials the last.

    Example:
        >>> from tunekit.space import OneMinusLogUniform
        >>> stored = {"trials": 9, "region": {"one_minus_momentum": [0.25, 0.5]}}
        >>> told([stored], Space({"momentum": OneMinusLogUniform(0.5, 0.99)}))
        [{'trials': 9, 'region': {'momentum': [0.5, 0.75]}}]
    """
    names = {each.stored_name(name): name for name, each in space.scales.items()}
    found: Regions = []
    for entry in recorded:
        region = {
            names.get(name, name): _human(space.scales.get(names.get(name, name)), kept)
            for name, kept in entry["region"].items()
        }
        begun = max(entry["trials"], found[-1]["trials"] if found else 0)
        if found and found[-1]["trials"] == begun:
            found.pop()
        found.append({"trials": begun, "region": region})
    return found


def sentence(report: Mapping[str, Any]) -> str:
    """What the search had narrowed to in the end, in plain words.

    Example:
        >>> lr = {"name": "lr", "scale": "log", "low": 1e-4, "high": 1e-2}
        >>> at_end = {"trials": 40, "region": {"lr": [1e-3, 1e-2]}}
        >>> sentence({"space": [lr], "regions": [at_end]})
        'After 40 trials it looked most at lr from 0.001 to 0.01.'
    """
    last = report["regions"][-1]
    shares: list[tuple[float, str]] = []
    for entry in report["space"]:
        kept = last["region"].get(entry["name"])
        if not kept:
            continue
        axis = _axis(entry)
        if entry["scale"] == "choices":
            share = len(kept) / max(1, len(entry["choices"]))
            text = " or ".join(axes.value_text(choice) for choice in kept)
        else:
            share = axis.place(kept[1]) - axis.place(kept[0])
            ends = [axes.value_text(end, entry["scale"]) for end in kept]
            text = f"from {ends[0]} to {ends[1]}" if share else ends[0]
        shares.append((share, f"{entry['name']} {text}"))
    narrow = [text for share, text in sorted(shares) if share < 0.9]
    begun = f"After {axes.count(last['trials'])} trials"
    if not narrow:
        return f"{begun} it still looked at the whole of every range."
    more = len(narrow) - _MOST_TOLD
    rest = f"; it had narrowed {more} more" if more > 0 else ""
    return f"{begun} it looked most at {', '.join(narrow[:_MOST_TOLD])}{rest}."


def pictures(
    report: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]
) -> list[Markup]:
    """The region over the trials, one picture per hyperparameter.

    Args:
        report: The content of ``report.json``.
        trials: Those of its trials that are drawn.

    Returns:
        SVG; none where the study has recorded no region.
    """
    regions = report["regions"]
    if not regions:
        return []
    edges = _edges(trials)
    begun = max([regions[-1]["trials"], *(trial["begun"] for trial in trials)])
    x = Axis(title="trials begun", scale="int", low=0, high=begun)
    drawn = []
    for entry in report["space"]:
        name = entry["name"]
        frame = Frame(x=x, y=_axis(entry), width=260, height=220, font=12)
        kept = [
            (each["trials"], each["region"][name])
            for each in regions
            if each["region"].get(name)
        ]
        marks = [_band(frame, kept)] if kept else []
        # The best are drawn last, on top.
        for trial in sorted(trials, key=lambda trial: -_rank(trial)):
            value = trial["params"].get(name)
            if value is not None:
                at = frame.point(trial["begun"], value)
                text = f"trial {trial['number']}: {axes.number(trial['val_loss'])}"
                marks.append(_dot(at, _kind(trial, edges), text))
        drawn.append(figures.chart(frame, name, marks))
    return drawn


def legend(trials: Sequence[Mapping[str, Any]]) -> Markup:
    """The colour scale of the dots: each colour has equally many of the trials."""
    edges, step, height = _edges(trials), 62, 54
    parts = [
        Markup('<text class="name" x="0" y="12">{}</text>').format(
            "validation loss (nats a row), the lowest of each trial"
        )
    ]
    for i in range(len(edges) - 1):
        parts.append(
            Markup('<rect class="q{}" x="{}" y="20" width="{}" height="10"/>').format(
                i * _COLOURS // (len(edges) - 1), 6 + i * step, step
            )
        )
    for i, edge in enumerate(edges):
        parts.append(
            Markup('<text class="middle" x="{}" y="46">{}</text>').format(
                max(18, 6 + i * step), axes.number(edge, 3)
            )
        )
    end = 6 + max(0, len(edges) - 1) * step + 40
    if any(trial["val_loss"] is None for trial in trials):
        parts.append(_dot((end, 25), "dot hollow", "no finite loss"))
        parts.append(
            Markup('<text class="name" x="{}" y="29">{}</text>').format(
                end + 9, "no finite loss"
            )
        )
    return Markup(
        '<svg viewBox="0 0 640 {0}" width="640" height="{0}" font-size="12" role="img"'
        ' aria-label="{1}">{2}</svg>'
    ).format(height, "Colours of validation losses", Markup("").join(parts))


def _human(scale: Scale | None, kept: Sequence[Any]) -> list[Any]:
    """Ends, the lower first, or choices, as people read them."""
    if scale is None:
        return [*kept]
    values = [scale.from_stored(each) for each in kept]
    return values[::-1] if isinstance(scale, OneMinusLogUniform) else values


def _axis(entry: Mapping[str, Any]) -> Axis:
    """The axis of a hyperparameter, as ``report.json`` lists it."""
    return Axis(
        title=words.SCALES.get(entry["scale"], entry["scale"]),
        scale=entry["scale"],
        low=entry.get("low", 0.0),
        high=entry.get("high", 1.0),
        choices=entry.get("choices", ()),
    )


def _band(frame: Frame, kept: Sequence[tuple[int, Sequence[Any]]]) -> Markup:
    """The region of one hyperparameter over the trials: at first all of it."""
    axis, choices = frame.y, frame.y.choices
    whole = choices if axis.scale == "choices" else (axis.low, axis.high)
    moments = [(0, whole), *kept]
    ends = [*(begun for begun, _ in moments[1:]), frame.x.high]
    boxes = []
    for (begun, region), end in zip(moments, ends, strict=True):
        if end <= begun:
            continue
        (left, _), (right, _) = (frame.point(n, whole[0]) for n in (begun, end))
        for top, bottom in _spans(frame, region):
            boxes.append(f"M{left:.1f} {top:.1f}H{right:.1f}V{bottom:.1f}H{left:.1f}Z")
    return Markup('<path class="band" d="{}"/>').format("".join(boxes))


def _spans(frame: Frame, region: Sequence[Any]) -> list[tuple[float, float]]:
    """Heights from and to which a region reaches: of choices, one a choice."""
    if frame.y.scale == "choices":
        half = 0.42 * (frame.bottom - frame.top) / max(1, len(frame.y.choices))
        middles = [frame.point(0, choice)[1] for choice in region]
        return [(middle - half, middle + half) for middle in middles]
    bottom, top = (frame.point(0, end)[1] for end in region)
    lack = max(0.0, _THIN - (bottom - top)) / 2
    return [(top - lack, bottom + lack)]


def _dot(at: tuple[float, float], kind: str, text: str) -> Markup:
    return Markup(
        '<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="3"><title>{}</title></circle>'
    ).format(kind, *at, text)


def _edges(trials: Sequence[Mapping[str, Any]]) -> list[float]:
    """Losses between the colours, the lowest first.

    Quantiles, so that a few very bad trials do not give all others one colour.
    """
    losses = sorted(t["val_loss"] for t in trials if t["val_loss"] is not None)
    if not losses:
        return []
    n = min(_COLOURS, len(losses))
    return [losses[min(i * len(losses) // n, len(losses) - 1)] for i in range(n + 1)]


def _kind(trial: Mapping[str, Any], edges: Sequence[float]) -> str:
    """The class of a trial's dot in the style sheet."""
    if trial["val_loss"] is None:
        return "dot hollow"
    bins = len(edges) - 1
    # Equal to the best is the best, however many are.
    best = trial["val_loss"] <= edges[0]
    step = 0 if best else bisect_right(edges[1:-1], trial["val_loss"])
    return f"dot q{step * _COLOURS // bins}"


def _rank(trial: Mapping[str, Any]) -> float:
    loss = trial["val_loss"]
    return float("inf") if loss is None else float(loss)
