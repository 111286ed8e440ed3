"""Anybody's module: everything that README.md shows.

    python run.py                      all parts: a quarter of an hour on two cores
    python run.py --part search        or epochs, ddp
    python run.py --quick              does it run? a minute or two

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
_PACKAGES = ("torch", "optuna", "pytorch-lightning", "numpy", "scikit-learn")

Report = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for, one part after the other; 1 where anything failed."""
    options = _options(arguments)
    if sys.platform != "linux":
        print("skipped: open files and processes are read from /proc")
        return 0
    path = options.out / "report.json"
    failed = 0
    for part in options.part or PARTS:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
            found = _measured(part, Path(work), quick=options.quick)
        failed += len(found["faults"])
        # Read now: another part may have been measured beside.
        report: Report = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        report[part] = {"made": record.made(_PACKAGES), **found}
        ordered = {each: report[each] for each in PARTS if each in report}
        record.write(ordered, HERE, options.out, fill)
        print(f"{part}: {len(found['faults'])} failed; written to {options.out}")
    return int(failed > 0)


def _measured(part: str, work: Path, *, quick: bool) -> Report:
    if part == "search":
        import search

        return search.measure(work, *((1, 1, False) if quick else (5, 20, True)), 5)
    if part == "epochs":
        import epochs

        return epochs.measure(work, 1 if quick else 5)
    import ddp

    return ddp.measure(work, 3 if quick else 20)


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
