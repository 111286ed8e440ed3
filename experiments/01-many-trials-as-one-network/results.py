"""The tables of README.md, made from report.json.

What the report does not hold yet leaves its table empty.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import record
from record import table

__all__ = ["QUESTION", "answer", "fill", "shown", "tables"]

QUESTION = "How much faster is a search whose trials train as one network?"

RACES = ("digits-small", "digits-default", "mnist")

Report = Mapping[str, Any]


def fill(text: str, report: Report) -> str:
    """A text with all its tables made anew."""
    return record.fill(text, tables(report))


def tables(report: Report) -> dict[str, str]:
    """Every table by name."""
    makers: dict[str, Callable[[Report], str]] = {
        "made": record.parts_made,
        "races": _races,
        "same": _same,
        "memory": _memory,
        "roofline": _roofline,
        "costs": _costs,
        "growth": _growth,
        "choices": _choices,
        "gpu": _gpu,
    }
    return {name: make(report) for name, make in makers.items()}


def shown(report: Report) -> dict[str, Any]:
    """The parts that the answer rests on."""
    return {load: report[load] for load in _raced(report)}


def answer(report: Report) -> str:
    """The answer, for the list of all experiments."""
    found = []
    for load in _raced(report):
        ratio = report[load]["ratios"].get("idiomatic")
        if ratio:
            found.append(f"{ratio['median']:.1f} times on {load}")
    return "Against Optuna and Lightning put together as usual: " + (
        ", ".join(found) or "not measured yet"
    )


def _races(report: Report) -> str:
    rows = []
    for load in _raced(report):
        part = report[load]
        for name, each in part["contestants"].items():
            ratio = part["ratios"].get(name)
            rows.append(
                (
                    load,
                    name,
                    _span(each["seconds_search"], 1),
                    _span(ratio, 1) if ratio else "",
                    _aim(part["aims"].get(name), ratio),
                    f"{each['seconds_process']['median']:.1f}",
                    _whole(part["contestants"]["vectorized"], each) if ratio else "",
                    f"{each['cpu_seconds']:.1f}",
                )
            )
        subset = part["ratios"].get("sklearn, subset")
        if subset:
            label = f"sklearn, the {subset['configurations']} of the subset"
            rows.append((load, label, "", _span(subset, 1), "", "", "", ""))
    head = (
        "load",
        "contestant",
        "search, s",
        "times vectorized",
        "aim",
        "process, s",
        "times, process",
        "processor, s",
    )
    return table(head, rows, left=2)


def _whole(ours: Mapping[str, Any], peer: Mapping[str, Any]) -> str:
    """How many times longer the peer's whole process takes, imports and all."""
    pairs = zip(
        ours["seconds_process"]["all"], peer["seconds_process"]["all"], strict=False
    )
    return f"{statistics.median(theirs / mine for mine, theirs in pairs):.1f}"


def _same(report: Report) -> str:
    rows = []
    for load in _raced(report):
        for name, each in report[load]["contestants"].items():
            loss = each["median_best_val_loss"]
            rows.append(
                (
                    load,
                    name,
                    f"{each['trial_epochs']}",
                    "–" if loss is None else f"{loss:.4f}",
                    f"{each['never_finite']}",
                )
            )
    head = ("load", "contestant", "trial-epochs", "median best loss", "never finite")
    return table(head, rows, left=2)


def _memory(report: Report) -> str:
    rows = []
    for load in _raced(report):
        part = report[load]
        aim = part["aims"].get("pss_mb")
        for name, each in part["contestants"].items():
            pss = part["memory_pss_mb"] if name == "vectorized" else None
            rss = each["rss_mb"]
            rows.append(
                (
                    load,
                    name,
                    "" if pss is None else f"{pss:.0f}",
                    "–" if rss is None else f"{rss:.0f}",
                    "" if pss is None or not aim else _at_most(aim, pss),
                )
            )
    head = ("load", "contestant", "shared out, MB", "added up, MB", "aim")
    return table(head, rows, left=2)


def _roofline(report: Report) -> str:
    rows = []
    for load in _raced(report):
        part = report[load]
        roof = part["roofline"]
        share = roof["share"]
        rows.append(
            (
                load,
                f"{roof['peak_gflops']:.0f}",
                f"{roof['bandwidth_gbs']:.1f}",
                f"{roof['products_seconds']:.2f}",
                f"{roof['optimizer_seconds']:.2f}",
                f"{part['contestants']['vectorized']['seconds_search']['median']:.2f}",
                f"{share['median']:.2f} ({share['min']:.2f} to {share['max']:.2f})",
                _aim(part["aims"].get("share"), share, digits=2),
            )
        )
    head = (
        "load",
        "peak, GFLOP/s",
        "bandwidth, GB/s",
        "products, s",
        "optimizer, s",
        "vectorized, s",
        "share reached",
        "aim",
    )
    return table(head, rows, left=1)


def _costs(report: Report) -> str:
    names = ("products", "updates", "one_by_one", "records")
    rows = [
        (load, *(f"{costs[name]:.2f}" for name in names))
        for load, costs in report.get("roofline", {}).get("loads", {}).items()
    ]
    head = ("load", "products, s", "updates, s", "one by one, s", "records, s")
    return table(head, rows, left=1)


def _growth(report: Report) -> str:
    cells = report.get("growth", {}).get("cells", [])
    ks = sorted({cell["k"] for cell in cells})
    ms = {(cell["width"], cell["k"]): cell["ms"] for cell in cells}
    rows = [
        (f"{width}", *(f"{ms[width, k]:.3g}" for k in ks))
        for width in sorted({cell["width"] for cell in cells})
    ]
    return table(("width", *(f"K = {k}" for k in ks)), rows, left=0)


def _choices(report: Report) -> str:
    if "choices" not in report:
        return record.NOTHING
    rows = [
        (choice, "; ".join(f"{way} {value:g}" for way, value in ways.items()))
        for choice, ways in report["choices"]["choices"].items()
    ]
    return table(("choice", "medians"), rows, left=2)


def _gpu(report: Report) -> str:
    part = report.get("gpu", {})
    rows = [
        (
            name.removeprefix("gpu-"),
            f"{each['configurations']}",
            _span(each["seconds_vectorized"], 1),
            *(
                f"{each['ms_per_trial_epoch'][engine]['median']:.3g}"
                for engine in ("vectorized", "lightning")
            ),
            _span(each["ratio"], 0),
            _aim(part["aim"], each["ratio"], digits=0),
        )
        for name, each in part.get("loads", {}).items()
    ]
    head = (
        "table",
        "configurations",
        "vectorized, s",
        "vectorized, ms",
        "lightning, ms",
        "times",
        "aim",
    )
    return table(head, rows, left=1)


def _raced(report: Report) -> Iterable[str]:
    return (load for load in RACES if load in report)


def _span(spread: Mapping[str, Any], digits: int) -> str:
    low, mid, high = (spread[key] for key in ("min", "median", "max"))
    return f"{mid:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _aim(
    aim: float | None, spread: Mapping[str, Any] | None, *, digits: int = 1
) -> str:
    """What was to be reached at least, and whether it was."""
    if aim is None or spread is None:
        return ""
    reached = "reached" if spread["median"] >= aim else "missed"
    return f"{aim:.{digits}f}, {reached}"


def _at_most(aim: float, value: float) -> str:
    return f"{aim:.0f}, {'kept' if value <= aim else 'missed'}"
