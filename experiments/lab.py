"""How an experiment of one command runs: measured, claimed, drawn, written, checked.

An experiment is a folder with ``study.toml`` (the settings all its runs share),
``measure.py`` (``PARTS``: what is measured, by name), ``results.py`` (question, claims
and tables) and ``pictures.py`` (``draw``); its ``run.py`` calls :func:`main`.

    python run.py            measure, and write what was found
    python run.py --check    measure, and compare with what is written
    python run.py --quick    does it run? seconds, of no use
    python run.py --retell   claims, tables and pictures anew from report.json alone

Exit codes: 0; 1 where a check finds another verdict; 2 where nothing can be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import record
from claims import Claim, differences
from defaults import resolved, settings

__all__ = ["Asked", "Experiment", "main", "settings"]

_PACKAGES = ("torch", "optuna", "pytorch-lightning", "numpy", "scikit-learn")

Report = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What a part is to measure.

    Attributes:
        home: The experiment's folder.
        quick: Whether to show only that it runs.
        tables: A folder of real tables, NAME/NAME.csv each with a column ``target``;
            None for those that come along.
    """

    home: Path
    quick: bool
    tables: Path | None

    def say(self, text: str) -> None:
        """Tell how far it is."""
        print(f"  {text}", flush=True)


@dataclass(frozen=True)
class Experiment:
    """One question.

    Attributes:
        home: Its folder.
        parts: What is measured, by name, in the order of the report.
        results: Its claims and tables.
        draw: The pictures of a report, by file name.
        on_tables: The parts that are measured on real tables.
    """

    home: Path
    parts: Mapping[str, Callable[[Asked], Report]]
    results: Any
    draw: Callable[[Mapping[str, Any]], Mapping[str, str]]
    on_tables: Sequence[str] = ()


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> int:
    """Measure and write, or check; the exit code."""
    options = _options(experiment, arguments)
    home, results = experiment.home, experiment.results
    parts = options.part or [*experiment.parts]
    out = home if options.out is None else options.out.resolve()
    why_not = _why_not(experiment, options, parts, out)
    if why_not:
        print(f"error: {why_not}", file=sys.stderr)
        return 2
    if options.retell:
        out = record.place(options.out, home, quick=False)
        return _written(experiment, _recorded(home), out)
    asked = Asked(home, options.quick, options.tables)
    report = _begun(home, options.part)
    began = time.monotonic()
    for name in experiment.parts:
        if name in parts:
            print(f"{home.name}: {name}", flush=True)
            report[name] = experiment.parts[name](asked)
    _took(report, options.part, round(time.monotonic() - began))
    if options.check:
        return _check(home, results.claims(report), parts)
    out = record.place(options.out, home, quick=options.quick)
    return _written(experiment, report, out)


def _written(experiment: Experiment, report: Report, out: Path) -> int:
    """Write a report, and all that is told from it."""
    results = experiment.results
    claims = results.claims(report)
    report["claims"] = [each.as_dict() for each in claims]
    for name, picture in experiment.draw(report).items():
        (out / name).write_text(picture, encoding="utf-8")
    record.write(report, experiment.home, out, results.fill)
    held = sum(each.holds == "yes" for each in claims)
    print(f"{held} of {len(claims)} claims hold; written to {out}")
    return 0


def _why_not(
    experiment: Experiment, options: argparse.Namespace, parts: Sequence[str], out: Path
) -> str:
    """Why this cannot be measured, or not be compared; empty where it can."""
    home = experiment.home
    recorded = options.retell or options.check or options.part
    if recorded and not (home / "report.json").is_file():
        return f"{home.name} must have a report.json, got none; measure it first"
    if options.quick and (options.check or (options.out and out == home)):
        return "--quick measures what is of no use; leave out --check, or --out"
    if options.quick or options.retell:
        return ""
    if options.part and _recorded(home)["resolved"] != resolved(home):
        return (
            "--part keeps the other parts, which were measured under other defaults "
            "than today's; measure all of them"
        )
    wanted = [name for name in parts if name in experiment.on_tables]
    if wanted and options.tables is None and (options.check or out == home):
        return (
            f"{' and '.join(wanted)} must be measured on the real tables that are "
            "recorded, got none; give --tables FOLDER, with NAME/NAME.csv in it, or "
            "--out to write elsewhere"
        )
    return ""


def _recorded(home: Path) -> Report:
    found: Report = json.loads((home / "report.json").read_text("utf-8"))
    return found


def _took(report: Report, parts: Sequence[str] | None, seconds: int) -> None:
    if parts is None:
        report["seconds"] = seconds
        return
    for name in parts:
        report["again"][name]["seconds"] = seconds


def _begun(home: Path, parts: Sequence[str] | None) -> Report:
    """A new report, or that of before, of which some parts are measured again."""
    made = record.made(_PACKAGES)
    if parts is None:
        return {"made": made, "resolved": resolved(home)}
    report = _recorded(home)
    again = {
        **report.get("again", {}),
        **{name: {"made": made} for name in parts},
    }
    return {**report, "again": again}


def _check(home: Path, claims: Sequence[Claim], parts: Sequence[str]) -> int:
    found = differences(_recorded(home)["claims"], claims)
    for each in found:
        print(f"{home.name}: {each}")
    if not found:
        print(
            f"{home.name}: {len(claims)} claims as recorded; measured again: "
            f"{', '.join(parts)}"
        )
    return int(bool(found))


def _options(
    experiment: Experiment, arguments: Sequence[str] | None
) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python experiments/{experiment.home.name}/run.py",
        description=experiment.results.QUESTION,
    )
    parser.add_argument(
        "--check", action="store_true", help="compare with the report; write nothing"
    )
    parser.add_argument(
        "--part",
        action="append",
        choices=[*experiment.parts],
        help="measure this again, and keep the rest; all by default",
    )
    parser.add_argument(
        "--retell",
        action="store_true",
        help="claims, tables and pictures anew from the report; measure nothing",
    )
    parser.add_argument("--quick", action="store_true", help="show that it runs")
    parser.add_argument(
        "--tables",
        type=lambda text: Path(text).resolve(),
        help="a folder of real tables, NAME/NAME.csv with a column target each",
    )
    parser.add_argument("--out", type=Path, help="where to write; here by default")
    return parser.parse_args(arguments)
