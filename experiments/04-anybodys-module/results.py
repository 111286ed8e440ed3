"""The tables and the verdict of README.md, made from report.json.

What the report does not hold yet leaves its table empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import record
from record import table

__all__ = ["PARTS", "QUESTION", "answer", "fill", "shown", "tables"]

QUESTION = (
    "What does a search of one's own module ask of its user, and what does it leave?"
)
PARTS = ("search", "epochs", "ddp")
_HAND, _OURS = "by hand", "by tunekit"
_DELETED = "left once all is deleted"

Report = Mapping[str, Any]


def fill(text: str, report: Report) -> str:
    """A text with all its tables made anew."""
    return record.fill(text, tables(report))


def tables(report: Report) -> dict[str, str]:
    """Every table by name."""
    return {
        "made": record.parts_made(report),
        "verdict": _verdict(report),
        "lines": _lines(report),
        "kills": _kills(report),
        "left": _left(report),
        "whole": _whole(report),
        "ddp": _ddp(report),
    }


def shown(report: Report) -> dict[str, Any]:
    """The parts that the answer rests on."""
    return {name: report[name] for name in PARTS if name in report}


def answer(report: Report) -> str:
    """The answer, for the list of all experiments."""
    if "search" not in report:
        return "not measured yet"
    hand, ours = _both(report)
    kills = ours["kills"]["kills"]
    told = (
        f"{ours['lines']} lines of code (by hand {hand['lines']}), "
        f"{ours['kills']['lost trials']} trials lost by {kills} kills "
        f"({hand['kills']['lost trials']}), after {_pruned(ours)} pruned trials "
        f"{_left_of(ours, 'open files')} open files and "
        f"{_left_of(ours, 'processes')} processes left "
        f"(after {_pruned(hand)}: {_left_of(hand, 'open files')} and "
        f"{_left_of(hand, 'processes')})"
    )
    for way in _together(report)[:1]:
        told += (
            f"; by two processes a {way['search']} search ends "
            f"{way['alike']['states']} of {report['ddp']['n_trials']} trials as by one"
        )
    return told


def _both(report: Report) -> tuple[Report, Report]:
    scripts = report["search"]["scripts"]
    return scripts[_HAND], scripts[_OURS]


def _pruned(of: Report) -> int:
    return int(of["workers"]["states"].get("PRUNED", 0))


def _left_of(of: Report, what: str, when: str = "left") -> int:
    return sum(of["workers"][when][what].values())


def _verdict(report: Report) -> str:
    lines = []
    if "search" in report:
        hand, ours = _both(report)
        lines += [
            f"- **Lines**: {ours['lines']}, by hand {hand['lines']}.",
            f"- **Kills**: of {ours['kills']['kills']}, "
            f"{ours['kills']['lost trials']} trials lost for ever; by hand of "
            f"{hand['kills']['kills']}, {hand['kills']['lost trials']}, with "
            f"{hand['kills']['lost epochs']} epochs of training. With the values of "
            f"the search never killed end {ours['kills']['same values']} of "
            f"{ours['kills']['studies']}.",
            f"- **Left in the process** after {_pruned(ours)} pruned trials: "
            f"{_left_of(ours, 'open files')} open files, "
            f"{_left_of(ours, 'processes')} processes; by hand, after "
            f"{_pruned(hand)}: {_left_of(hand, 'open files')} and "
            f"{_left_of(hand, 'processes')}, and "
            f"{_left_of(hand, 'open files', _DELETED)} and "
            f"{_left_of(hand, 'processes', _DELETED)} once all names are deleted and "
            "the garbage is collected.",
            f"- **Left on disk** by {report['search']['n_trials']} trials: "
            f"{_disk(ours)}; by hand {_disk(hand)}.",
        ]
    if "search" in report and "epochs" in report:
        told = ", ".join(
            f"{_of(runs, 'best value'):.4f} for {_of(runs, 'epochs'):.0f} epochs "
            f"(`{name}`)"
            for name, runs in report["epochs"]["budgets"].items()
        )
        whole = _both(report)[0]["whole"]
        lines.append(
            f"- **Best value** (median; lower is better): {told}; by hand "
            f"{_of(whole, 'best value'):.4f} for {_of(whole, 'epochs'):.0f}."
        )
    for way in _together(report):
        alike, n = way["alike"], report["ddp"]["n_trials"]
        lines.append(
            f"- **{way['processes'].capitalize()} processes, {way['search']}**: of {n} "
            f"trials {alike['states']} end in the same state as by one, "
            f"{alike['epochs']} after as many epochs; values differ by at most "
            f"{alike['largest relative difference']:.0e} of themselves."
        )
    if "ddp" in report:
        failed = len(report["ddp"]["faults"])
        lines.append(f"- **Hung or failed**, of all these: {failed or 'none'}.")
    return "\n".join(lines) or record.NOTHING


def _disk(of: Report) -> str:
    folders, files, size = (_of(of["whole"], x) for x in ("folders", "files", "MB"))
    return f"{folders:.0f} folders, {files:.0f} files, {size:.1f} MB"


def _of(runs: Sequence[Report], what: str) -> float:
    return float(median(run[what] for run in runs))


def _lines(report: Report) -> str:
    scripts = report["search"]["scripts"] if "search" in report else {}
    lines = [(name, f"{of['lines']}") for name, of in scripts.items()]
    return table(("", "lines of code"), lines, left=1)


def _kills(report: Report) -> str:
    keys = ("kills", "studies", "lost trials", "lost epochs", "reached", "same values")
    lines = []
    for name, of in report["search"]["scripts"].items() if "search" in report else ():
        found = {key: f"{of['kills'][key]}" for key in keys}
        if name == _HAND:
            # It draws anew every time.
            found["same values"] = "–"
        lines.append((name, *found.values()))
    return table(("", *keys), lines, left=1)


def _left(report: Report) -> str:
    lines = []
    for name, of in report["search"]["scripts"].items() if "search" in report else ():
        for when, told in (
            ("left", "at the end of the script"),
            (_DELETED, "all names deleted, garbage collected"),
        ):
            kinds = of["workers"][when]
            which = ", ".join(f"{n} {what}" for what, n in _kinds(kinds)) or "–"
            counts = (
                f"{_pruned(of)}",
                f"{_left_of(of, 'open files', when)}",
                f"{_left_of(of, 'processes', when)}",
            )
            lines.append((name, told, which, *counts))
    head = ("", "when", "which", "trials pruned", "open files", "processes")
    return table(head, lines, left=3)


def _kinds(left: Report) -> list[tuple[str, int]]:
    """What was left, the shared memory of batches under one name."""
    found: dict[str, int] = {}
    for what, n in [*left["open files"].items(), *left["processes"].items()]:
        name = "shared memory" if what.startswith("torch_") else what
        found[name] = found.get(name, 0) + n
    return [*found.items()]


def _whole(report: Report) -> str:
    lines = []
    scripts = report["search"]["scripts"] if "search" in report else {}
    for name, of in scripts.items():
        lines.append(_run(f"{name}, as written", of["whole"]))
    for name, runs in report["epochs"]["budgets"].items() if "epochs" in report else ():
        lines.append(_run(f"{_OURS}, `{name}`, seeds 0 to {len(runs) - 1}", runs))
    head = (
        *("", "runs", "s", "epochs", "best value, each", "median"),
        *("the model has it", "lowest of all epochs"),
    )
    return table(head, lines, left=1)


def _run(name: str, runs: Sequence[Report]) -> tuple[str, ...]:
    return (
        name,
        f"{len(runs)}",
        f"{_of(runs, 'seconds'):.1f}",
        f"{_of(runs, 'epochs'):.0f}",
        ", ".join(f"{run['best value']:.4f}" for run in runs),
        f"{_of(runs, 'best value'):.4f}",
        f"{sum(run['the model has it'] for run in runs)}",
        f"{sum(run['it is the lowest of all epochs'] for run in runs)}",
    )


def _together(report: Report) -> list[Report]:
    """The searches by two processes."""
    ways = report.get("ddp", {}).get("ways", [])
    return [way for way in ways if way["processes"] != "one"]


def _ddp(report: Report) -> str:
    lines = [
        (
            way["search"],
            way["processes"],
            f"{way['seconds']:.0f}",
            *(f"{way['states'].get(each, 0)}" for each in ("COMPLETE", "PRUNED")),
            f"{way['epochs']}",
            *(
                f"{way['alike'][each]}"
                for each in ("hyperparameters", "states", "epochs")
            ),
            f"{way['alike']['largest relative difference']:.0e}",
            f"{way['processes left']}",
        )
        for way in report.get("ddp", {}).get("ways", [])
    ]
    head = (
        *("search", "processes", "s", "complete", "pruned", "epochs"),
        *("same hyperparameters", "same state", "as many epochs"),
        *("largest difference", "processes left"),
    )
    return table(head, lines, left=2)
