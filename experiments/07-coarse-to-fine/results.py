"""The claims and the tables of README.md, made from report.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import record
from claims import Claim, claim, claims_table, ratio_claim
from record import table

__all__ = ["QUESTION", "answer", "claims", "fill", "lowest", "shown", "tables"]

QUESTION = "Coarse to fine or random draws all over the space, at equal epochs?"
RESTS_ON = ("search",)
OURS, FLAT = "coarse-to-fine", "random"
PRUNERS = {"none": "each trained to its end", "promote": "paused and promoted"}
SHARES = (0.2, 0.4, 1.0)
"""Of the budget, after which they are compared."""
SOLVED = 1e-3
"""Losses below this count as this: of less than nothing there is no ratio."""
_OVER = "loss of coarse to fine over that of random"

Report = Mapping[str, Any]
Pair = tuple[Report, Report]
"""A run coarse to fine, and that of random draws on the same table and seed."""


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
    rest = {"losses": _losses, "test": _test, "narrowed": _narrowed}
    return made | {
        name: make(report["searches"]) if parts else record.NOTHING
        for name, make in rest.items()
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
    for pruner, how in PRUNERS.items():
        each = [found[_says(pruner, budget)] for budget in _budgets(report["searches"])]
        ratios = ", ".join(
            f"{of['value']:.2f}{'' if of['holds'] else ' (not sure)'}" for of in each
        )
        told.append(f"{how} {ratios}")
    budgets = ", ".join(f"{budget}" for budget in _budgets(report["searches"]))
    return (
        f"Loss of coarse to fine over that of random draws after {budgets} epochs: "
        f"{'; '.join(told)}"
    )


def claims(report: Report) -> list[Claim]:
    """That narrowing pays, by loss and by how often."""
    part = report["searches"]
    found = []
    for pruner in PRUNERS:
        pairs = _pairs(part, pruner)
        for budget in _budgets(part):
            ratios = [lowest(a, budget) / lowest(b, budget) for a, b in pairs]
            found.append(ratio_claim(_says(pruner, budget), ratios))
        wins = [_won(a, b, part["budget"]) for a, b in pairs]
        found.append(claim(_says_wins(pruner, part["budget"]), wins, above=0.5))
    return found


def lowest(run: Report, budget: int) -> float:
    """The lowest validation loss after so many epochs, all trials together."""
    known = [loss for spent, loss in run["history"] if spent <= budget]
    return float(max(SOLVED, min(known)))


def _won(ours: Report, flat: Report, budget: int) -> float:
    a, b = lowest(ours, budget), lowest(flat, budget)
    return 0.5 if a == b else float(a < b)


def _pairs(part: Report, pruner: str, name: str | None = None) -> list[Pair]:
    """Runs of both searches on one table and seed."""
    by = {
        (run["table"], run["seed"], run["sampler"]): run
        for run in part["runs"]
        if run["pruner"] == pruner and name in (None, run["table"])
    }
    return [
        (run, by[where, seed, FLAT])
        for (where, seed, sampler), run in by.items()
        if sampler == OURS
    ]


def _budgets(part: Report) -> list[int]:
    return [round(share * part["budget"]) for share in SHARES]


def _says(pruner: str, budget: int) -> str:
    return f"{PRUNERS[pruner]}, {budget} epochs: {_OVER}"


def _says_wins(pruner: str, budget: int) -> str:
    return f"{PRUNERS[pruner]}, {budget} epochs: share of runs that coarse to fine wins"


def _losses(part: Report) -> str:
    lines = []
    for name in dict.fromkeys(run["table"] for run in part["runs"]):
        for pruner, how in PRUNERS.items():
            pairs = _pairs(part, pruner, name)
            for place, sampler in enumerate((OURS, FLAT)):
                runs = [pair[place] for pair in pairs]
                trials = sum(run["trials"] for run in runs) / len(runs)
                means = [
                    _mean([lowest(run, budget) for run in runs])
                    for budget in _budgets(part)
                ]
                told = (f"{mean:.4f}" for mean in means)
                lines.append((name, how, sampler, f"{trials:.0f}", *told))
    budgets = (f"{budget} epochs" for budget in _budgets(part))
    return table(("table", "trials are", "search", "trials", *budgets), lines, left=3)


def _test(part: Report) -> str:
    lines = []
    for name in dict.fromkeys(run["table"] for run in part["runs"]):
        for pruner, how in PRUNERS.items():
            pairs = _pairs(part, pruner, name)
            means = (
                _mean([pair[place]["test_loss"] for pair in pairs]) for place in (0, 1)
            )
            lines.append((name, how, *(f"{mean:.4f}" for mean in means)))
    return table(("table", "trials are", OURS, FLAT), lines, left=2)


def _narrowed(part: Report) -> str:
    """What the drawn search had narrowed to in the end."""
    regions = part["example"].get("regions")
    if not regions:
        return record.NOTHING
    last = regions[-1]["region"]
    lines = []
    for entry in part["example"]["space"]:
        kept = last.get(entry["name"])
        if not kept:
            continue
        if entry["scale"] == "choices":
            whole, found = entry["choices"], kept
            texts = [", ".join(map(str, each)) for each in (whole, found)]
        else:
            ends = ((entry["low"], entry["high"]), kept)
            texts = [f"{low:.4g} to {high:.4g}" for low, high in ends]
        lines.append((entry["name"], *texts))
    return table(
        ("hyperparameter", "searched", "looked at most, in the end"), lines, left=3
    )


def _mean(values: list[float]) -> float:
    """The geometric mean."""
    return math.exp(math.fsum(map(math.log, values)) / len(values))
