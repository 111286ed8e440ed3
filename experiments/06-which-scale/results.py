"""The claims and the tables of README.md, made from report.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import record
from chances import geometric, of_the_best, share_within
from claims import Claim, claim, claims_table, doubt, ratio_claim
from record import table

__all__ = [
    "QUESTION",
    "answer",
    "bests",
    "claims",
    "fill",
    "good_below",
    "shown",
    "tables",
]

QUESTION = (
    "Linear, logarithmic or 1-x: on which scale should a hyperparameter be drawn?"
)
OF = (2, 4, 8, 16)
"""Draws of which the best counts."""
CLAIMED = 4
GOOD = 1.25
"""A draw is good if its loss is at most this many times the lowest of all scales'."""

Report = Mapping[str, Any]


def fill(text: str, report: Report) -> str:
    """A text with all its tables made anew."""
    return record.fill(text, tables(report))


def tables(report: Report) -> dict[str, str]:
    """Every table by name."""
    parts = shown(report)
    made = {
        "made": record.parts_made(parts),
        "claims": claims_table(report.get("claims", ())),
    }
    rest = {"subjects": _subjects, "best": _best, "rates": _rates, "share": _share}
    return made | {
        name: make(report) if parts else record.NOTHING for name, make in rest.items()
    }


def shown(report: Report) -> dict[str, Any]:
    """The parts that the answer rests on."""
    return {"all": report} if "made" in report else {}


def answer(report: Report) -> str:
    """The answer, for the list of all experiments."""
    if not shown(report):
        return "not measured yet"
    found = {each["says"]: each for each in report["claims"]}
    told = []
    for key in report["draws"]["subjects"]:
        each = found[_says_loss(report, key)]
        told.append(f"{key} {each['value']:.2f}{doubt(each)}")
    return (
        f"Loss of the best of {CLAIMED} draws on the scale that the notes advise over "
        f"that on the linear one: {'; '.join(told)}"
    )


def claims(report: Report) -> list[Claim]:
    """What the notes say of each hyperparameter's scale."""
    found = []
    for key, of in report["draws"]["subjects"].items():
        ratios = [
            a / b
            for a, b in zip(
                bests(report, key, of["right"], CLAIMED),
                bests(report, key, "linear", CLAIMED),
                strict=True,
            )
        ]
        found.append(ratio_claim(_says_loss(report, key), ratios))
        shares = _good(report, key)
        more = [
            a - b for a, b in zip(shares[of["right"]], shares["linear"], strict=True)
        ]
        found.append(claim(_says_share(report, key), more, above=0.0))
    return found


def bests(
    report: Report, key: str, scale: str, n: int, rate: str | None = None
) -> list[float]:
    """The best of ``n`` draws, one figure a seed.

    Args:
        report: With the part ``draws``.
        key: The hyperparameter and its range.
        scale: The scale it is drawn on.
        n: Draws.
        rate: One of the learning rates; the geometric mean over all when None.
    """
    return [
        geometric(
            of_the_best(of[scale], n)
            for name, of in each["losses"][key].items()
            if rate in (None, name)
        )
        for each in report["draws"]["seeds"]
    ]


def good_below(losses: Mapping[str, Sequence[float]]) -> float:
    """Up to which loss a draw is good, given the losses of all scales."""
    return GOOD * min(map(min, losses.values()))


def _good(report: Report, key: str) -> dict[str, list[float]]:
    """By scale the share of draws that are good, one figure a seed."""
    found: dict[str, list[float]] = {}
    for each in report["draws"]["seeds"]:
        rates = each["losses"][key].values()
        for scale in report["draws"]["subjects"][key]["scales"]:
            shares = [share_within(of[scale], good_below(of)) for of in rates]
            found.setdefault(scale, []).append(math.fsum(shares) / len(shares))
    return found


def _says_loss(report: Report, key: str) -> str:
    right = report["draws"]["subjects"][key]["right"]
    return f"{key}: loss of the best of {CLAIMED} draws, {right} scale over linear"


def _says_share(report: Report, key: str) -> str:
    right = report["draws"]["subjects"][key]["right"]
    return f"{key}: share of good draws, {right} scale minus linear"


def _subjects(report: Report) -> str:
    lines = []
    for key, of in report["draws"]["subjects"].items():
        first = report["draws"]["seeds"][0]["losses"][key]
        draws = [len(losses[of["scales"][0]]) for losses in first.values()]
        rates = "drawn" if of["name"] == "lr" else ", ".join(first)
        lines.append(
            (
                key,
                of["optimizer"],
                rates,
                ", ".join(of["scales"]),
                of["right"],
                f"{of['low']:g} to {of['high']:g}",
                f"{len(draws)} times {draws[0]}",
            )
        )
    head = (
        *("hyperparameter", "optimizer", "learning rate", "scales", "advised"),
        *("range", "draws on each scale, a seed"),
    )
    return table(head, lines, left=5)


def _best(report: Report) -> str:
    lines = []
    for key, of in report["draws"]["subjects"].items():
        for scale in of["scales"]:
            means = [
                geometric(bests(report, key, scale, n)) for n in OF if _has(report, n)
            ]
            lines.append((key, scale, *(f"{mean:.4f}" for mean in means)))
    head = ("hyperparameter", "scale", *(f"best of {n}" for n in OF if _has(report, n)))
    return table(head, lines, left=2)


def _has(report: Report, n: int) -> bool:
    """Whether so many were drawn: a quick run draws few."""
    seeds = report["draws"]["seeds"]
    return all(
        len(losses) >= n
        for rates in seeds[0]["losses"].values()
        for scales in rates.values()
        for losses in scales.values()
    )


def _rates(report: Report) -> str:
    """The claimed ratio, learning rate by learning rate."""
    rates = [f"{rate}" for rate in report["draws"]["rates"]]
    lines = []
    for key, of in report["draws"]["subjects"].items():
        if of["name"] == "lr":
            continue
        cells = []
        for rate in rates:
            right = bests(report, key, of["right"], CLAIMED, rate)
            linear = bests(report, key, "linear", CLAIMED, rate)
            each = ratio_claim("", [a / b for a, b in zip(right, linear, strict=True)])
            cells.append(f"{each.value:.2f} ({each.low:.2f} to {each.high:.2f})")
        lines.append((key, *cells))
    head = ("hyperparameter", *(f"learning rate {rate}" for rate in rates))
    return table(head, lines, left=1)


def _share(report: Report) -> str:
    lines = []
    for key, of in report["draws"]["subjects"].items():
        shares = _good(report, key)
        means = {scale: math.fsum(each) / len(each) for scale, each in shares.items()}
        cells = (
            f"{100 * means[scale]:.0f} %" if scale in of["scales"] else "–"
            for scale in ("linear", "log", "1-x")
        )
        lines.append((key, *cells))
    return table(("hyperparameter", "linear", "log", "1-x"), lines, left=1)
