"""The claims and the tables of README.md, made from report.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import record
from chances import geometric, of_the_best
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
COMPARED = (
    *((ONE, 9), (ONE, 25), (ONE, 64), (TWO, 9), (TWO, 25), (TWO, 81)),
    *((THREE, 27), (FOUR, 16), (FOUR, 81)),
)
TOLD = ((ONE, 25), (TWO, 25), (FOUR, 81))
"""Comparisons whose figures are in the list of all experiments."""
SEARCHES = {"grid": "grid", "ends": "grid with ends", "random": "random"}
LOSSES = ("loss", "test loss")
"""The lowest on validation rows; on test rows that of the same model."""
LITTLE = 1.1
"""A cost that counts as little."""

Report = Mapping[str, Any]


def fill(text: str, report: Report) -> str:
    """A text with all its tables made anew."""
    return record.fill(text, tables(report))


def tables(report: Report) -> dict[str, str]:
    """Every table by name."""
    parts = shown(report)
    rest = {"losses": _losses, "test": _test, "tried": _tried}
    return {
        "made": record.parts_made(parts),
        **{name: claims_table(of(report) if parts else ()) for name, of in _OF.items()},
        **{name: of(report) if parts else record.NOTHING for name, of in rest.items()},
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
    for which, rows in enumerate(("validation", "test")):
        ratios = ", ".join(
            f"{found[_says(space, n, 'grid', which)]['value']:.2f}" for space, n in TOLD
        )
        holds = [
            found[_says(space, n, "grid", which)]["holds"] for space, n in COMPARED
        ]
        told.append(
            f"{ratios} on {rows} rows, of {len(holds)} comparisons surely lower in "
            f"{holds.count('yes')} and surely higher in {holds.count('no')}"
        )
    cases = "; ".join(f"{space}, {n} trials" for space, n in TOLD)
    return f"Loss of random search over that of a grid ({cases}): {'; '.join(told)}"


def claims(report: Report) -> list[Claim]:
    """What the notes say of it, and of useless hyperparameters."""
    return [each for of in _OF.values() for each in of(report)]


def _on_validation_rows(report: Report) -> Iterator[Claim]:
    yield from _compared(report, "grid", 0)
    yield from _costs(report, 0)


def _on_test_rows(report: Report) -> Iterator[Claim]:
    yield from _compared(report, "grid", 1)
    yield from _costs(report, 1)


def _against_ends(report: Report) -> Iterator[Claim]:
    yield from _compared(report, "ends", 0)
    yield from _compared(report, "ends", 1)


_OF = {
    "claims": _on_validation_rows,
    "claims-test": _on_test_rows,
    "claims-ends": _against_ends,
}
"""The claims of each table."""


def _compared(report: Report, with_: str, which: int) -> Iterator[Claim]:
    """Random search against another one, by space and trials."""
    for space, n in COMPARED:
        if _has(report, space, n):
            sides = (losses(report, space, s, n, which) for s in ("random", with_))
            ratios = [a / b for a, b in zip(*sides, strict=True)]
            yield ratio_claim(_says(space, n, with_, which), ratios)


def _costs(report: Report, which: int) -> Iterator[Claim]:
    """What two useless hyperparameters cost either search."""
    for search, n in (("grid", 16), ("grid", 81), ("random", 16)):
        if _has(report, FOUR, n) and _has(report, TWO, n):
            sides = (losses(report, space, search, n, which) for space in (FOUR, TWO))
            ratios = [a / b for a, b in zip(*sides, strict=True)]
            line = {"above": 1.0} if search == "grid" else {"below": LITTLE}
            yield ratio_claim(_says_cost(search, n, which), ratios, **line)


def _has(report: Report, space: str, n: int) -> bool:
    """Whether there is such a grid: a quick run has small ones alone."""
    return str(n) in report["searches"]["seeds"][0]["spaces"][space]["grid"]


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


def _says(space: str, n: int, with_: str, which: int) -> str:
    return (
        f"{space}, {n} trials: {LOSSES[which]} of random search over that of a "
        f"{SEARCHES[with_]}"
    )


def _says_cost(search: str, n: int, which: int) -> str:
    who = "a grid's" if search == "grid" else "random search's"
    return f"{n} trials: {who} {LOSSES[which]} with two useless ones over that without"


def _losses(report: Report, which: int = 0) -> str:
    lines = []
    for space, of in report["searches"]["spaces"].items():
        names = len(of["useful"]) + len(of["useless"])
        for values in of["values"]:
            n = values**names
            means = [
                geometric(losses(report, space, search, n, which))
                for search in SEARCHES
            ]
            lines.append((space, f"{n}", *(f"{mean:.4f}" for mean in means)))
    return table(("space", "trials", *SEARCHES.values()), lines, left=1)


def _test(report: Report) -> str:
    return _losses(report, 1)


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
