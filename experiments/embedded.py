"""The tables that come with scikit-learn, and columns of numbers of any CSV file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

from tunekit.data.split import stratified

__all__ = ["Rows", "embedded", "from_csv", "normalised", "parts", "statistics"]


@dataclass(frozen=True)
class Rows:
    """Inputs as they were measured, (N, F) float64, and classes, (N,) int64."""

    x_NF: np.ndarray
    y_N: np.ndarray

    @property
    def n_classes(self) -> int:
        return int(self.y_N.max()) + 1

    def at(self, rows: np.ndarray) -> Rows:
        """Some of them."""
        return Rows(self.x_NF[rows], self.y_N[rows])


def embedded(name: str) -> Rows:
    """``digits``, ``wine``, ``breast_cancer`` or ``iris``."""
    x_NF, y_N = getattr(datasets, f"load_{name}")(return_X_y=True)
    return Rows(x_NF.astype(np.float64), y_N.astype(np.int64))


def from_csv(path: Path, most: int) -> Rows:
    """The first rows of a file with a column ``target``; numeric columns alone.

    Args:
        path: The file.
        most: Rows to take; those without a gap count.
    """
    frame = pd.read_csv(path)
    y = frame.pop("target")
    frame = frame.select_dtypes("number")
    whole = frame.notna().all(axis=1) & y.notna()
    x_NF = frame[whole].to_numpy(np.float64)[:most]
    _, y_N = np.unique(y[whole].astype(str)[:most], return_inverse=True)
    return Rows(x_NF, y_N.astype(np.int64))


def parts(
    rows: Rows, split: tuple[float, float, float], seed: int
) -> tuple[Rows, Rows, Rows]:
    """Training, validation and test rows, each class alike, as a study divides them."""
    train, valid, test = stratified(rows.y_N, split, seed=seed)
    return rows.at(train), rows.at(valid), rows.at(test)


def statistics(train: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means and standard deviations of the columns that vary, and which do."""
    deviation_F = train.x_NF.std(0)
    varies_F = deviation_F > 0
    return train.x_NF.mean(0)[varies_F], deviation_F[varies_F], varies_F


def normalised(train: Rows, *others: Rows) -> list[Rows]:
    """The training rows' mean subtracted, divided by their deviation; in all parts."""
    mean_F, deviation_F, varies_F = statistics(train)
    return [
        Rows((part.x_NF[:, varies_F] - mean_F) / deviation_F, part.y_N)
        for part in (train, *others)
    ]
