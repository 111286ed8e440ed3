"""The claims and the tables of README.md, made from report.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import record
from chances import geometric
from claims import Claim, claims_table, doubt, ratio_claim, share_claim
from record import table

__all__ = ["QUESTION", "answer", "claims", "fill", "lowest", "shown", "tables"]

QUESTION = "Does it pay to close in, over random draws all over, at equal epochs?"
RESTS_ON = ("search",)
OURS, NARROWING, FLAT = "coarse-to-fine", "narrowing", "random"
SAMPLERS = {OURS: "tunekit's", NARROWING: "narrowing draws", FLAT: "draws all over"}
COMPARED = {
    "narrowing": (NARROWING, FLAT),
    "model": (OURS, FLAT),
    "both": (OURS, NARROWING),
}
"""By the name of a table: whose loss is held against whose."""
PRUNERS = {"none": "each trained to its end", "promote": "paused and promoted"}
SHARES = (0.2, 0.4, 1.0)
"""Of the budget, after which they are compared."""
SOLVED = 1e-3
"""Losses below this count as this: of less than nothing there is no ratio."""

Report = Mapping[str, Any]
Pair = tuple[Report, Report]
"""Runs of two searches on the same table and seed."""


def fill(text: str, report: Report) -> str:
    """A text with all its tables made anew."""
    return record.fill(text, tables(report))


def tables(report: Report) -> dict[str, str]:
    """Every table by name."""
    parts = shown(report)
    made = {
        "made": record.parts_made(parts),
        **{
            f"claims-{name}": claims_table(_claims(report, *pair) if parts else ())
            for name, pair in COMPARED.items()
        },
    }
    rest = {"losses": _losses, "test": _test, "kept": _kept, "narrowed": _narrowed}
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
    most = report["searches"]["budget"]
    told = []
    for who, other in ((NARROWING, FLAT), (OURS, FLAT)):
        for pruner, how in PRUNERS.items():
            loss = found[_says(pruner, most, who, other)]
            test = found[_says_test(pruner, who, other)]
            told.append(
                f"{SAMPLERS[who]}, {how}: {loss['value']:.2f}{doubt(loss)}, on test "
                f"rows {test['value']:.2f}{doubt(test)}"
            )
    return f"Loss over that of draws all over, {most} epochs each; {'; '.join(told)}"


def claims(report: Report) -> list[Claim]:
    """That closing in pays, without a model and with one, and that a model does."""
    return [each for pair in COMPARED.values() for each in _claims(report, *pair)]


def _claims(report: Report, who: str, other: str) -> Iterator[Claim]:
    """By loss, by how often, and by test loss."""
    part = report["searches"]
    most = part["budget"]
    pairs = {pruner: _pairs(part, pruner, who, other) for pruner in PRUNERS}
    for pruner in PRUNERS:
        for budget in _budgets(part):
            ratios = [lowest(a, budget) / lowest(b, budget) for a, b in pairs[pruner]]
            yield ratio_claim(_says(pruner, budget, who, other), ratios)
        wins = [lowest(a, most) < lowest(b, most) for a, b in pairs[pruner]]
        yield share_claim(_says_wins(pruner, most, who, other), wins, above=0.5)
    for pruner in PRUNERS:
        ratios = [_tested(a) / _tested(b) for a, b in pairs[pruner]]
        yield ratio_claim(_says_test(pruner, who, other), ratios)


def lowest(run: Report, budget: int) -> float:
    """The lowest validation loss after so many epochs, all trials together."""
    known = [loss for spent, loss in run["history"] if spent <= budget]
    return float(max(SOLVED, min(known)))


def _tested(run: Report) -> float:
    """The test loss of the winner."""
    return float(max(SOLVED, run["test_loss"]))


def _pairs(part: Report, pruner: str, who: str, other: str) -> list[Pair]:
    """A search's runs, each beside another search's on its table and seed."""
    by = {
        (run["table"], run["seed"], run["sampler"]): run
        for run in _runs(part, pruner=pruner)
    }
    return [
        (run, by[name, seed, other])
        for (name, seed, sampler), run in by.items()
        if sampler == who
    ]


def _runs(part: Report, **of: str) -> list[Report]:
    """The runs of a table, a way of training, a sampler."""
    return [run for run in part["runs"] if of.items() <= run.items()]


def _names(part: Report) -> list[str]:
    return [*dict.fromkeys(run["table"] for run in part["runs"])]


def _budgets(part: Report) -> list[int]:
    return [round(share * part["budget"]) for share in SHARES]


def _says(pruner: str, budget: int, who: str, other: str) -> str:
    return f"{PRUNERS[pruner]}, {budget} epochs: loss, {_over(who, other)}"


def _says_wins(pruner: str, budget: int, who: str, other: str) -> str:
    return (
        f"{PRUNERS[pruner]}, {budget} epochs: share of runs won, {SAMPLERS[who]} "
        f"against {SAMPLERS[other]}"
    )


def _says_test(pruner: str, who: str, other: str) -> str:
    return f"{PRUNERS[pruner]}: test loss, {_over(who, other)}"


def _over(who: str, other: str) -> str:
    return f"{SAMPLERS[who]} over {SAMPLERS[other]}"


def _losses(part: Report) -> str:
    lines = []
    for name in _names(part):
        for pruner, how in PRUNERS.items():
            for sampler, who in SAMPLERS.items():
                runs = _runs(part, table=name, pruner=pruner, sampler=sampler)
                trials = sum(run["trials"] for run in runs) / len(runs)
                told = (
                    f"{geometric(lowest(run, budget) for run in runs):.4f}"
                    for budget in _budgets(part)
                )
                lines.append((name, how, who, f"{trials:.0f}", *told))
    budgets = (f"{budget} epochs" for budget in _budgets(part))
    return table(("table", "trials are", "search", "trials", *budgets), lines, left=3)


def _test(part: Report) -> str:
    lines = []
    for name in _names(part):
        for pruner, how in PRUNERS.items():
            means = (
                geometric(
                    map(_tested, _runs(part, table=name, pruner=pruner, sampler=each))
                )
                for each in SAMPLERS
            )
            lines.append((name, how, *(f"{mean:.4f}" for mean in means)))
    return table(("table", "trials are", *SAMPLERS.values()), lines, left=2)


def _kept(part: Report) -> str:
    """How much of the space is left in the end to those that close in."""
    lines = []
    for pruner, how in PRUNERS.items():
        shares = []
        for sampler in (OURS, NARROWING):
            kept = [run["kept"] for run in _runs(part, pruner=pruner, sampler=sampler)]
            shares.append(f"{100 * sum(kept) / len(kept):.0f} %")
        lines.append((how, *shares))
    return table(("trials are", SAMPLERS[OURS], SAMPLERS[NARROWING]), lines, left=1)


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
    return table(("hyperparameter", "searched", "region, in the end"), lines, left=3)
