"""The tables and the verdict of README.md, made from report.json.

What the report does not hold yet leaves its table empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import record
from record import table

__all__ = ["QUESTION", "answer", "fill", "shown", "tables"]

QUESTION = "Which search finds good hyperparameters with the fewest epochs?"

OURS = "tunekit"
ALONE = "coarse-to-fine"
AIMS: dict[str, Sequence[float]] = {
    "lcbench": (0.36, 0.26, 0.21, 0.12, 0.07),
    "taskset": (0.43, 0.38, 0.23, 0.08, 0.02),
    "alone": (0.40, 0.10),
}
"""Regret to be reached at most, by budget."""
NAMES = {"lcbench": "LCBench", "taskset": "TaskSet"}
KNOWN = {
    "random": (0.929, 0.924, 0.698, 0.475, 0.421),
    "tpe+halving": (0.929, 0.661, 0.473, 0.349, 0.307),
}
"""Of LCBench, 12 tables and 3 seeds, measured by another program."""
ASK_AIMS = {"200": 60.0, "1000": 200.0}
TOY_AIMS = {"memory": 5.0, "journal": 12.0}
GROWTH_AIM = 1.5

Report = Mapping[str, Any]


def fill(text: str, report: Report) -> str:
    """A text with all its tables made anew."""
    return record.fill(text, tables(report))


def tables(report: Report) -> dict[str, str]:
    """Every table by name."""
    return {
        "made": record.parts_made(report),
        "lcbench": _searches(report.get("lcbench")),
        "lcbench-aims": _aims(report, "lcbench", OURS),
        "taskset": _searches(report.get("taskset")),
        "taskset-aims": _aims(report, "taskset", OURS),
        "check": _check(report),
        "alone": _searches(report.get("alone")),
        "alone-aims": _aims(report, "alone", ALONE),
        "training": _searches(report.get("training"), digits=3),
        "training-ranks": _searches(report.get("training"), "rank", digits=2),
        "asks": _asks(report),
        "toys": _toys(report),
        "verdict": verdict(report),
    }


def shown(report: Report) -> dict[str, Any]:
    """The parts that the answer rests on."""
    return {name: report[name] for name in NAMES if name in report}


def answer(report: Report) -> str:
    """The answer, for the list of all experiments."""
    found = []
    for name in shown(report):
        part = report[name]
        ours = _at(part, OURS)
        best, _ = _best_others(part, OURS)
        spans = " ".join(
            f"{mine:.2f} (best other {theirs:.2f})"
            for mine, theirs in zip(ours, best, strict=True)
        )
        led = sum(mine <= theirs for mine, theirs in zip(ours, best, strict=True))
        found.append(
            f"{NAMES[name]}: regret {spans}, ahead at {led} of {len(ours)} budgets"
        )
    budgets = "after 1, 2, 4, 10, 20 full fits; "
    return budgets + "; ".join(found) if found else "not measured yet"


def verdict(report: Report) -> str:
    """What was reached and what was missed, in sentences."""
    lines = []
    for name, who in (("lcbench", OURS), ("taskset", OURS), ("alone", ALONE)):
        if name not in report or who not in report[name]["searches"]:
            continue
        part = report[name]
        ours, aims = _at(part, who), AIMS[name]
        best, _ = _best_others(part, who)
        reached = [mine <= aim for mine, aim in zip(ours, aims, strict=True)]
        led = [mine <= theirs for mine, theirs in zip(ours, best, strict=True)]
        title = NAMES.get(name, "The sampler alone")
        lines.append(
            f"- **{title}**: aims reached {_which(reached, part['budgets'])}; "
            f"ahead of every other search {_which(led, part['budgets'])}."
        )
    if "training" in report:
        part = report["training"]
        ours = _at(part, OURS)
        best, _ = _best_others(part, OURS)
        led = [mine <= theirs for mine, theirs in zip(ours, best, strict=True)]
        lines.append(
            f"- **Real training**: ahead {_which(led, part['budgets'])} by the mean "
            "excess over the lowest loss."
        )
    if "cost" in report:
        missed = [each for each in _cost_aims(report["cost"]) if not each[3]]
        lines.append(
            "- **Cost**: "
            + (
                "; ".join(f"{n}: {got:.3g}, aim {aim:g}" for n, got, aim, _ in missed)
                + " missed."
                if missed
                else "every aim kept."
            )
        )
    return "\n".join(lines) or record.NOTHING


def _which(flags: Sequence[bool], budgets: Sequence[int]) -> str:
    """After which budgets something holds."""
    if all(flags):
        return "at every budget"
    if not any(flags):
        return "at no budget"
    held = [f"{b}" for b, flag in zip(budgets, flags, strict=True) if flag]
    return f"after {', '.join(held)} epochs"


def _at(part: Report, search: str, what: str = "mean") -> list[float]:
    """A search's figures after each budget."""
    values = part["searches"][search][what]
    return [values[part["span"].index(budget)] for budget in part["budgets"]]


def _best_others(part: Report, ours: str) -> tuple[list[float], list[str]]:
    """After each budget, the lowest mean of the others, and whose it is."""
    others = [name for name in part["searches"] if name != ours]
    lines = {name: _at(part, name) for name in others}
    names = [min(lines, key=lambda n: lines[n][i]) for i in range(len(part["budgets"]))]
    return [lines[name][i] for i, name in enumerate(names)], names


def _searches(part: Report | None, what: str = "mean", digits: int = 3) -> str:
    if part is None:
        return record.NOTHING
    error = {"mean": "error", "rank": "rank_error"}[what]
    lines = []
    for name, each in part["searches"].items():
        spans = zip(_at(part, name, what), _at(part, name, error), strict=True)
        lines.append(
            (
                name,
                *(f"{mean:.{digits}f} ± {spread:.{digits}f}" for mean, spread in spans),
                f"{each['runs']}",
                *([f"{each['seconds']:.1f}"] if "seconds" in each else []),
            )
        )
    head = ["search", *(f"{budget}" for budget in part["budgets"]), "runs"]
    if any("seconds" in each for each in part["searches"].values()):
        head.append("s a run")
    return table(head, lines, left=1)


def _aims(report: Report, name: str, who: str) -> str:
    part = report.get(name)
    if part is None or who not in part["searches"]:
        return record.NOTHING
    ours, (best, names) = _at(part, who), _best_others(part, who)
    lines = [
        (
            f"{budget}",
            f"{mine:.3f}",
            f"{aim:.2f}",
            "reached" if mine <= aim else "missed",
            f"{theirs:.3f} ({other})",
        )
        for budget, mine, aim, theirs, other in zip(
            part["budgets"], ours, AIMS[name], best, names, strict=True
        )
    ]
    head = ("epochs", who, "aim, at most", "", "best other")
    return table(head, lines, left=0)


def _check(report: Report) -> str:
    part = report.get("lcbench")
    lines = []
    for name, known in KNOWN.items():
        if part is None or name not in part["searches"]:
            continue
        found = part["searches"][name]["first_seeds"]
        texts = (f"{a:.3f} / {b:.3f}" for a, b in zip(known, found, strict=True))
        lines.append((name, *texts))
    budgets = [] if part is None else part["budgets"]
    return table(("search", *(f"{budget}" for budget in budgets)), lines, left=1)


def _asks(report: Report) -> str:
    cost = report.get("cost", {})
    lines = []
    for name, each in cost.get("asks", {}).items():
        aim = ASK_AIMS.get(name.split(",")[0])
        kept = "" if aim is None else _at_most(aim, each["median"])
        keys = ("median", "most", "median, wall")
        lines.append((name, *(f"{each[key]:.1f}" for key in keys), kept))
    head = ("recorded trials", "median, ms", "most, ms", "wall, median, ms", "aim")
    return table(head, lines, left=1)


def _toys(report: Report) -> str:
    lines = [
        (
            where,
            f"{each['all']:.2f}",
            _at_most(TOY_AIMS[where], each["all"]),
            f"{each['first']:.2f}",
            f"{each['last']:.2f}",
            _at_most(GROWTH_AIM, each["last"] / each["first"], "times, "),
            f"{each['all, wall']:.2f}",
        )
        for where, each in report.get("cost", {}).get("toys", {}).items()
    ]
    head = (
        "kept in",
        "ms a trial",
        "aim",
        "first tenth",
        "last tenth",
        "aim, last to first",
        "wall, ms a trial",
    )
    return table(head, lines, left=1)


def _cost_aims(cost: Report) -> list[tuple[str, float, float, bool]]:
    """Every aim of cost: its name, what was got, the aim, whether it was kept."""
    found = [
        (f"ask after {name}, ms", each["median"], ASK_AIMS[name.split(",")[0]])
        for name, each in cost["asks"].items()
        if name.split(",")[0] in ASK_AIMS
    ]
    for where, each in cost["toys"].items():
        found.append((f"a trial in {where}, ms", each["all"], TOY_AIMS[where]))
        growth = each["last"] / each["first"]
        found.append((f"last to first tenth, {where}", growth, GROWTH_AIM))
    return [(name, got, aim, got <= aim) for name, got, aim in found]


def _at_most(aim: float, value: float, unit: str = "") -> str:
    return f"{aim:g}, {unit}{'kept' if value <= aim else 'missed'}"
