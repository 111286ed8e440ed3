"""Nothing is lost: everything that README.md shows.

    python run.py                      all parts: an hour on two cores
    python run.py --part kills         or damage, disk, poison, fuzz, overhead
    python run.py --quick              does it run? minutes

Writes report.json and the tables of README.md, part by part: a part that was measured
before stays until it is measured again. What failed is listed in full in report.json,
and makes the command end with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Before torch is imported: forks of a process with threads of its own would hang.
os.environ.update(dict.fromkeys(_THREADS, "1"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import record  # noqa: E402
from results import PARTS, fill  # noqa: E402

HERE = Path(__file__).resolve().parent
_PACKAGES = ("torch", "optuna", "pytorch-lightning", "numpy", "pandas")

Report = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for, one part after the other; 1 where anything failed."""
    options = _options(arguments)
    if sys.platform != "linux":
        print("skipped: processes are forked, which is sure on Linux alone")
        return 0
    path = options.out / "report.json"
    report: Report = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    failed = 0
    for part in options.part or PARTS:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
            found = _measured(part, Path(work), quick=options.quick)
        if found is None:
            print(f"{part}: skipped, no file system can be mounted here")
            continue
        failed += len(found["faults"])
        report[part] = {"made": record.made(_PACKAGES), **found}
        ordered = {each: report[each] for each in PARTS if each in report}
        record.write(ordered, HERE, options.out, fill)
        print(f"{part}: {len(found['faults'])} failed; written to {options.out}")
    return int(failed > 0)


def _measured(part: str, work: Path, *, quick: bool) -> Report | None:
    import damage
    import disk
    import fuzz
    import kills
    import overhead
    import poison

    if part == "kills":
        counts = {1: 2, 2: 1} if quick else {1: 50, 2: 50}
        runs = [kills.measure(work, n, each, seed=5) for each, n in counts.items()]
        return {
            "runs": runs,
            "faults": [each for run in runs for each in run["faults"]],
        }
    if part == "damage":
        return damage.measure(work, 1 if quick else 20, seed=7)
    if part == "disk":
        if not disk.mountable(work):
            return None
        shares = [0.05, 0.15, 0.3, 0.5, 0.7, 0.8, 0.9, 0.97]
        return disk.measure(work, [0.5] if quick else shares)
    if part == "poison":
        return poison.measure(work)
    if part == "fuzz":
        return fuzz.measure(work, *((60, 2) if quick else (2000, 100)), seed=11)
    return overhead.measure(work, *((1, 4) if quick else (4, 260)))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="all by default")
    parser.add_argument("--quick", action="store_true", help="few cases of each")
    parser.add_argument("--out", type=Path, help="where to write; here by default")
    options = parser.parse_args(arguments)
    options.out = record.place(options.out, HERE, quick=options.quick)
    return options


if __name__ == "__main__":
    sys.exit(main())
