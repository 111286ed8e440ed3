"""A text file (CSV and its kin) as columns: texts, and numbers where that is plain.

A file of plain lines, no cell quoted and equally many cells in each, is a grid:
the columns whose first rows are numbers are then parsed as such in one go, which takes
a fraction of the time and memory of a text a cell. The moment anything in such a column
is not plainly a number, and for every other file, all cells are read as texts.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tunekit.data.numbers import WRITTEN_MISSING, plain_numbers
from tunekit.errors import DataError

__all__ = ["BYTE_ORDER_MARK", "ROW_INDEX", "Lines", "check_names", "read_text"]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""What some programs write before UTF-8."""
DELIMITERS = ",;\t|"
_SAMPLE = 64 * 1024
_PEEK = 200
ROW_INDEX = "(row index)"
"""What a first column without a name is called; it is never learnt from."""


@dataclass(frozen=True, eq=False)
class Lines:
    """The lines of a grid, from which rows can be had as they are written."""

    path: Path
    raw: bytes = field(repr=False)
    ends: np.ndarray = field(repr=False)
    """Where each line ends, that of the header first."""
    delimiter: str
    names: tuple[str, ...]
    """The columns."""

    def frame(self, places: np.ndarray | None = None) -> pd.DataFrame:
        """All rows, or those in these places, every cell a text."""
        raw = self.raw
        if places is not None:
            # The header comes first, since it says how wide the rows are.
            raw = b"".join(
                self.raw[self.ends[line - 1] + 1 if line else 0 : self.ends[line] + 1]
                for line in [0, *(np.asarray(places) + 1)]
            )
        return _frame(_cells(self.path, raw, self.delimiter), self.names)


def read_text(
    path: Path, raw: bytes, *, keep: str | None = None
) -> tuple[pd.DataFrame, Lines | None]:
    """The columns of a text file, and its lines if some columns are numbers already.

    Args:
        path: The file, for messages.
        raw: Its bytes.
        keep: A column whose cells stay texts in any case.

    Raises:
        DataError: When the bytes are not a table in UTF-8.
    """
    raw = raw.removeprefix(BYTE_ORDER_MARK)
    _check_encoding(path, raw)
    delimiter = _delimiter(raw)
    lines = _grid(path, raw, delimiter)
    if lines is not None:
        cells = _numbers_first(lines, keep)
        if cells is not None:
            return cells, lines
    cells = _cells(path, raw, delimiter)
    header = _names([str(name) for name in cells.iloc[0]])
    check_names(path, header)
    if len(cells) == 1:
        raise DataError(f"{path}: rows are needed below the header, got none")
    return _frame(cells, header), None


def _frame(cells: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    frame = cells.iloc[1:].reset_index(drop=True)
    frame.columns = pd.Index(list(names), dtype=object)
    return frame


def _grid(path: Path, raw: bytes, delimiter: str) -> Lines | None:
    """The lines, if each has as many cells as the header and no cell has quotes."""
    if b'"' in raw[raw.find(b"\n") :]:
        return None
    if b"\r" in raw:
        raw = raw.replace(b"\r\n", b"\n")
    if b"\r" in raw:
        return None
    raw = raw if raw.endswith(b"\n") else raw + b"\n"
    first = raw[: raw.index(b"\n")].decode()
    header = csv.reader([first], delimiter=delimiter, skipinitialspace=True)
    names = _names(next(header))
    if "" in names or len(set(names)) < len(names):
        return None
    letters = np.frombuffer(raw, np.uint8)
    ends = np.flatnonzero((letters == ord(delimiter)) | (letters == ord("\n")))
    if len(ends) % len(names) or len(ends) == len(names):
        return None
    last = ends[len(names) - 1 :: len(names)]
    if len(last) != raw.count(b"\n") or (letters[last] != ord("\n")).any():
        return None
    return Lines(path, raw, last, delimiter, tuple(names))


def _numbers_first(lines: Lines, keep: str | None) -> pd.DataFrame | None:
    """All columns, the plain numbers as float64; None when there are no such."""
    first = lines.frame(np.arange(min(_PEEK, len(lines.ends) - 1)))
    if len(first) < min(_PEEK, len(lines.ends) - 1):
        return None
    zeros = _leading_zeros(lines)
    plain = [
        place
        for place, name in enumerate(lines.names)
        if name != keep
        and not zeros[place]
        and plain_numbers(first[name].to_numpy(object)) is not None
    ]
    if not plain:
        return None
    types: dict[int, Any] = dict.fromkeys(range(len(lines.names)), object)
    types |= dict.fromkeys(plain, np.float64)
    absent: dict[Any, list[str]] = dict.fromkeys(plain, WRITTEN_MISSING)
    try:
        cells = pd.read_csv(
            io.BytesIO(lines.raw),
            sep=lines.delimiter,
            header=None,
            skiprows=1,
            names=list(range(len(lines.names))),
            dtype=types,
            na_values=absent,
            keep_default_na=False,
            index_col=False,
            skipinitialspace=True,
            encoding="utf-8",
        )
    except ValueError:
        # A cell further down is something else.
        return None
    if len(cells) != len(lines.ends) - 1:
        return None
    columns: dict[str, pd.Series[Any]] = {}
    for place, name in enumerate(lines.names):
        column = cells[place]
        columns[name] = column if place in plain else _strip(column)
    return pd.DataFrame(columns, copy=False)


def _leading_zeros(lines: Lines) -> np.ndarray:
    """Which columns hold a number with leading zeros, which is a name."""
    letters = np.frombuffer(lines.raw, np.uint8)
    breaks = (letters == ord(lines.delimiter)) | (letters == ord("\n"))
    starts = np.flatnonzero(breaks)[len(lines.names) - 1 : -1] + 1
    while (blank := letters[starts] == ord(" ")).any():
        starts += blank
    found = letters[starts]
    starts += (found == ord("+")) | (found == ord("-"))
    suspects = np.flatnonzero(letters[starts] == ord("0"))
    after = letters[starts[suspects] + 1]
    suspects = suspects[(after >= ord("0")) & (after <= ord("9"))]
    zeros = np.zeros(len(lines.names), dtype=bool)
    zeros[suspects % len(lines.names)] = True
    return zeros


def _check_encoding(path: Path, raw: bytes) -> None:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path}: text must be UTF-8, got UTF-16; save it as UTF-8 CSV")
    if b"\0" in raw:
        raise DataError(
            f"{path}: text in UTF-8 is needed, got a binary file (or UTF-16); "
            "save the table as UTF-8 CSV"
        )
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: text must be UTF-8, got another encoding or a binary file "
            f"(line {line}); save the table as UTF-8 CSV"
        ) from None


def _cells(path: Path, raw: bytes, delimiter: str) -> pd.DataFrame:
    # The header is read as a row like any other: only so does the parser notice a
    # first row that is longer than it.
    try:
        cells = pd.read_csv(
            io.BytesIO(raw),
            sep=delimiter,
            header=None,
            dtype=object,
            na_filter=False,
            index_col=False,
            skipinitialspace=True,
            encoding="utf-8",
        )
    except pd.errors.ParserError as error:
        raise DataError(f"{path}: {_torn(str(error))}") from None
    except (pd.errors.EmptyDataError, ValueError):
        raise DataError(
            f"{path}: the file holds no table; a header is needed"
        ) from None
    # Series by Series: a frame of plain arrays would turn texts into another type.
    stripped = {place: _strip(cells[place]) for place in cells.columns}
    return pd.DataFrame(stripped, copy=False)


def _strip(cells: pd.Series[Any]) -> pd.Series[Any]:
    # A text without blanks around it is given back as the same object.
    clean = np.empty(len(cells), dtype=object)
    clean[:] = list(map(str.strip, cells.to_numpy(object)))
    return pd.Series(clean, dtype=object)


def _torn(message: str) -> str:
    """What pandas said about a broken text file, in words for its owner."""
    if found := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message):
        wanted, line, got = found.groups()
        return (
            f"every row must have at most the header's {wanted} cells, "
            f"got {got} in line {line}; quote cells that hold the separator"
        )
    if found := re.search(r"EOF inside string starting at row (\d+)", message):
        place = f"row {found[1]}" if int(found[1]) else "the header"
        return (
            f'every quote (") must be closed, got an open one in {place}; '
            "close it, or double quotes inside a quoted cell"
        )
    return f"the text is not a table ({' '.join(message.split())})"


def _delimiter(raw: bytes) -> str:
    """The separator under which the first lines make the widest regular table."""
    sample = raw[:_SAMPLE].decode("utf-8", errors="ignore")
    best, best_score = ",", (False, 1)
    for delimiter in DELIMITERS:
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        widths: list[int] = []
        try:
            while len(widths) < 50:
                widths.append(len(next(reader)))
        except StopIteration:
            # The sample may end inside a row.
            widths = widths[:-1] if len(raw) > _SAMPLE else widths
        except csv.Error:
            pass
        widths = [width for width in widths if width]
        if not widths or widths[0] == 1:
            continue
        score = (max(widths) == widths[0], widths[0])
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _names(header: Sequence[str]) -> list[str]:
    """The columns' names; a first one without is ``to_csv``'s for the index."""
    names = [name.strip() for name in header]
    if len(names) > 1 and not names[0] and "" not in names[1:]:
        names[0] = ROW_INDEX
    return names


def check_names(path: Path | str, names: Sequence[str]) -> None:
    """Refuse a table in which a column has no name or shares it with another."""
    if "" in names:
        raise DataError(
            f"{path}: every column needs a name, got none for column "
            f"{list(names).index('') + 1} (counted from 1); write one in the header"
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f'{path}: column names must differ, got "{twice[0]}" '
            f"{Counter(names)[twice[0]]} times; rename all but one"
        )
