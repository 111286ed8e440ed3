"""The tables and the verdict of README.md, made from report.json.

What the report does not hold yet leaves its table empty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import record
from record import table

__all__ = ["PARTS", "QUESTION", "answer", "fill", "shown", "tables"]

QUESTION = "What can take a study's work with it?"
PARTS = ("kills", "damage", "disk", "poison", "fuzz", "overhead")
_AIM = 0.03
_OUTCOMES = ("recovered", "one line", "traceback", "other values", "no clear line")

Report = Mapping[str, Any]


def fill(text: str, report: Report) -> str:
    """A text with all its tables made anew."""
    return record.fill(text, tables(report))


def tables(report: Report) -> dict[str, str]:
    """Every table by name."""
    return {
        "made": record.parts_made(report),
        "verdict": _verdict(report),
        "kills": _kills(report),
        "damage": _damage(report),
        "disk": _disk(report),
        "poison": _poison(report),
        "fuzz": _fuzz(report),
        "overhead": _overhead(report),
    }


def shown(report: Report) -> dict[str, Any]:
    """The parts that the answer rests on."""
    return {name: report[name] for name in PARTS if name in report}


def answer(report: Report) -> str:
    """The answer, for the list of all experiments."""
    told = _told(report)
    if not told:
        return "not measured yet"
    failed = sum(len(report[name]["faults"]) for name in told)
    return f"{', '.join(told.values())}: {failed or 'nothing'} lost"


def _told(report: Report) -> dict[str, str]:
    """What each part tried, in few words."""
    told = {}
    if "kills" in report:
        n = sum(run["kills"] for run in report["kills"]["runs"])
        told["kills"] = f"{n} kills"
    if "damage" in report:
        told["damage"] = f"{sum(_damaged(report).values()):,} damaged files"
    if "disk" in report:
        told["disk"] = f"{len(report['disk']['cases'])} full disks"
    if "poison" in report:
        told["poison"] = f"{len(report['poison']['cases'])} pickles planted"
    if "fuzz" in report:
        told["fuzz"] = f"{report['fuzz']['cases']:,} fuzzed commands"
    return told


def _failed(part: Report) -> str:
    n = len(part["faults"])
    return f"{n} failed" if n else "none"


def _verdict(report: Report) -> str:
    lines = []
    if "kills" in report:
        for run in report["kills"]["runs"]:
            same = f", {run['same values']} with the values of the one never killed"
            lines.append(
                f"- **{run['kills']} kills, {_workers(run)}**: {run['studies']} "
                f"studies went on to their end{same if run['workers'] == 1 else ''}; "
                f"trials left running: {run['left running']}, epochs recorded twice: "
                f"{run['twice']}, studies with other than {run['n_trials']} trials: "
                f"{run['other than 40 trials']}."
            )
    if "damage" in report:
        found = _damaged(report)
        lines.append(
            f"- **Damage**: of {sum(found.values()):,} cases {found['recovered']:,} "
            f"recovered, {found['one line']:,} ended in one line; "
            f"{_failed(report['damage'])} otherwise."
        )
    if "disk" in report:
        cases = report["disk"]["cases"]
        stopped = sum(case["full"] == 3 for case in cases)
        same = sum(case["same values"] for case in cases)
        lines.append(
            f"- **Full disk**: {stopped} of {len(cases)} stopped with 3, the others "
            f"before anything was begun; with room, {same} of {len(cases)} finished "
            "with the same values."
        )
    if "poison" in report:
        found = Counter(case["outcome"] for case in report["poison"]["cases"])
        told = ", ".join(f"{n} {outcome}" for outcome, n in sorted(found.items()))
        lines.append(f"- **Pickles**: {told}; {_failed(report['poison'])} run.")
    if "fuzz" in report:
        codes = report["fuzz"]["codes"]
        told = ", ".join(f"{n} ended with {code}" for code, n in codes.items())
        lines.append(f"- **Fuzz**: {told}; {_failed(report['fuzz'])} otherwise.")
    if "overhead" in report:
        more = report["overhead"]["more"]
        cpu, wall = (100 * more[kind]["median"] for kind in ("cpu", "wall"))
        kept = "kept" if more["cpu"]["median"] <= _AIM else "missed"
        inside = " and ".join(
            f"{100 * each['cpu']:.1f} % of CPU and {100 * each['wall']:.1f} % of wall "
            f"time for {what}"
            for what, each in report["overhead"]["inside"].items()
        )
        lines.append(
            f"- **Cost**: {cpu:+.1f} % of CPU time (aim, at most {100 * _AIM:.0f} %: "
            f"{kept}), {wall:+.1f} % of wall time, the medians of turns that "
            f"differ more; counted inside one run {inside}."
        )
    return "\n".join(lines) or record.NOTHING


def _workers(run: Report) -> str:
    return "one worker" if run["workers"] == 1 else "two workers"


def _kills(report: Report) -> str:
    keys = ("studies", "same values", "left running", "twice", "other than 40 trials")
    lines = []
    for run in report.get("kills", {}).get("runs", []):
        found = {key: f"{run[key]}" for key in keys}
        if run["workers"] == 2:
            # Which of two workers is first decides what the next trial is told.
            found["same values"] = "–"
        alone, seconds = f"{run['of the command alone']}", f"{run['seconds']:.1f}"
        kills = f"{run['kills']}"
        lines.append((_workers(run), kills, alone, *found.values(), seconds))
    head = ("", "kills", "of the command alone", *keys, "s, never killed")
    return table(head, lines, left=1)


def _damaged(report: Report) -> Counter[str]:
    found: Counter[str] = Counter()
    for of in report["damage"]["kinds"].values():
        for each in of.values():
            found.update(each)
    return found


def _damage(report: Report) -> str:
    lines = []
    for kind, of in report.get("damage", {}).get("kinds", {}).items():
        for what, found in of.items():
            counts = (f"{found.get(outcome, 0)}" for outcome in _OUTCOMES)
            lines.append((f"`{kind}`", what, *counts))
    return table(("file", "study, command", *_OUTCOMES), lines, left=2)


def _disk(report: Report) -> str:
    lines = [
        (
            f"{case['kB']}",
            f"{100 * case['share']:.0f} %",
            f"{case['full']}",
            f"{case['still full']}",
            f"{case['epochs recorded']}",
            f"{case['with room']}",
            "yes" if case["same values"] else "NO",
            f"{case['left behind']}",
        )
        for case in report.get("disk", {}).get("cases", [])
    ]
    head = (
        *("kB", "of what it needs", "full: exit code", "again, still full"),
        *("epochs recorded", "with room", "same values", "left behind"),
    )
    return table(head, lines, left=0)


def _poison(report: Report) -> str:
    found: dict[str, dict[str, str]] = {}
    for case in report.get("poison", {}).get("cases", []):
        found.setdefault(case["what"], {})[case["kind"]] = case["outcome"]
    lines = [(what, each["pickle"], each["torch"]) for what, each in found.items()]
    return table(("where, command", "bare", "in torch's format"), lines, left=3)


def _fuzz(report: Report) -> str:
    part = report.get("fuzz", {})
    lines = [
        (f"plan, exit code {code}", f"{n}") for code, n in part.get("codes", {}).items()
    ]
    lines += [
        (each.replace(": ", " of an accepted one, exit code "), f"{n}")
        for each, n in part.get("trained", {}).items()
    ]
    if part:
        lines.append(("otherwise", f"{len(part['faults'])}"))
    return table(("", "cases"), lines, left=1)


def _overhead(report: Report) -> str:
    part = report.get("overhead")
    lines = []
    for kind, name in (("cpu", "CPU"), ("wall", "wall")) if part else ():
        seconds = part["seconds"]
        turns = (f"{100 * each:+.1f}" for each in part["more"][kind]["turns"])
        lines.append(
            (
                name,
                *(
                    ", ".join(f"{each:.1f}" for each in seconds[which][kind])
                    for which in ("with", "without")
                ),
                ", ".join(turns),
                f"{100 * part['more'][kind]['median']:+.1f}",
            )
        )
    head = ("time", "with, s", "without, s", "more, %", "median, %")
    return table(head, lines, left=1)
