"""How an experiment of one command runs: measured, claimed, drawn, written, checked.

An experiment is a folder with ``study.toml`` (the settings all its runs share),
``measure.py`` (``PARTS``: what is measured, by name), ``results.py`` (question, claims
and tables) and ``pictures.py`` (``draw``); its ``run.py`` calls :func:`main`.

    python run.py            measure, and write what was found
    python run.py --check    measure, and compare with what is written
    python run.py --quick    does it run? seconds, of no use
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import record
from claims import Claim, differences

__all__ = ["Asked", "Experiment", "main", "resolved", "settings"]

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


class Results(Protocol):
    """What ``results.py`` gives."""

    QUESTION: str

    def claims(self, report: Mapping[str, Any]) -> list[Claim]: ...

    def fill(self, text: str, report: Mapping[str, Any]) -> str: ...


@dataclass(frozen=True)
class Experiment:
    """One question.

    Attributes:
        home: Its folder.
        parts: What is measured, by name, in the order of the report.
        results: Its claims and tables.
        draw: The pictures of a report, by file name.
        needs_tables: Whether it asks for real tables.
    """

    home: Path
    parts: Mapping[str, Callable[[Asked], Report]]
    results: Any
    draw: Callable[[Mapping[str, Any]], Mapping[str, str]]
    needs_tables: bool = False


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> int:
    """Measure and write, or check; 1 where a check finds another verdict."""
    options = _options(experiment, arguments)
    home, results = experiment.home, experiment.results
    if experiment.needs_tables and options.tables is None and not options.quick:
        print("skipped: give --tables FOLDER, with NAME/NAME.csv in it")
        return 0
    began = time.monotonic()
    asked = Asked(home, options.quick, options.tables)
    report = _begun(home, options.part)
    for name, measure in experiment.parts.items():
        if options.part is None or name in options.part:
            print(f"{home.name}: {name}", flush=True)
            report[name] = measure(asked)
    if options.part is None:
        report["seconds"] = round(time.monotonic() - began)
    claims = results.claims(report)
    report["claims"] = [each.as_dict() for each in claims]
    if options.check:
        return _check(home, claims)
    out = record.place(options.out, home, quick=options.quick)
    for name, picture in experiment.draw(report).items():
        (out / name).write_text(picture, encoding="utf-8")
    record.write(report, home, out, results.fill)
    held = sum(each.holds for each in claims)
    print(f"{held} of {len(claims)} claims hold; written to {out}")
    return 0


def _begun(home: Path, parts: Sequence[str] | None) -> Report:
    """A new report, or that of before, of which some parts are measured again."""
    made = record.made(_PACKAGES)
    if parts is None:
        return {"made": made, "resolved": resolved(home)}
    report: Report = json.loads((home / "report.json").read_text("utf-8"))
    again = {**report.get("again", {}), **dict.fromkeys(parts, made)}
    return {**report, "again": again, "resolved": resolved(home)}


def settings(home: Path) -> dict[str, Any]:
    """What ``study.toml`` says."""
    from tunekit.config import read_toml

    return read_toml(str(home / "study.toml"))


def resolved(home: Path) -> dict[str, Any]:
    """Every setting that the runs go by, defaults among them.

    A verdict was measured under these: where a default has changed since, it must be
    measured again.
    """
    from tunekit import Config
    from tunekit.space import recipe_space
    from tunekit.trial import Recipe

    given = settings(home)
    config = Config.from_mapping(given)
    found = {
        **config.as_settings(),
        "space": recipe_space(config.space, 1024).as_settings(),
        "recipe": Recipe().as_dict(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def _check(home: Path, claims: Sequence[Claim]) -> int:
    recorded = json.loads((home / "report.json").read_text("utf-8"))
    found = differences(recorded["claims"], claims)
    for each in found:
        print(f"{home.name}: {each}")
    if not found:
        print(f"{home.name}: {len(claims)} claims as recorded")
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
    parser.add_argument("--quick", action="store_true", help="show that it runs")
    parser.add_argument(
        "--tables",
        type=lambda text: Path(text).resolve(),
        help="a folder of real tables, NAME/NAME.csv with a column target each",
    )
    parser.add_argument("--out", type=Path, help="where to write; here by default")
    return parser.parse_args(arguments)
