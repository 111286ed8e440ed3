"""The column to be learnt: its classes, and each row's place among them.

Whole numbers in a text file are integers ("0", "1", "-3") and sort as such; every other
text stays exactly as it is written. A typed column keeps its type.
"""

from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tunekit.data.kinds import unique_cells
from tunekit.errors import DataError

__all__ = ["Label", "class_labels", "encode_labels", "read_labels"]

Label = bool | int | float | str

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_FEW = 20
MAX_CLASSES = 1_000
"""Different classes that a target may have."""


def read_labels(cells: pd.Series[Any], *, is_text: bool, where: str) -> np.ndarray:
    """The label of every row, as plain Python scalars in an object array.

    Args:
        cells: The target column.
        is_text: Whether it comes from a text file.
        where: The file and column, for messages.

    Raises:
        DataError: When a row has no class.

    Example:
        >>> read_labels(pd.Series(["1", "0"]), is_text=True, where="target").tolist()
        [1, 0]
    """
    codes, uniques = unique_cells(cells, str(cells.name))
    labels: list[Label | None] = [_plain(cell) for cell in uniques]
    present = [label for label in labels if isinstance(label, str)]
    if is_text and all(map(_INTEGER.fullmatch, present)):
        labels = [None if label is None else int(label) for label in labels]
    # Missing cells have the code -1, which is the None at the end.
    found = np.empty(len(labels) + 1, dtype=object)
    found[:] = [*labels, None]
    y_N = np.asarray(found[codes], dtype=object)
    absent = np.array([label is None for label in found], dtype=bool)[codes]
    if absent.any():
        raise DataError(
            f"{where}: every row needs a class, got {int(absent.sum()):,} without, "
            f"the first in row {int(np.argmax(absent)) + 1} (counted from 1); "
            "fill them in or remove the rows"
        )
    return y_N


def class_labels(
    labels_N: np.ndarray, *, where: str, min_rows: int = 2
) -> tuple[Label, ...]:
    """The classes among the labels, in order, once they are fit to be learnt.

    Args:
        labels_N: What ``read_labels`` gave.
        where: The file and column, for messages.
        min_rows: Rows that each class must have.

    Raises:
        DataError: When there is one class only or too many, a class has too few rows,
            or the labels are not classes but measurements.

    Example:
        >>> class_labels(np.array(["b", "a", "b", "a"], dtype=object), where="target")
        ('a', 'b')
    """
    codes, uniques = pd.factorize(labels_N)
    found: list[Label] = list(uniques)
    if len(found) == 1:
        raise DataError(
            f'{where}: at least two classes are needed, got only "{found[0]}"; '
            "choose another target"
        )
    _refuse_measurements(found, len(labels_N), where)
    if len(found) > MAX_CLASSES:
        raise DataError(
            f"{where}: this is classification into at most {MAX_CLASSES:,} classes, "
            f"got {len(found):,} in {len(labels_N):,} rows; choose another target or "
            "merge classes"
        )
    counts = np.bincount(codes, minlength=len(found))
    few = [str(label) for label, n in zip(found, counts, strict=True) if n < min_rows]
    if few:
        more = f" and of {len(few) - 1} more" if len(few) > 1 else ""
        raise DataError(
            f'{where}: every class needs at least {min_rows} rows, got 1 of "{few[0]}"'
            f"{more}; add rows of it, merge it with another class or remove it"
        )
    return tuple(sorted(found, key=lambda label: (type(label).__name__, label)))


def encode_labels(
    labels_N: np.ndarray, classes: Sequence[Label], *, where: str
) -> np.ndarray:
    """Each label's place among the classes, int64.

    Raises:
        DataError: When a label is none of them.
    """
    place_of = {str(label): place for place, label in enumerate(classes)}
    codes, uniques = pd.factorize(labels_N)
    places = [place_of.get(_name(label, classes), -1) for label in uniques]
    y_N = np.array(places, dtype=np.int64)[codes]
    if (y_N < 0).any():
        row = int(np.argmax(y_N < 0))
        raise DataError(
            f"{where}: every class must occur in the training rows, got "
            f'"{labels_N[row]}" in row {row + 1} (counted from 1), which does not'
        )
    return y_N


def _name(label: Label, classes: Sequence[Label]) -> str:
    """How a label of another file would be written among these classes."""
    is_whole = isinstance(label, float) and label.is_integer()
    if is_whole and isinstance(classes[0], int):
        return str(int(label))
    if isinstance(label, int) and isinstance(classes[0], float):
        return str(float(label))
    return str(label)


def _plain(cell: Any) -> Label | None:
    """A cell as a plain Python scalar; None where it is missing."""
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, str):
        return None if cell in ("", "NaN", "nan") else cell
    if isinstance(cell, (bool, int)):
        return cell
    if isinstance(cell, (float, decimal.Decimal)):
        value = float(cell)
        return value if np.isfinite(value) else None
    if isinstance(cell, (dt.date, dt.time)):
        return cell.isoformat()
    return str(cell)


def _refuse_measurements(labels: list[Label], n_rows: int, where: str) -> None:
    numbers = [_number(label) for label in labels]
    if None in numbers:
        return
    is_fractional = any(not float(number or 0).is_integer() for number in numbers)
    n_values = len(labels)
    # Classes repeat; measurements hardly do. A few fractions may still be classes.
    limit = min(_FEW, n_rows / 2) if is_fractional else max(_FEW, n_rows / 5)
    if n_values > limit:
        raise DataError(
            f"{where}: this is classification, a target of classes is needed, got "
            f"{n_values:,} different numbers in {n_rows:,} rows; "
            "choose another target or cut the numbers into classes"
        )


def _number(label: Label) -> float | None:
    try:
        return float(label)
    except ValueError:
        return None
