"""The columns of a table in the array form of their kinds, parsed once.

What a column holds is read off the training and validation rows alone: were it read off
test rows too, one text in a numeric column of theirs would change what trials train on.
A test cell that is of another kind is then an error, as it is in prediction, though
only in a column that is used.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tunekit.data.kinds import Column, convert, infer, is_missing, refuse
from tunekit.data.numbers import plain_numbers
from tunekit.data.read import RawTable
from tunekit.errors import DataError

__all__ = ["MAX_CATEGORIES", "TypedColumns", "type_columns"]

MAX_CATEGORIES = 1_000
"""Different texts that one column may hold."""


@dataclass(frozen=True, eq=False)
class TypedColumns:
    """A table whose columns have kinds, parsed once for all rows."""

    frame: pd.DataFrame = field(repr=False)
    columns: list[Column]
    torn: Mapping[str, str]
    """The columns with a cell of another kind, and the message about it."""

    def check(self, used: Sequence[str]) -> None:
        """Refuse a cell of another kind in a column that is used.

        Raises:
            DataError: Naming the column, the cell, its row and the ways out.
        """
        for name in used:
            if name in self.torn:
                raise DataError(
                    f"{self.torn[name]}; mend the cell or leave the column out with "
                    f"--drop {shlex.quote(name)}"
                )


def type_columns(
    raw: RawTable, without: Sequence[str], learnt: np.ndarray
) -> TypedColumns:
    """Settle the kind of each column and parse it.

    Args:
        raw: The table as it was read.
        without: Columns that are not to be used.
        learnt: The rows that the kinds may be read off.

    Raises:
        DataError: When a column cannot be used.
    """
    typed: dict[str, pd.Series[Any]] = {}
    columns: list[Column] = []
    torn: dict[str, str] = {}
    for name in raw.cells.columns:
        if name in without:
            continue
        cells = raw.cells[name]
        if raw.is_text and cells.dtype == object:
            numbers = plain_numbers(cells.to_numpy(object))
            cells = cells if numbers is None else pd.Series(numbers)
        if isinstance(cells.dtype, np.dtype) and cells.dtype.kind in "iuf":
            # Numbers already; to float64 they go a few columns at a time, later.
            missing = len(cells) - int(np.isfinite(cells.to_numpy()).sum())
            columns.append(Column(name, "numeric", missing))
            typed[name] = cells
            continue
        try:
            kind = infer(cells.iloc[learnt], is_text=raw.is_text, name=name)
            values, bad = convert(cells, kind, name=name)
        except DataError as error:
            raise DataError(f"{raw.source}, {error}") from None
        try:
            refuse(bad, cells, kind, name=name)
        except DataError as error:
            torn[name] = f"{raw.source}, {error}"
        missing = int((is_missing(values) & ~bad).sum())
        columns.append(Column(name, kind, missing))
        typed[name] = pd.Series(values, dtype=values.dtype)
        if kind == "categorical":
            _check_categories(raw, name, typed[name])
    frame = pd.DataFrame(typed, index=raw.cells.index, copy=False)
    return TypedColumns(frame, columns, torn)


def _check_categories(raw: RawTable, name: str, texts: pd.Series[Any]) -> None:
    n_texts = len(pd.unique(texts.dropna()))
    if n_texts > MAX_CATEGORIES:
        how = "" if raw.in_memory else f" with --drop {shlex.quote(name)}"
        raise DataError(
            f'{raw.source}, column "{name}": at most {MAX_CATEGORIES:,} different '
            f"texts can be used as categories, got {n_texts:,}; leave it out{how}"
        )
