"""What matters: everything that README.md shows; see experiments/lab.py."""

import json
import os
import sys
from pathlib import Path

# Before torch is imported.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lab
import measure
import pictures
import results

HOME = Path(__file__).resolve().parent


def main() -> int:
    """Run; a verdict on real tables is compared with nothing but one on them."""
    given = sys.argv[1:]
    if "--check" in given and not any(word.startswith("--tables") for word in given):
        recorded = json.loads((HOME / "report.json").read_text("utf-8"))
        if results.real_ones(recorded):
            print("skipped: what is recorded needs --tables FOLDER, with real tables")
            return 0
    return lab.main(lab.Experiment(HOME, measure.PARTS, results, pictures.draw))


if __name__ == "__main__":
    sys.exit(main())
