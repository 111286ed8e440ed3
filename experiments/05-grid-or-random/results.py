"""The claims and the tables of README.md, made from report.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import record
from chances import of_the_best
from claims import Claim, claims_table, ratio_claim
from record import table

__all__ = ["QUESTION", "answer", "claims", "fill", "losses", "shown", "tables"]

QUESTION = "Grid or random search, with useless hyperparameters beside the useful ones?"
ONE, TWO, THREE, FOUR = (
    "lr, 1 useless",
    "lr, momentum",
    "lr, momentum, 1 useless",
    "lr, momentum, 2 useless",
)
AGAINST = ((ONE, 9), (ONE, 25), (ONE, 64), (TWO, 9), (TWO, 25), (TWO, 81))
BESIDE = ((THREE, 27), (FOUR, 16), (FOUR, 81))
SEARCHES = {"grid": "grid", "ends": "grid with ends", "random": "random"}
LITTLE = 1.1
"""A cost that counts as little."""

Report = Mapping[str, Any]


def fill(text: str, report: Report) -> str:
    """A text with all its tables made anew."""
    return record.fill(text, tables(report))


def tables(report: Report) -> dict[str, str]:
    """Every table by name."""
    parts = shown(report)
    return {
        "made": record.parts_made(parts),
        "claims": claims_table(report.get("claims", ())),
        "losses": _losses(report, 0) if parts else record.NOTHING,
        "test": _losses(report, 1) if parts else record.NOTHING,
        "tried": _tried(report) if parts else record.NOTHING,
    }


def shown(report: Report) -> dict[str, Any]:
    """The parts that the answer rests on."""
    return {"all": report} if "made" in report else {}


def answer(report: Report) -> str:
    """The answer, for the list of all experiments."""
    if not shown(report):
        return "not measured yet"
    found = {each["says"]: each for each in report["claims"]}
    ratios = [found[_says(*which)] for which in (*AGAINST, *BESIDE)]
    better = sum(each["holds"] for each in ratios)
    cost = found[_costs("grid", 16)]
    told = ", ".join(
        f"{found[_says(space, n)]['value']:.2f} ({space}, {n} trials)"
        for space, n in ((ONE, 25), (TWO, 25), (FOUR, 81))
    )
    return (
        f"Loss of random search over that of a grid: {told}; surely lower in {better} "
        f"of {len(ratios)} comparisons. Two useless ones make a grid of 16 come to "
        f"{cost['value']:.2f} times its loss, random search to "
        f"{found[_costs('random', 16)]['value']:.2f} times"
    )


def claims(report: Report) -> list[Claim]:
    """What the notes say of it, and of useless hyperparameters."""
    seeds = report["searches"]["seeds"]
    # A quick run has small grids alone.
    made = [
        (space, n)
        for space, n in (*AGAINST, *BESIDE)
        if str(n) in seeds[0]["spaces"][space]["grid"]
    ]
    found = []
    for space, n in made:
        pairs = zip(
            losses(report, space, "random", n),
            losses(report, space, "grid", n),
            strict=True,
        )
        found.append(ratio_claim(_says(space, n), [a / b for a, b in pairs]))
    for search, n in (("grid", 16), ("grid", 81), ("random", 16)):
        if not {(FOUR, n)} <= {*made} or str(n) not in seeds[0]["spaces"][TWO]["grid"]:
            continue
        pairs = zip(
            losses(report, FOUR, search, n), losses(report, TWO, search, n), strict=True
        )
        ratios = [a / b for a, b in pairs]
        if search == "grid":
            found.append(ratio_claim(_costs(search, n), ratios, above=1.0))
        else:
            found.append(ratio_claim(_costs(search, n), ratios, below=LITTLE))
    return found


def losses(
    report: Report, space: str, search: str, n: int, which: int = 0
) -> list[float]:
    """The best of n trials, one figure a seed.

    Args:
        report: With the part ``searches``.
        space: Its name.
        search: ``grid``, ``ends`` or ``random``; that of random search is the mean over
            all choices of n of its draws.
        n: Trials.
        which: 0 for the validation loss, 1 for the test loss of the same model.
    """
    found = []
    for each in report["searches"]["seeds"]:
        of = each["spaces"][space][search]
        if search == "random":
            found.append(
                of_the_best([x[0] for x in of], n, told=[x[which] for x in of])
            )
        else:
            found.append(of[str(n)][which])
    return found


def _says(space: str, n: int) -> str:
    return f"{space}, {n} trials: loss of random search over that of a grid"


def _costs(search: str, n: int) -> str:
    who = "a grid's" if search == "grid" else "random search's"
    return f"{n} trials: {who} loss with two useless ones over that without"


def _losses(report: Report, which: int) -> str:
    lines = []
    for space, of in report["searches"]["spaces"].items():
        names = len(of["useful"]) + len(of["useless"])
        for values in of["values"]:
            n = values**names
            means = [
                _geometric(losses(report, space, search, n, which))
                for search in SEARCHES
            ]
            lines.append((space, f"{n}", *(f"{mean:.4f}" for mean in means)))
    return table(("space", "trials", *SEARCHES.values()), lines, left=1)


def _tried(report: Report) -> str:
    """How many values of one hyperparameter each search tries."""
    lines = []
    for space, of in report["searches"]["spaces"].items():
        names = len(of["useful"]) + len(of["useless"])
        lines.append(
            (
                space,
                ", ".join(of["useful"]),
                ", ".join(of["useless"]) or "–",
                of["optimizer"],
                ", ".join(f"{values**names}" for values in of["values"]),
                ", ".join(f"{values}" for values in of["values"]),
                ", ".join(f"{values**names}" for values in of["values"]),
            )
        )
    head = (
        *("space", "matters", "does not", "optimizer", "trials"),
        *("values of lr, grid", "values of lr, random"),
    )
    return table(head, lines, left=4)


def _geometric(values: list[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values))
