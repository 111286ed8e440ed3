"""Rows and classes as scikit-learn's users give them, checked as they expect it.

Frames keep the types of their columns; arrays and lists get them column by column. What
scikit-learn's own checks refuse is refused with their words and kinds of error.

Shapes: N rows, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, validate_data

from tunekit.data import Label
from tunekit.data.text import check_names
from tunekit.errors import DataError

__all__ = ["plain_labels", "read_classes", "read_rows"]


def read_rows(estimator: Any, rows: Any, *, reset: bool) -> pd.DataFrame:
    """The rows as a frame with one type a column.

    Args:
        estimator: Whose ``n_features_in_`` and ``feature_names_in_`` are set or asked.
        rows: A frame, an array or a list of lists, rows by columns.
        reset: Whether they are to be learnt from, rather than answered.

    Raises:
        ValueError: When they are no table, or not the one that was learnt.
        TypeError: When a cell is no plain value.
    """
    if isinstance(rows, list | tuple):
        # An array of numbers and texts would be one of texts alone.
        rows = np.array(rows, dtype=object)
    least = 2 if reset else 1
    if isinstance(rows, pd.DataFrame):
        check_names("X", [str(name).strip() for name in rows.columns])
        validate_data(estimator, rows, reset=reset, skip_check_array=True)
        if len(rows) < least:
            raise DataError(f"X: at least {least} rows are needed, got {len(rows)}")
        if not rows.shape[1]:
            raise DataError("X: at least one column is needed, got none")
        frame = rows
    else:
        array = validate_data(
            estimator,
            rows,
            reset=reset,
            dtype=None,
            ensure_all_finite=False,
            ensure_min_samples=least,
        )
        if array.dtype.kind in "US":
            array = array.astype(str).astype(object)
        names = [f"x{place}" for place in range(array.shape[1])]
        frame = pd.DataFrame(array, columns=pd.Index(names, dtype=object))
        frame = frame.infer_objects()
    for name, cells in frame.items():
        if cells.dtype == object:
            _refuse_nested(str(name), cells)
    return frame


def read_classes(estimator: Any, labels: Any, frame: pd.DataFrame) -> Any:
    """The classes, sorted as scikit-learn does, and each row's place among them.

    Args:
        estimator: Who asks, for messages.
        labels: The class of each row: texts, numbers, booleans.
        frame: The rows.

    Returns:
        Arrays [C] and int64 [N].

    Raises:
        ValueError: When there is not one class for each row, two classes at least.
    """
    if labels is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but "
            "the target y is None."
        )
    if isinstance(labels, pd.Series) and not isinstance(labels.dtype, np.dtype):
        labels = labels.to_numpy(object)
    y_N = column_or_1d(labels, warn=True)
    if y_N.dtype == object:
        # Objects may be nothing but numbers, or truth values.
        y_N = pd.Series(y_N, dtype=object).infer_objects().to_numpy()
    check_consistent_length(frame, y_N)
    absent_N = pd.isna(y_N) | (np.isinf(y_N) if y_N.dtype.kind == "f" else False)
    if absent_N.any():
        raise DataError(
            f"y: every row needs a class, got {int(absent_N.sum()):,} that are missing "
            f"or infinite, the first in row {int(np.argmax(absent_N)) + 1} (counted "
            "from 1)"
        )
    check_classification_targets(y_N)
    classes_C, places_N = np.unique(y_N, return_inverse=True)
    if len(classes_C) < 2:
        raise DataError(
            f'y: at least two classes are needed, got one class, "{classes_C[0]}"'
        )
    return classes_C, places_N.astype(np.int64)


def plain_labels(classes_C: np.ndarray) -> list[Label]:
    """The classes as plain Python scalars, which a saved model can name.

    Example:
        >>> plain_labels(np.array([1, 2])), plain_labels(np.array(["no", "yes"]))
        ([1, 2], ['no', 'yes'])
    """
    found = [c.item() if isinstance(c, np.generic) else c for c in classes_C]
    plain = all(isinstance(each, bool | int | float | str) for each in found)
    return found if plain else [str(each) for each in found]


def _refuse_nested(name: str, cells: pd.Series[Any]) -> None:
    for kind in set(map(type, cells)):
        if kind.__hash__ is None:
            raise TypeError(
                f'X, column "{name}": each argument must be a plain string, number or '
                f"date, got {kind.__name__}; leave the column out"
            )
