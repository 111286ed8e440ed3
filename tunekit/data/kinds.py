"""What a column holds: numbers, categories, true or false, or dates.

In a text file the kind is read off the cells: a column is numeric when *every* cell
that is not missing is a number, boolean when every one is true or false, a date when
every one is an ISO date, and categorical otherwise. A typed column keeps its type.

``infer`` looks once, at the rows that may be learnt from; ``parse`` then turns a column
into the one array form of its kind, the same for text and typed cells, in training and
prediction:

    numeric      float64, NaN where missing (infinite counts as missing)
    boolean      float64 of 0 and 1, NaN where missing
    date         datetime64[us] (UTC where a zone is given), NaT where missing
    categorical  object array of str, None where missing
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import numbers
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from tunekit.data.numbers import MISSING_WORDS, plain_numbers
from tunekit.errors import DataError

__all__ = [
    "Column",
    "Kind",
    "convert",
    "infer",
    "is_missing",
    "parse",
    "refuse",
    "unique_cells",
]

Kind = Literal["numeric", "categorical", "boolean", "date"]

_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|infinity)",
    re.IGNORECASE,
)
# A number with leading zeros, such as a postcode, is a name made of figures.
_IDENTIFIER = re.compile(r"[+-]?0[0-9]+.*")
_DATE = re.compile(
    r"\d{4}([-/])\d{2}\1\d{2}"
    r"(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)
_TRUTH = {"true": 1.0, "false": 0.0}
_EXPECTED = {
    "numeric": "numbers",
    "boolean": "true or false",
    "date": "dates such as 2024-01-31",
    "categorical": "plain texts",
}


@dataclass(frozen=True)
class Column:
    """One column of a table as it was read."""

    name: str
    kind: Kind
    missing: int
    """Cells without a value."""
    note: str = ""
    """Why the column is left out; empty when it is used."""


def infer(cells: pd.Series[Any], *, is_text: bool, name: str) -> Kind:
    """The kind of a column, from its cells (a text file) or from its type.

    Raises:
        DataError: When a typed column holds something that is no cell (lists, bytes).

    Example:
        >>> infer(pd.Series(["1", "2.5", "NA"]), is_text=True, name="age")
        'numeric'
        >>> infer(pd.Series(["01234", "20099"]), is_text=True, name="postcode")
        'categorical'
    """
    if is_text:
        if plain_numbers(cells.to_numpy(object)) is not None:
            return "numeric"
        _, uniques = unique_cells(cells, name)
        return _kind_of_texts([str(cell) for cell in uniques])
    dtype = cells.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return "categorical"
    if pd.api.types.is_bool_dtype(dtype):
        return "boolean"
    if pd.api.types.is_complex_dtype(dtype):
        raise DataError(f'column "{name}": complex numbers cannot be used; drop it')
    if pd.api.types.is_numeric_dtype(dtype) or dtype.kind == "m":
        return "numeric"
    if dtype.kind == "M" or isinstance(dtype, pd.DatetimeTZDtype):
        return "date"
    _, uniques = unique_cells(cells, name)
    return _kind_of_objects(list(uniques), name)


def parse(cells: pd.Series[Any], kind: Kind, *, name: str) -> np.ndarray:
    """The column in the array form of its kind; text and typed cells come out alike.

    Raises:
        DataError: When a cell is not of that kind; names the first such row.

    Example:
        >>> parse(pd.Series(["1", "?", "2.5"]), "numeric", name="age")
        array([1. , nan, 2.5])
    """
    values, bad = convert(cells, kind, name=name)
    refuse(bad, cells, kind, name=name)
    return values


def convert(
    cells: pd.Series[Any], kind: Kind, *, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """What ``parse`` gives, and where cells are not of that kind: there it is empty.

    Example:
        >>> convert(pd.Series(["1", "one"]), "numeric", name="age")
        (array([ 1., nan]), array([False,  True]))
    """
    dtype = cells.dtype
    none_bad = np.zeros(len(cells), dtype=bool)
    if kind in ("numeric", "boolean") and _is_plain_number(dtype):
        values = np.array(cells.to_numpy(np.float64, na_value=np.nan))
        values[np.isinf(values)] = np.nan
        if kind == "boolean":
            bad = ~np.isin(values, (0.0, 1.0)) & ~np.isnan(values)
            values[bad] = np.nan
            return values, bad
        return values, none_bad
    if kind == "numeric" and dtype.kind == "m":
        days = cells.to_numpy("timedelta64[us]") / np.timedelta64(1, "D")
        return np.asarray(days), none_bad
    if kind == "date" and dtype.kind == "M":
        if isinstance(dtype, pd.DatetimeTZDtype):
            cells = cells.dt.tz_convert("UTC").dt.tz_localize(None)
        return np.asarray(cells.to_numpy("datetime64[us]")), none_bad
    if kind == "numeric" and not isinstance(dtype, pd.CategoricalDtype):
        numbers = plain_numbers(cells.to_numpy(object))
        if numbers is not None:
            return numbers, none_bad
    codes, uniques = unique_cells(cells, name)
    convert, blank = _CONVERTERS[kind]
    converted = np.array([blank] * (len(uniques) + 1), dtype=_FORMS[kind])
    is_other = np.zeros(len(uniques) + 1, dtype=bool)
    for place, cell in enumerate(uniques):
        try:
            converted[place] = convert(cell)
        except (ValueError, TypeError, OverflowError):
            is_other[place] = True
    # Missing cells have the code -1, which is the blank at the end.
    return np.asarray(converted[codes]), is_other[codes]


def refuse(bad: np.ndarray, cells: pd.Series[Any], kind: Kind, *, name: str) -> None:
    """Raise for the first cell that ``convert`` found to be bad, if there is one.

    Raises:
        DataError: Naming the column, the cell and its row.
    """
    if not bad.any():
        return
    row = int(np.argmax(bad))
    shown = " ".join(str(cells.iloc[row]).split())[:60]
    raise DataError(
        f'column "{name}": {_EXPECTED[kind]} expected, got "{shown}" in row {row + 1} '
        "(counted from 1)"
    )


def unique_cells(cells: pd.Series[Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes and distinct cells of a column; missing ones (None, NaN, NaT) are -1."""
    if isinstance(cells.dtype, pd.CategoricalDtype):
        return cells.cat.codes.to_numpy(np.int64), cells.cat.categories.to_numpy(object)
    try:
        codes, uniques = pd.factorize(cells.to_numpy(object))
    except TypeError:
        raise DataError(
            f'column "{name}": plain values are needed, got lists or other nested '
            "values; leave the column out"
        ) from None
    return codes, np.asarray(uniques, dtype=object)


def is_missing(values: np.ndarray) -> np.ndarray:
    """Where a column in its array form has no value."""
    return np.asarray(pd.isna(values), dtype=bool)


def _kind_of_texts(uniques: list[str]) -> Kind:
    present = [text for text in uniques if text.lower() not in MISSING_WORDS]
    if all(_NUMBER.fullmatch(text) for text in present):
        return "categorical" if any(map(_IDENTIFIER.fullmatch, present)) else "numeric"
    if all(text.lower() in _TRUTH for text in present):
        return "boolean"
    if all(map(_DATE.fullmatch, present)):
        try:
            for text in present:
                _to_date(text)
        except ValueError:
            return "categorical"
        return "date"
    return "categorical"


def _kind_of_objects(uniques: list[Any], name: str) -> Kind:
    if any(isinstance(cell, (bytes, complex)) for cell in uniques):
        raise DataError(
            f'column "{name}": plain values are needed, got bytes or complex numbers; '
            "leave the column out"
        )
    if uniques and all(isinstance(cell, (bool, np.bool_)) for cell in uniques):
        return "boolean"
    if all(isinstance(cell, (numbers.Real, decimal.Decimal)) for cell in uniques):
        return "numeric"
    if all(isinstance(cell, dt.date) for cell in uniques):
        return "date"
    return "categorical"


def _is_plain_number(dtype: Any) -> bool:
    is_number = pd.api.types.is_numeric_dtype(dtype)
    return bool(is_number and not pd.api.types.is_complex_dtype(dtype))


def _to_number(cell: Any) -> float:
    if isinstance(cell, str):
        text = cell.strip()
        if text.lower() in MISSING_WORDS:
            return math.nan
        if not _NUMBER.fullmatch(text):
            raise ValueError(text)
        value = float(text)
    elif isinstance(cell, (numbers.Real, np.bool_, decimal.Decimal)):
        try:
            value = float(cell)
        except OverflowError:
            return math.nan
    elif isinstance(cell, dt.timedelta):
        value = cell / dt.timedelta(days=1)
    else:
        raise TypeError(type(cell))
    return math.nan if math.isinf(value) else value


def _to_truth(cell: Any) -> float:
    if isinstance(cell, str):
        text = cell.strip().lower()
        return math.nan if text in MISSING_WORDS else _number_truth(_TRUTH.get(text))
    return _number_truth(_to_number(cell))


def _number_truth(value: float | None) -> float:
    if value is None or not (value in (0.0, 1.0) or math.isnan(value)):
        raise ValueError(value)
    return value


def _to_date(cell: Any) -> Any:
    if isinstance(cell, str):
        text = cell.strip()
        if text.lower() in MISSING_WORDS:
            return None
        if not _DATE.fullmatch(text):
            raise ValueError(text)
        cell = dt.datetime.fromisoformat(text.replace("/", "-"))
    elif isinstance(cell, dt.date) and not isinstance(cell, dt.datetime):
        cell = dt.datetime(cell.year, cell.month, cell.day)
    if not isinstance(cell, dt.datetime):
        raise TypeError(type(cell))
    if cell.tzinfo is not None:
        cell = cell.astimezone(dt.UTC).replace(tzinfo=None)
    return cell


def _to_text(cell: Any) -> str | None:
    if isinstance(cell, (float, np.floating)):
        # Typed readers turn whole numbers into floats as soon as one is missing.
        return str(int(cell)) if float(cell).is_integer() else repr(float(cell))
    return str(cell).strip() or None


_CONVERTERS: dict[Kind, tuple[Callable[[Any], Any], Any]] = {
    "numeric": (_to_number, math.nan),
    "boolean": (_to_truth, math.nan),
    "date": (_to_date, None),
    "categorical": (_to_text, None),
}
_FORMS: dict[Kind, Any] = {
    "numeric": np.float64,
    "boolean": np.float64,
    "date": "datetime64[us]",
    "categorical": object,
}
