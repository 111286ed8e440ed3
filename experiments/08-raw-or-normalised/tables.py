"""The tables of README.md, and the figures of runs that claims are made of, too."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, geometric_mean, median
from typing import Any

import record
from claims import claims_table
from record import table

__all__ = [
    "DESCENTS",
    "FORMS",
    "NETWORKS",
    "NORMALISED",
    "RAW",
    "apart",
    "more_of_use",
    "shown",
    "speedups",
    "tables",
]

NETWORKS = ("softmax regression", "two hidden layers", "two hidden layers, batch norm")
FORMS = (RAW, NORMALISED, _TUNEKITS) = ("raw", "normalised", "tunekit's")
DESCENTS = ("two weights", "two weights and the bias")
_ENOUGH = 0.9
"""A learning rate is of use if it closes this share of the gap between the classes'
shares and the lowest loss of any."""

Report = Mapping[str, Any]


def tables(report: Report) -> dict[str, str]:
    """Every table by name."""
    return {
        "made": record.parts_made(shown(report)),
        "claims": claims_table(report.get("claims", [])),
        "curvature": _curvature(report),
        "contours": _contours(report.get("contours", {})),
        "training": _training(report.get("training", {})),
        "new-rows": _new_rows(report.get("new rows", {})),
        "real": _training(report.get("real", {})),
    }


def shown(report: Report) -> dict[str, Any]:
    """The parts that the answer rests on."""
    return {"all": report} if "made" in report else {}


def speedups(report: Report, network: str, names: Sequence[str]) -> list[float | None]:
    """Epochs of raw inputs over those of normalised ones, a run of these tables each;
    None where raw inputs come to no loss below chance."""
    return [
        None if run[RAW]["epochs"][0] is None else _ratio(run[RAW]["epochs"])
        for _, run in _runs(report, network, names)
    ]


def more_of_use(report: Report, network: str) -> list[float]:
    """Decades of learning rates that are of use, normalised less raw, a run each."""
    part = report["training"]
    return [
        _useful(part["lrs"], of_table["chance"], run, NORMALISED)
        - _useful(part["lrs"], of_table["chance"], run, RAW)
        for of_table, run in _runs(report, network, part["tables"])
    ]


def apart(report: Report, network: str, form: str) -> list[float]:
    """Decades between the largest and the smallest of the tables' best learning rates,
    a seed each."""
    part = report["training"]
    found = []
    for runs in zip(*(each[network] for each in part["tables"].values()), strict=True):
        best = [math.log10(_best_lr(part["lrs"], run, form)) for run in runs]
        found.append(max(best) - min(best))
    return found


def _runs(
    report: Report, network: str, names: Sequence[str]
) -> Iterator[tuple[Report, Report]]:
    """Tables and runs of a network, in one order for all networks."""
    for name in names:
        of_table = report["training"]["tables"][name]
        for run in of_table[network]:
            yield of_table, run


def _ratio(epochs: Sequence[int]) -> float:
    return epochs[0] / epochs[1]


def _best(run: Report, form: str) -> float:
    return float(min(loss for loss in run[form]["last"] if loss is not None))


def _best_lr(lrs: Sequence[float], run: Report, form: str) -> float:
    return lrs[run[form]["last"].index(_best(run, form))]


def _useful(lrs: Sequence[float], chance: float, run: Report, form: str) -> float:
    """Decades of learning rates that come near the best loss of raw and normalised."""
    lowest = min(_best(run, RAW), _best(run, NORMALISED))
    enough = chance - _ENOUGH * (chance - lowest)
    good = sum(loss is not None and loss <= enough for loss in run[form]["last"])
    return good * math.log10(lrs[-1] / lrs[0]) / (len(lrs) - 1)


def _curvature(report: Report) -> str:
    lines = []
    for name, forms in report.get("curvature", {}).items():
        for form, runs in forms.items():
            condition = geometric_mean([run["condition"] for run in runs])
            lr = geometric_mean([run["largest lr"] for run in runs])
            lines.append((name, form, f"{condition:.2g}", f"{lr:.2g}"))
    head = ("table", "inputs", "condition", "largest stable learning rate")
    return table(head, lines, left=2)


def _contours(part: Report) -> str:
    """Of the one that is drawn how long its ellipses are, too."""
    lines = []
    for descent in DESCENTS if part else ():
        for form, runs in part.items():
            each = [run[descent] for run in runs]
            long = geometric_mean([_longish(run["curvature"]) for run in runs])
            ratio = geometric_mean([run["steps"] / run["condition"] for run in each])
            lines.append(
                (
                    descent,
                    form,
                    f"{long:.2g} : 1" if descent == DESCENTS[0] else "–",
                    f"{geometric_mean([run['condition'] for run in each]):.2g}",
                    f"{geometric_mean([run['lr'] for run in each]):.2g}",
                    f"{median(run['steps'] for run in each):g}",
                    f"{ratio:.2f}",
                )
            )
    head = (
        "descended",
        "inputs",
        "ellipses",
        "condition",
        "learning rate",
        "steps",
        "steps : condition",
    )
    return table(head, lines, left=2)


def _longish(curvature: Sequence[Sequence[float]]) -> float:
    """The longer axis of the contours over the shorter one."""
    (a, b), (_, d) = curvature
    middle, half = 0.5 * (a + d), math.hypot(0.5 * (a - d), b)
    return math.sqrt((middle + half) / (middle - half))


def _training(part: Report) -> str:
    """Means over seeds, medians of learning rates and epochs."""
    lines = []
    for name, of_table in part.get("tables", {}).items():
        for network in NETWORKS:
            runs = of_table[network]
            for form in FORMS:
                lr = median(_best_lr(part["lrs"], run, form) for run in runs)
                decades = fmean(
                    _useful(part["lrs"], of_table["chance"], run, form) for run in runs
                )
                lost = sum(_best(run, form) >= of_table["chance"] for run in runs)
                lines.append(
                    (
                        name,
                        network,
                        form,
                        f"{lr:.2g}",
                        f"{fmean(_best(run, form) for run in runs):.3g}",
                        f"{lost} of {len(runs)}",
                        "–" if form == NORMALISED else _epochs(runs, form),
                        f"{decades:.1f}",
                    )
                )
    head = (
        "table",
        "network",
        "inputs",
        "best lr",
        "loss",
        "above chance",
        "epochs : normalised's",
        "decades of use",
    )
    return table(head, lines, left=3)


def _epochs(runs: Sequence[Report], form: str) -> str:
    """Medians over the runs that come to a loss below chance."""
    pairs = [run[form]["epochs"] for run in runs if run[form]["epochs"][0] is not None]
    if not pairs:
        return "–"
    theirs, normal = (median(side) for side in zip(*pairs, strict=True))
    return f"{theirs:g} : {normal:g}"


def _new_rows(part: Report) -> str:
    names = list(part)
    hows = list(next(iter(part.values()))[0]) if part else []
    lines = [
        (how, *(f"{fmean(run[how] for run in part[name]):.3g}" for name in names))
        for how in hows
    ]
    return table(("statistics", *names), lines, left=1)
