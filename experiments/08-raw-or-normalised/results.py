"""The claims and the tables of README.md, made from report.json."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, geometric_mean, median
from typing import Any

import record
from claims import Claim, claim, claims_table, ratio_claim
from record import table

__all__ = ["NETWORKS", "QUESTION", "answer", "claims", "fill", "shown", "tables"]

QUESTION = "What does it gain to normalise the inputs?"
NETWORKS = ("softmax regression", "two hidden layers", "two hidden layers, batch norm")
_RAW, _NORMALISED, _TUNEKIT = "raw", "normalised", "tunekit's"
_ENOUGH = 0.9
"""A learning rate is of use if it closes this share of the gap between the classes'
shares and the lowest loss of any."""
_OF_TRAINING = "the training rows'"
_ALL, _ONE = "their own, all at once", "their own, 1 row at a time"

Report = Mapping[str, Any]


def claims(report: Report) -> list[Claim]:
    """What is claimed, from the samples of the report."""
    curvature = report["curvature"]
    found = [
        ratio_claim(
            "condition of softmax regression's cost, raw over normalised",
            [
                raw["condition"] / normalised["condition"]
                for each in curvature.values()
                for raw, normalised in zip(each[_RAW], each[_NORMALISED], strict=True)
            ],
            above=1.0,
        )
    ]
    steps = report["contours"]
    found.append(
        ratio_claim(
            "logistic regression of two columns: steps of gradient descent, raw over "
            "normalised",
            [
                raw["steps"] / normalised["steps"]
                for raw, normalised in zip(steps[_RAW], steps[_NORMALISED], strict=True)
            ],
            above=1.0,
        )
    )
    found += [
        ratio_claim(
            f"{network}: epochs to the same loss, raw over normalised",
            _speedups(report, network),
            above=1.0,
        )
        for network in NETWORKS
    ]
    plain, normed = (_speedups(report, network) for network in NETWORKS[1:])
    found.append(
        ratio_claim(
            "that ratio without batch norm, over that with it",
            [a / b for a, b in zip(plain, normed, strict=True)],
            above=1.0,
        )
    )
    for network in NETWORKS:
        found.append(
            claim(
                f"{network}: decades of learning rates that are of use, normalised "
                "less raw",
                [
                    _of_use(report, n, s, _NORMALISED) - _of_use(report, n, s, _RAW)
                    for n, s in _runs(report, network)
                ],
                above=0.0,
            )
        )
    for network in NETWORKS:
        found.append(
            claim(
                f"{network}: decades between the tables' best learning rates, raw less "
                "normalised",
                [
                    _apart(report, network, seed, _RAW)
                    - _apart(report, network, seed, _NORMALISED)
                    for seed in range(_seeds(report))
                ],
                above=0.0,
            )
        )
    runs = [run for of_table in report["new rows"].values() for run in of_table]
    for how in (_ALL, _ONE):
        found.append(
            claim(
                f"loss on new rows (nats), normalised by {how}, less by "
                f"{_OF_TRAINING} statistics",
                [run[how] - run[_OF_TRAINING] for run in runs],
                above=0.0,
            )
        )
    return found


def answer(report: Report) -> str:
    """The answer, for the list of all experiments."""
    if "training" not in report:
        return "not measured yet"
    told = ", ".join(
        f"{geometric_mean(_speedups(report, n)):.1f} times ({n})" for n in NETWORKS
    )
    return (
        "epochs that raw inputs take to the same loss, each at its best learning rate: "
        f"{told}"
    )


def fill(text: str, report: Report) -> str:
    """A text with all its tables made anew."""
    return record.fill(text, tables(report))


def shown(report: Report) -> dict[str, Any]:
    """The parts that the answer rests on."""
    return {"all": report} if "made" in report else {}


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


def _runs(report: Report, network: str) -> Iterator[tuple[Report, Report]]:
    """Every table and run of a network, in one order for all networks."""
    for of_table in report["training"]["tables"].values():
        for run in of_table[network]:
            yield of_table, run


def _seeds(report: Report) -> int:
    first = next(iter(report["training"]["tables"].values()))
    return len(first[NETWORKS[0]])


def _speedups(report: Report, network: str) -> list[float]:
    return [
        run[_RAW]["epochs"][0] / run[_RAW]["epochs"][1]
        for _, run in _runs(report, network)
    ]


def _best(run: Report, form: str) -> float:
    return float(min(loss for loss in run[form]["last"] if loss is not None))


def _of_use(report: Report, of_table: Report, run: Report, form: str) -> float:
    """Decades of learning rates that come near the best loss of both forms."""
    return _useful(report["training"]["lrs"], of_table["chance"], run, form)


def _useful(lrs: Sequence[float], chance: float, run: Report, form: str) -> float:
    lowest = min(_best(run, _RAW), _best(run, _NORMALISED))
    enough = chance - _ENOUGH * (chance - lowest)
    good = sum(loss is not None and loss <= enough for loss in run[form]["last"])
    return good * math.log10(lrs[-1] / lrs[0]) / (len(lrs) - 1)


def _best_lr(lrs: Sequence[float], run: Report, form: str) -> float:
    return lrs[run[form]["last"].index(_best(run, form))]


def _apart(report: Report, network: str, seed: int, form: str) -> float:
    """Decades between the largest and the smallest of the tables' best rates."""
    part = report["training"]
    found = [
        math.log10(_best_lr(part["lrs"], each[network][seed], form))
        for each in part["tables"].values()
    ]
    return max(found) - min(found)


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
    lines = [
        (
            form,
            f"{geometric_mean([run['condition'] for run in runs]):.2g}",
            f"{geometric_mean([run['lr'] for run in runs]):.2g}",
            f"{median(run['steps'] for run in runs):g}",
        )
        for form, runs in part.items()
    ]
    head = ("inputs", "condition", "learning rate", "steps")
    return table(head, lines, left=1)


def _training(part: Report) -> str:
    """Means over seeds, medians of learning rates and epochs."""
    lines = []
    forms = (_RAW, _NORMALISED, _TUNEKIT)
    for name, of_table in part.get("tables", {}).items():
        for network in NETWORKS:
            runs = of_table[network]
            for form in forms:
                lr = median(_best_lr(part["lrs"], run, form) for run in runs)
                decades = fmean(
                    _useful(part["lrs"], of_table["chance"], run, form) for run in runs
                )
                theirs, normal = (
                    median(run[form]["epochs"][side] for run in runs) for side in (0, 1)
                )
                lines.append(
                    (
                        name,
                        network,
                        form,
                        f"{lr:.2g}",
                        f"{fmean(_best(run, form) for run in runs):.3g}",
                        "–" if form == _NORMALISED else f"{theirs:g} : {normal:g}",
                        f"{decades:.1f}",
                    )
                )
    head = (
        "table",
        "network",
        "inputs",
        "best lr",
        "loss",
        "epochs : normalised's",
        "decades of use",
    )
    return table(head, lines, left=3)


def _new_rows(part: Report) -> str:
    names = list(part)
    hows = list(next(iter(part.values()))[0]) if part else []
    lines = [
        (how, *(f"{fmean(run[how] for run in part[name]):.3g}" for name in names))
        for how in hows
    ]
    return table(("statistics", *names), lines, left=1)
