"""Search per epoch, tunekit's and Optuna's: everything that README.md shows.

    python run.py --lcbench FOLDER --taskset FOLDER --tables FOLDER
    python run.py --part curves --lcbench FOLDER --gp   with Optuna's GP: slow
    python run.py --part alone --lcbench FOLDER
    python run.py --part cost
    python run.py --quick …                                does it run? minutes

A finished run is kept in runs/ (ignored by git) and not run again, unless tunekit
decides otherwise than it did; the same command goes on where it was stopped. Writes
report.json, the pictures and the tables of README.md, part by part: a part that was
measured before stays until it is measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import asking
import record
import regrets
import training
from curves import BENCHMARKS
from finished import do_all, spawned
from pictures import spending_svg
from results import NAMES, fill
from searches import ALONE, CURVES, OURS, RIVALS, SEARCHES, SLOW

HERE = Path(__file__).resolve().parent
PARTS = ("curves", "alone", "training", "cost")
_ORDER = (*BENCHMARKS, "alone", "training", "cost")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PACKAGES = ("torch", "optuna", "numpy", "scipy")

Report = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for, one part after the other."""
    options = _options(arguments)
    # For the processes that do the work: they read it when they begin.
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    path = options.out / "report.json"
    report: Report = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    for part in PARTS if options.part == "all" else (options.part,):
        for name, found in _measured(part, options):
            report[name] = {"made": record.made(_PACKAGES), **found}
            _write(report, options.out)
            print(f"{name}: written to {options.out}", flush=True)


def _measured(part: str, options: argparse.Namespace) -> Iterator[tuple[str, Report]]:
    """The parts of the report that a part of the experiment makes."""
    if part == "cost":
        asked = (1000, (200,)) if options.quick else ()
        with spawned(1) as pool:
            yield part, pool.submit(asking.measure, *asked).result()
    elif part == "training":
        if options.tables is None:
            print(f"{part}: skipped, it needs --tables FOLDER")
            return
        yield part, _training(options)
    else:
        for benchmark in BENCHMARKS if part == "curves" else ("lcbench",):
            folder = getattr(options, benchmark)
            if folder is None:
                print(f"{part}, {benchmark}: skipped, it needs --{benchmark} FOLDER")
                continue
            yield (
                benchmark if part == "curves" else part,
                _regrets(part, benchmark, folder, options),
            )


def _regrets(
    part: str, benchmark: str, folder: Path, options: argparse.Namespace
) -> Report:
    alone = part == "alone"
    wanted = [n for n in CURVES if options.gp or n not in SLOW]
    searches = _ours_and(ALONE[0] if alone else OURS, options.searches)
    searches = searches or (ALONE if alone else wanted)
    slow_seeds = options.seeds if alone else min(options.gp_seeds, options.seeds)
    jobs = regrets.jobs(
        benchmark, folder, searches, options.seeds, slow_seeds, options.first
    )
    found = regrets.summary(do_all(jobs, options.runs, options.processes))
    if alone:
        found["budgets"] = [500, 1000]
    return found


def _ours_and(ours: str, searches: Sequence[str] | None) -> Sequence[str]:
    """The searches that were asked for, with ours; none where none was."""
    return [*dict.fromkeys([ours, *searches])] if searches else []


def _training(options: argparse.Namespace) -> Report:
    jobs = training.jobs(
        options.tables,
        options.names[: options.first],
        _ours_and(OURS, options.searches) or [*training.SEARCHES],
        options.seeds,
    )
    found = training.summary(do_all(jobs, options.runs, options.processes))
    return {"tables": options.names[: options.first], **found}


def _write(report: Report, out: Path) -> None:
    """The report, the pictures, and the tables in the texts."""
    ordered = {part: report[part] for part in _ORDER if part in report}
    for benchmark, name in NAMES.items():
        if benchmark in ordered:
            part = ordered[benchmark]
            title = f"{name}: 1 is a random configuration, 0 the best known"
            picture = spending_svg(part, title, "mean regret", 0.004)
            (out / f"{benchmark}.svg").write_text(picture, "utf-8")
    if "training" in ordered:
        part = ordered["training"]
        title = f"Real training: {', '.join(part['tables'])}"
        y = "mean excess over the lowest validation loss"
        picture = spending_svg(part, title, y, 0.001)
        (out / "training.svg").write_text(picture, "utf-8")
    record.write(ordered, HERE, out, fill)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--lcbench", type=Path, help="folder with lcbench.py")
    parser.add_argument("--taskset", type=Path, help="folder with taskset.py")
    parser.add_argument("--tables", type=Path, help="folder with NAME/NAME.csv")
    parser.add_argument(
        "--names",
        type=lambda text: text.split(","),
        default=[*training.TABLES],
        help=f"tables of the part training; {','.join(training.TABLES)}",
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--gp", action="store_true", help="Optuna's GP among curves")
    parser.add_argument("--gp-seeds", type=int, default=3, help="its seeds there")
    parser.add_argument("--first", type=int, help="only so many tables or tasks")
    parser.add_argument(
        "--searches",
        type=lambda text: text.split(","),
        help=f"of {','.join(SEARCHES)}; the usual ones of a part when not given",
    )
    parser.add_argument("--processes", type=int, default=2, help="runs at a time")
    parser.add_argument("--runs", type=Path, default=HERE / "runs", help="kept runs")
    parser.add_argument("--quick", action="store_true", help="2 tables, 2 seeds")
    parser.add_argument("--out", type=Path, help="where to write; here by default")
    options = parser.parse_args(arguments)
    for name in options.searches or ():
        if name not in SEARCHES:
            parser.error(f"--searches must be of {', '.join(SEARCHES)}, got {name}")
    if options.searches and not {*options.searches} & {*RIVALS}:
        parser.error(f"--searches must hold one of {', '.join(RIVALS)} at least")
    if options.quick:
        options.seeds, options.first = min(2, options.seeds), options.first or 2
    options.out = record.place(options.out, HERE, quick=options.quick)
    return options


if __name__ == "__main__":
    main()
