"""From rows in memory to the arrays that every trial of a study shares.

Whoever holds a frame keeps test rows of their own: here rows train or validate. What a
column holds is read off all of them; what is *fitted* sees training rows alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from tunekit.data.classes import Label
from tunekit.data.read import RawTable
from tunekit.data.split import stratified
from tunekit.data.table import Table, fit_columns, notes
from tunekit.data.text import check_names
from tunekit.data.typed import type_columns
from tunekit.errors import DataError

__all__ = ["frame_table"]


def frame_table(
    frame: pd.DataFrame,
    y_N: np.ndarray,
    classes: Sequence[Label],
    *,
    valid_share: float,
    seed: int,
    array_names: Sequence[str] = (),
    source: str = "X",
) -> Table:
    """Make rows in memory ready to be learnt, without test rows.

    Args:
        frame: The rows; columns keep their types, and a text is a text.
        y_N: The class of each row, its place among ``classes``.
        classes: The classes, plain Python scalars, as a saved model names them.
        valid_share: The share of rows that validate, of each class alike.
        seed: The study's seed, which settles the split.
        array_names: The columns, where they came from one array.
        source: What the rows are called in messages.

    Raises:
        DataError: When a column cannot be used, or a part is without rows.

    Example:
        >>> frame = pd.DataFrame({"age": range(10), "city": list("abbabababa")})
        >>> y = np.arange(10) % 2
        >>> table = frame_table(frame, y, ("no", "yes"), valid_share=0.2, seed=0)
        >>> table.x_train.shape, table.x_valid.shape, table.n_rows
        ((8, 3), (2, 3), 10)
    """
    names = [str(name).strip() for name in frame.columns]
    check_names(source, names)
    frame = frame.set_axis(pd.Index(names, dtype=object), axis=1)
    frame = frame.reset_index(drop=True)
    digest = _digest(frame, y_N)
    raw = RawTable(
        source, frame, False, digest, array_names=tuple(array_names), in_memory=True
    )
    train, valid = stratified(y_N, (1 - valid_share, valid_share), seed=seed)
    if not len(valid):
        raise DataError(
            f"{source}: rows are needed for validation, got none out of {len(y_N)} "
            f"with a share of {valid_share:g}; add rows"
        )
    typed = type_columns(raw, (), np.arange(len(y_N)))
    fitted, columns = fit_columns(raw, typed, typed.frame.iloc[train])
    return Table(
        source=source,
        fingerprint=digest,
        target="y",
        n_rows=len(y_N),
        columns=columns,
        classes=tuple(classes),
        notes=notes(columns),
        preprocessor=fitted,
        split={"train": train, "validation": valid, "test": train[:0]},
        files={"train": source, "validation": None, "test": None},
        x_train=fitted.transform(typed.frame.iloc[train]),
        y_train=y_N[train],
        x_valid=fitted.transform(typed.frame.iloc[valid]),
        y_valid=y_N[valid],
        _test_frame=frame.iloc[:0],
        _y_test=y_N[:0],
    )


def _digest(frame: pd.DataFrame, y_N: np.ndarray) -> str:
    """SHA-256 (hex) of names, types, cells and classes."""
    kinds = [(name, str(frame[name].dtype)) for name in frame.columns]
    found = hashlib.sha256(json.dumps(kinds).encode())
    for name in frame.columns:
        cells = frame[name]
        try:
            words_N = pd.util.hash_pandas_object(cells, index=False)
        except TypeError:
            raise DataError(
                f'column "{name}": plain values are needed, got lists or other nested '
                "values; leave the column out"
            ) from None
        found.update(words_N.to_numpy().tobytes())
    found.update(np.ascontiguousarray(y_N, dtype=np.int64).tobytes())
    return found.hexdigest()
