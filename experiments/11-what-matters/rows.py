"""The tables: four that come with scikit-learn, and every real one of a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import sklearn.datasets

__all__ = ["EMBEDDED", "MOST_ROWS", "each"]

EMBEDDED = ("digits", "wine", "breast_cancer", "iris")
MOST_ROWS = 1500
"""Of a longer table so many are drawn at random, the same ones each time."""
_LEAST_OF_A_CLASS = 10
"""Rows of a rarer class are left out: each part of a split must have some."""


def each(work: Path, folder: Path | None, *, quick: bool) -> Iterator[tuple[str, Path]]:
    """Names, and files with the column ``target``.

    Args:
        work: Where files may be written.
        folder: Real tables, NAME/NAME.csv each; None where there are none.
        quick: Whether two tables are enough.
    """
    for name in EMBEDDED[1:3] if quick else EMBEDDED:
        data = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
        yield name, _written(work / f"{name}.csv", data.frame)
    if folder is None or quick:
        return
    for path in sorted(folder.glob("*/*.csv")):
        if path.stem == path.parent.name:
            # As text: what a column holds is for the study to find out.
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)
            yield path.stem, _written(work / path.name, frame)


def _written(path: Path, frame: pd.DataFrame) -> Path:
    if len(frame) > MOST_ROWS:
        frame = frame.sample(MOST_ROWS, random_state=0)
    counts = frame["target"].map(frame["target"].value_counts())
    frame[counts >= _LEAST_OF_A_CLASS].to_csv(path, index=False)
    return path
