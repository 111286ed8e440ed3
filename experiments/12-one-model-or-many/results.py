"""The claims and the tables of README.md, made from report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, geometric_mean
from typing import Any

import record
from claims import Claim, claims_table, count_claim, doubt, ratio_claim
from record import table

__all__ = [
    "QUESTION",
    "answer",
    "claims",
    "fill",
    "shown",
    "tables",
    "tuned",
    "ways",
]

QUESTION = "One model watched and nudged, a tuned schedule, or a search of many models?"
RESTS_ON = ("search", "babysit")
NAMES = {
    "fixed": "default learning rate, fixed",
    "tuned": "cosine, its learning rate tuned",
    "babysat": "one model babysat",
    "many": "a search of many, as large",
    "many of any size": "a search of many, of any size",
    "fixed too high": "30 times the learning rate, fixed",
    "babysat, too high": "30 times the learning rate, babysat",
}
_FINAL, _LOWEST, _TEST = "final", "lowest", "test"
_OTHERS = ("fixed", "tuned", "many", "many of any size")
_SCHEDULES = ("fixed", "tuned")
_LEAST = 1e-3
"""Losses below this count as this: of less than nothing there is no ratio."""

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
    rest = {
        "final": lambda: _losses(report, _FINAL),
        "lowest": lambda: _losses(report, _LOWEST),
        "test": lambda: _losses(report, _TEST),
        "rates": lambda: _rates(report),
        "killed": lambda: _killed(report),
        "steered": lambda: _steered(report),
        "work": lambda: _work(report),
    }
    return made | {
        name: make() if parts else record.NOTHING for name, make in rest.items()
    }


def shown(report: Report) -> dict[str, Any]:
    """The parts that the answer rests on."""
    again = report.get("again", {})
    later = {f"{name}, again": {"made": made} for name, made in again.items()}
    return {"all": report, **later} if "made" in report else {}


def answer(report: Report) -> str:
    """The answer, for the list of all experiments."""
    if not shown(report):
        return "not measured yet"
    found = {each["says"]: each for each in report["claims"]}

    def told(metric: str, others: Sequence[str]) -> str:
        each = [found[_says(metric, other, "all tables")] for other in others]
        return ", ".join(
            f"{of['value']:.2f} ({NAMES[other]}){doubt(of)}"
            for of, other in zip(each, others, strict=True)
        )

    return (
        "Lowest validation loss of one model babysat over that of others, after "
        f"{report['schedules']['budget']} epochs each: {told(_LOWEST, _OTHERS)}; test "
        f"loss: {told(_TEST, _OTHERS)}; where a schedule is left to run, loss of what "
        f"one has in the end: {told(_FINAL, _SCHEDULES)}"
    )


def claims(report: Report) -> list[Claim]:
    """Babysat against the others over all tables and by table; starts; kills; edits."""
    part, found = runs_of(report), []
    for metric in (_LOWEST, _TEST, _FINAL):
        for other in _SCHEDULES if metric == _FINAL else _OTHERS:
            pairs = _pairs(part, "babysat", other, metric)
            found.append(_over_tables(_says(metric, other, "all tables"), pairs))
            if metric == _FINAL:
                found += [
                    ratio_claim(_says(metric, other, name), ratios)
                    for name, ratios in pairs.items()
                ]
    high = "all tables, begun with 30 times the learning rate:"
    for metric, other in ((_LOWEST, "fixed too high"), (_FINAL, "fixed")):
        pairs = _pairs(part, "babysat, too high", other, metric)
        found.append(_over_tables(f"{high} {_says(metric, other, '')}", pairs))
    kills = report["killed"]["runs"]
    differ = [
        r["rounds that differ"] + (not r["same weights"]) + (r["kills"] < 5)
        for r in kills
    ]
    says = "killed five times: rounds and weights that differ"
    found.append(count_claim(says, differ))
    wanted = report["steered"]["wanted"]
    missed = [
        (run["lr of the next round"] != wanted) + (run["lowest lr after it"] <= 0)
        for run in report["steered"]["runs"]
    ]
    says = "steered: edits not taken, or wrong ones taken"
    return [*found, count_claim(says, missed)]


def _over_tables(says: str, pairs: Mapping[str, Sequence[float]]) -> Claim:
    """One sample a table: seeds of one table tell little of another."""
    means = [geometric_mean(ratios) for ratios in pairs.values()]
    # A quick run has one table alone.
    return ratio_claim(says, means if len(means) > 1 else next(iter(pairs.values())))


def runs_of(report: Report) -> dict[str, Any]:
    """The schedules' part, with what one model watched came to in each of its runs."""
    part = report["schedules"]
    watched = {
        (run["table"], run["seed"]): run["ways"] for run in report["babysat"]["runs"]
    }
    runs = [
        {**run, "ways": {**run["ways"], **watched[run["table"], run["seed"]]}}
        for run in part["runs"]
    ]
    return {**part, "runs": runs}


def tuned(part: Report, metric: str, name: str) -> str:
    """The cosine schedule that is best on a table, by the mean over seeds."""
    keys = [f"cosine {lr:g}" for lr in part["lrs"]]
    runs = [run for run in part["runs"] if run["table"] == name]
    by = _LOWEST if metric == _TEST else metric
    return min(keys, key=lambda key: fmean(run["ways"][key][by] for run in runs))


def ways(part: Report, metric: str, name: str, way: str) -> list[float]:
    """A way's losses on a table, one a seed."""
    key = tuned(part, metric, name) if way == "tuned" else way
    return [r["ways"][key][metric] for r in part["runs"] if r["table"] == name]


def _names(part: Report) -> list[str]:
    return list(dict.fromkeys(run["table"] for run in part["runs"]))


def _pairs(
    part: Report, one: str, other: str, metric: str
) -> dict[str, Sequence[float]]:
    """Ratios by table, one a seed: both ways had the same rows."""
    found = {}
    for name in _names(part):
        both = zip(
            ways(part, metric, name, one), ways(part, metric, name, other), strict=True
        )
        found[name] = [max(_LEAST, a) / max(_LEAST, b) for a, b in both]
    return found


def _says(metric: str, other: str, name: str) -> str:
    said = f"{metric} loss of one model babysat over {NAMES[other]}"
    return f"{name}: {said}" if name else said


def _losses(report: Report, metric: str) -> str:
    part, lines = runs_of(report), []
    for name in _names(part):
        line = [name]
        for way in NAMES:
            found = ways(part, metric, name, way)
            line.append(f"{fmean(found):.4f}")
        lines.append(line)
    return table(("table", *NAMES.values()), lines, left=1)


def _rates(report: Report) -> str:
    part = runs_of(report)
    keys = [f"cosine {lr:g}" for lr in part["lrs"]]
    lines = []
    for name in _names(part):
        for metric in (_FINAL, _LOWEST):
            runs = [run for run in part["runs"] if run["table"] == name]
            means = [fmean(run["ways"][key][metric] for run in runs) for key in keys]
            cells = [f"{mean:.4f}" for mean in means]
            at = means.index(min(means))
            cells[at] = f"**{cells[at]}**"
            lines.append((name, metric, *cells))
    return table(("table", "loss", *(f"{lr:g}" for lr in part["lrs"])), lines, left=2)


def _killed(report: Report) -> str:
    lines = [
        (
            str(run["seed"]),
            str(run["kills"]),
            str(run["rounds"]),
            str(run["rounds that differ"]),
            "yes" if run["same weights"] else "no",
        )
        for run in report["killed"]["runs"]
    ]
    head = ("seed", "kills", "rounds", "rounds that differ", "same weights")
    return table(head, lines, left=0)


def _steered(report: Report) -> str:
    lines = [
        (
            str(run["seed"]),
            f"`lr = {report['steered']['wanted']:g}`",
            f"{run['lr of the next round']:g}",
            run["refused"],
            str(run["rounds after it"]),
            f"{run['lowest lr after it']:.2g}",
        )
        for run in report["steered"]["runs"]
    ]
    head = (
        *("seed", "edit", "lr of the next round", "of the wrong edit"),
        *("rounds after it", "lowest lr in them"),
    )
    return table(head, lines, left=4)


def _work(report: Report) -> str:
    """What searches took, in epochs of the one model's network."""
    part, lines = runs_of(report), []
    for name in _names(part):
        line = [name]
        for way in ("many", "many of any size"):
            runs = [run["ways"][way] for run in part["runs"] if run["table"] == name]
            line += [
                f"{fmean(run['trials'] for run in runs):.0f}",
                f"{fmean(run['work'] for run in runs):.2f}",
            ]
        lines.append(line)
    head = [
        f"{NAMES[way]}: {what}"
        for way in ("many", "many of any size")
        for what in ("models", "work")
    ]
    return table(("table", *head), lines, left=1)
