"""Raw or normalised inputs: everything that README.md shows; see experiments/lab.py."""

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

if __name__ == "__main__":
    home = Path(__file__).resolve().parent
    on_tables = ("real",)
    of = lab.Experiment(home, measure.PARTS, results, pictures.draw, on_tables)
    sys.exit(lab.main(of))
