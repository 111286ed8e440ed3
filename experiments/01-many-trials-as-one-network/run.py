"""One network of many trials against the usual ways: everything that README.md shows.

    python run.py                                 what needs no file and no GPU
    python run.py --tables FOLDER                 with MNIST: FOLDER/mnist_t10k.npz
    python run.py --part digits-small --repeats 5
    python run.py --quick                         does it run? three minutes

Writes report.json, the pictures and the tables of README.md, part by part: a part that
was measured before stays until it is measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import record
from loads import LOADS, MNIST, prepare
from on_gpu import device, race_on_gpu
from pictures import growth_svg, seconds_svg
from race import CONTESTANTS, race
from record import made
from results import RACES, fill
from watched import run

HERE = Path(__file__).resolve().parent
PARTS = (*RACES, "growth", "roofline", "choices", "gpu")
_VARIABLE = "TUNEKIT_TABLES"
_PACKAGES = ("torch", "pytorch-lightning", "optuna", "scikit-learn", "numpy")
_USUAL = {
    "digits-small": ("vectorized", "idiomatic", "sklearn", "lightning"),
    "digits-default": ("vectorized", "idiomatic", "sklearn", "lightning"),
    "mnist": ("vectorized", "idiomatic", "lightning"),
}

Report = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for, one part after the other."""
    options = _options(arguments)
    report: Report = {}
    path = options.out / "report.json"
    if path.is_file():
        report = json.loads(path.read_text("utf-8"))
    if options.add:
        report |= json.loads(options.add.read_text("utf-8"))
        return _write(report, options.out)
    for part in PARTS if options.part == "all" else (options.part,):

        def save(result: dict[str, Any], part: str = part) -> None:
            machine = device() if part == "gpu" else None
            report[part] = {"made": made(_PACKAGES, machine), **result}
            _write(report, options.out)
            print(f"{part}: written to {options.out}", flush=True)

        measure_part(part, options, save)


def measure_part(
    part: str, options: argparse.Namespace, save: Callable[[dict[str, Any]], None]
) -> None:
    """One part, or a line that says why it was skipped."""
    quick, tables = options.quick, options.tables
    if part in RACES:
        load = LOADS[part].quick() if quick else LOADS[part]
        if load.table == MNIST and tables is None:
            print(f"{part}: skipped, it needs --tables FOLDER (or {_VARIABLE})")
            return
        race(
            load,
            options.contestants or _USUAL[part],
            repeats=options.repeats,
            tables=tables,
            quick=quick,
            save=save,
        )
    elif part == "gpu":
        if device() is None:
            print("no CUDA device: nothing measured")
            return
        race_on_gpu(repeats=options.repeats, tables=tables, quick=quick, save=save)
    elif part == "choices":
        turns = ["--repeats", str(options.repeats)]
        save(_measured("choices.py", turns + ["--quick"] * quick))
    elif part == "growth":
        turns = ["--repeats", str(min(3, options.repeats))]
        save(_measured("growth.py", turns + ["--quick"] * quick))
    else:
        machine = _measured("roofline.py", ["--quick"] * quick, before=["measure"])
        loads = {}
        for name in RACES:
            load = LOADS[name].quick() if quick else LOADS[name]
            if load.table == MNIST and tables is None:
                print(f"{part}, {name}: skipped, it needs --tables")
                continue
            with tempfile.TemporaryDirectory() as folder:
                prepare(load, Path(folder), tables)
                loads[name] = _measured("costs.py", [], before=[f"{folder}/job.json"])
            save({"machine": machine, "loads": loads})


def _measured(script: str, after: list[str], before: Sequence[str] = ()) -> Any:
    """What a script wrote, run in a process of its own."""
    print(f"{script} …", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        run([sys.executable, str(HERE / script), *before, str(result), *after])
        return json.loads(result.read_text("utf-8"))


def _write(report: Report, out: Path) -> None:
    """The report, the pictures, and the tables in the texts."""
    ordered = {part: report[part] for part in PARTS if part in report}
    if "growth" in ordered:
        (out / "growth.svg").write_text(growth_svg(ordered["growth"]), "utf-8")
    if any(load in ordered for load in RACES):
        (out / "seconds.svg").write_text(seconds_svg(ordered, RACES), "utf-8")
    record.write(ordered, HERE, out, fill)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--repeats", type=int, help="turns; 5, or 1 with --quick")
    parser.add_argument(
        "--tables",
        type=Path,
        default=os.environ.get(_VARIABLE) and Path(os.environ[_VARIABLE]),
        help=f"folder with {MNIST}.npz; the variable {_VARIABLE} when not given",
    )
    parser.add_argument(
        "--contestants",
        type=lambda text: text.split(","),
        help=f"of {','.join(CONTESTANTS)}; the usual ones of a part when not given",
    )
    parser.add_argument("--quick", action="store_true", help="3 configurations")
    parser.add_argument("--out", type=Path, help="where to write; here by default")
    parser.add_argument("--add", type=Path, help="join another report.json, and stop")
    options = parser.parse_args(arguments)
    unknown = set(options.contestants or ()) - set(CONTESTANTS)
    if unknown or (options.contestants and "vectorized" not in options.contestants):
        parser.error(
            f"contestants must be of {', '.join(CONTESTANTS)}, vectorized among them"
        )
    options.repeats = options.repeats or (1 if options.quick else 5)
    options.out = record.place(options.out, HERE, quick=options.quick)
    return options


if __name__ == "__main__":
    main()
