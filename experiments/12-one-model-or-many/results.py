"""The claims and the tables of README.md, made from report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import record
from claims import Claim, claim, claims_table, ratio_claim
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
    "many": "a search of many",
    "fixed too high": "30 times the learning rate, fixed",
    "babysat, too high": "30 times the learning rate, babysat",
}
_FINAL, _LOWEST, _TEST = "final", "lowest", "test"
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
    told = []
    for other in ("fixed", "tuned", "many"):
        each = found[_says(_FINAL, other, "all tables")]
        sure = "" if each["holds"] else " (not sure)"
        told.append(f"{each['value']:.2f} ({NAMES[other]}){sure}")
    return (
        f"Final validation loss of one model babysat over that of others, after "
        f"{report['schedules']['budget']} epochs each: {', '.join(told)}"
    )


def claims(report: Report) -> list[Claim]:
    """Babysat against the others, by table and over all; kills; starts; edits."""
    part, found = runs_of(report), []
    for metric in (_FINAL, _LOWEST, _TEST):
        for other in ("fixed", "tuned", "many"):
            pairs = _pairs(part, "babysat", other, metric)
            found += [
                ratio_claim(_says(metric, other, name), ratios)
                for name, ratios in pairs.items()
                if metric == _FINAL and other != "many"
            ]
            every = [ratio for ratios in pairs.values() for ratio in ratios]
            found.append(ratio_claim(_says(metric, other, "all tables"), every))
    start = _pairs(part, "babysat, too high", "fixed", _FINAL)
    found.append(
        ratio_claim(
            "all tables: final loss of one babysat from 30 times the learning rate, "
            "over that of the default one, fixed",
            [ratio for ratios in start.values() for ratio in ratios],
        )
    )
    kills = report["killed"]["runs"]
    differ = [
        float(r["rounds that differ"] + (not r["same weights"]) + (r["kills"] < 5))
        for r in kills
    ]
    found.append(
        claim("killed five times: rounds and weights that differ", differ, below=0.5)
    )
    wanted = report["steered"]["wanted"]
    missed = [
        float(run["lr of the next round"] != wanted)
        + float(run["lr before"] != run["lr after"])
        for run in report["steered"]["runs"]
    ]
    found.append(
        claim("steered: edits not taken, or wrong ones taken", missed, below=0.5)
    )
    return found


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
    return f"{name}: {metric} loss of one model babysat over {NAMES[other]}"


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
            f"{run['lr before']:g}, {run['lr after']:g}",
        )
        for run in report["steered"]["runs"]
    ]
    head = ("seed", "edit", "lr of the next round", "of the wrong edit", "lr around it")
    return table(head, lines, left=5)
