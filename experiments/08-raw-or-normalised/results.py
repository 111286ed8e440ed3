"""The question, the claims and the answer, made from report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import record
from claims import Claim, claim, doubt, ratio_claim, share_claim

# By the folder's name, for this file is read where only the folder above is searched.
_told = import_module(f"{Path(__file__).parent.name}.tables")
tables, shown = _told.tables, _told.shown
NETWORKS = _told.NETWORKS

__all__ = ["NETWORKS", "QUESTION", "answer", "claims", "fill", "shown", "tables"]

QUESTION = "What does it gain to normalise the inputs?"
_RAW, _NORMALISED = _told.RAW, _told.NORMALISED
_OF_TRAINING = "the training rows'"
_ALL, _ONE = "their own, all at once", "their own, 1 row at a time"
_ONE_SCALE = "digits"
"""All of its columns have one unit; the others' differ by thousands."""

Report = Mapping[str, Any]


def claims(report: Report) -> list[Claim]:
    """What is claimed, from the samples of the report."""
    runs = [run for of_table in report["new rows"].values() for run in of_table]
    return [
        *_of_curvature(report),
        *_of_epochs(report),
        *_of_rates(report),
        *(
            claim(
                f"loss on new rows (nats), normalised by {how}, less by "
                f"{_OF_TRAINING} statistics",
                [run[how] - run[_OF_TRAINING] for run in runs],
                above=0.0,
            )
            for how in (_ALL, _ONE)
        ),
    ]


def answer(report: Report) -> str:
    """The answer, for the list of all experiments."""
    if "training" not in report:
        return "not measured yet"
    by_says = {each["says"]: each for each in report["claims"]}

    def ratio(where: str, network: str) -> str:
        found = by_says.get(_epochs_of(where, network))
        # Where too few runs come below chance there is no claim.
        told = "–" if found is None else f"{found['value']:.1f}{doubt(found)}"
        return f"{told} ({network})"

    first, *hidden = NETWORKS
    others = _others(report)
    lost = [each is None for each in _told.speedups(report, first, others)]
    return (
        "epochs of raw inputs to the same loss over those of normalised ones, each at "
        f"its best learning rate: on {_ONE_SCALE} "
        f"{', '.join(ratio(_ONE_SCALE, network) for network in NETWORKS)}; on "
        f"{_both(report)} {', '.join(ratio(_both(report), n) for n in hidden)}, and "
        f"{first} on raw inputs ends above chance in {sum(lost)} of {len(lost)} runs"
    )


def fill(text: str, report: Report) -> str:
    """A text with all its tables made anew."""
    return record.fill(text, tables(report))


def _of_curvature(report: Report) -> list[Claim]:
    conditions = [
        raw["condition"] / normalised["condition"]
        for each in report["curvature"].values()
        for raw, normalised in zip(each[_RAW], each[_NORMALISED], strict=True)
    ]
    steps = report["contours"]
    return [
        ratio_claim(
            "condition of softmax regression's cost, raw over normalised",
            conditions,
            above=1.0,
        ),
        *(
            ratio_claim(
                f"logistic regression of two columns: steps of descent over {descent}, "
                "raw over normalised",
                [
                    raw[descent]["steps"] / normalised[descent]["steps"]
                    for raw, normalised in zip(
                        steps[_RAW], steps[_NORMALISED], strict=True
                    )
                ],
                above=1.0,
            )
            for descent in _told.DESCENTS
        ),
    ]


def _of_epochs(report: Report) -> list[Claim]:
    """Apart for the table whose inputs have one scale: it is another case."""
    first, *hidden = NETWORKS
    others = _others(report)

    def ratios(where: str, names: list[str], networks: Sequence[str]) -> list[Claim]:
        found = {
            network: [r for r in _told.speedups(report, network, names) if r]
            for network in networks
        }
        # A quick run comes below chance too seldom for a claim.
        return [
            ratio_claim(_epochs_of(where, network), samples, above=1.0)
            for network, samples in found.items()
            if len(samples) > 1
        ]

    both = zip(
        *(_told.speedups(report, n, [*report["training"]["tables"]]) for n in hidden),
        strict=True,
    )
    return [
        *ratios(_ONE_SCALE, [_ONE_SCALE], NETWORKS),
        share_claim(
            f"{_both(report)}, {first}: share of runs in which raw inputs end above "
            "chance at their best learning rate",
            [ratio is None for ratio in _told.speedups(report, first, others)],
            above=0.5,
        ),
        *ratios(_both(report), others, hidden),
        ratio_claim(
            "two hidden layers, all tables: that ratio without batch norm, over that "
            "with it",
            [plain / normed for plain, normed in both if plain and normed],
            above=1.0,
        ),
    ]


def _of_rates(report: Report) -> list[Claim]:
    found = [
        claim(
            f"{network}: decades of learning rates that are of use, normalised less "
            "raw",
            _told.more_of_use(report, network),
            above=0.0,
        )
        for network in NETWORKS
    ]
    # Not of softmax regression: where planes part the classes without a fault, its best
    # learning rate is wherever the grid ends.
    for network in NETWORKS[1:]:
        raw, normalised = (
            _told.apart(report, network, form) for form in (_RAW, _NORMALISED)
        )
        found.append(
            claim(
                f"{network}: decades between the tables' best learning rates, raw less "
                "normalised",
                [a - b for a, b in zip(raw, normalised, strict=True)],
                above=0.0,
            )
        )
    return found


def _others(report: Report) -> list[str]:
    return [name for name in report["training"]["tables"] if name != _ONE_SCALE]


def _both(report: Report) -> str:
    return " and ".join(_others(report))


def _epochs_of(where: str, network: str) -> str:
    return f"{where}, {network}: epochs to the same loss, raw over normalised"
