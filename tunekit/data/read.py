"""A file (or the embedded digits) as one raw table: nothing inferred, nothing cleaned.

Text files are read as text, every cell of them: what a cell means is decided in
``tunekit.data.kinds``, where it can be seen, and not by a reader that turns "01234"
into 1234 and "NA" into a hole. The bytes that were parsed are those that were hashed.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from tunekit.errors import DataError, MissingExtraError

__all__ = ["DIGITS", "RawTable", "array_frame", "listed", "read_table"]

DIGITS = "digits"
"""The name of the table that needs no file."""

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")
DELIMITERS = ",;\t|"
_SAMPLE = 64 * 1024


@dataclass(frozen=True, eq=False)
class RawTable:
    """What a file held, before anything was inferred from it."""

    source: str
    """The file as it was named, or ``digits``."""
    frame: pd.DataFrame = field(repr=False)
    is_text: bool
    """Whether every cell is a text (a CSV file), so that kinds are to be inferred."""
    digest: str
    """SHA-256 (hex) of the bytes that were read."""
    target: str | None = None
    """The column of classes, where the format itself says so."""
    array_names: tuple[str, ...] = ()
    """The columns that came from one array, in its order."""


def read_table(source: str | Path | None) -> RawTable:
    """Read CSV, Parquet or npz (arrays ``X``, ``y``); None or "digits" is the digits.

    Args:
        source: The file. CSV may be separated by comma, semicolon, tab or ``|``, and
            is UTF-8 with or without a byte order mark.

    Raises:
        DataError: When there is no such file, or it holds no table.
        MissingExtraError: For Parquet when pyarrow is not installed.

    Example:
        >>> read_table("digits").frame.shape
        (1797, 65)
    """
    if source is None or source == DIGITS:
        return _digits()
    path = Path(source)
    suffix = path.suffix.lower()
    if path.is_dir():
        raise DataError(f"{path}: a file is needed, got a folder; name the file in it")
    if not path.exists():
        raise DataError(f"{path}: no such file; check the path")
    if suffix not in (*TEXT_SUFFIXES, *PARQUET_SUFFIXES, ".npz"):
        raise DataError(
            f"{path}: a table must be .csv, .tsv, .txt, .parquet or .npz, "
            f'got "{suffix or "no suffix"}"; convert or rename it'
        )
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path}: cannot be read ({reason})") from None
    if not raw.strip():
        raise DataError(f"{path}: the file is empty; a header and rows are needed")
    digest = hashlib.sha256(raw).hexdigest()
    if suffix in TEXT_SUFFIXES:
        return RawTable(str(path), _text_frame(path, raw), True, digest)
    if suffix == ".npz":
        frame, target, names = _npz_frame(path, raw)
        return RawTable(str(path), frame, False, digest, target, names)
    return RawTable(str(path), _parquet_frame(path, raw), False, digest)


def array_frame(x_NF: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """A two-dimensional array as a frame whose columns are ``names``."""
    return pd.DataFrame(x_NF, columns=pd.Index(list(names), dtype=object))


def listed(names: Sequence[object], limit: int = 10) -> str:
    """Names for a message, the first few of them.

    Example:
        >>> listed(["a", "b", "c"], limit=2)
        'a, b and 1 more'
    """
    text = ", ".join(str(name) for name in names[:limit])
    return f"{text} and {len(names) - limit} more" if len(names) > limit else text


def _digits() -> RawTable:
    x_NF, y_N = _digits_arrays()
    names = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))
    frame = array_frame(x_NF, names)
    frame["digit"] = y_N
    digest = hashlib.sha256(x_NF.tobytes() + y_N.tobytes()).hexdigest()
    return RawTable(DIGITS, frame, False, digest, "digit", names)


def _digits_arrays() -> tuple[np.ndarray, np.ndarray]:
    """The pixels [N, 64] and the digit [N] of each row."""
    # The table lies in scikit-learn's package; importing that package to read it would
    # cost a second or two before the first line of output.
    spec = importlib.util.find_spec("sklearn")
    for place in (spec and spec.submodule_search_locations) or ():
        path = Path(place) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            table = np.loadtxt(path, delimiter=",")
            return np.ascontiguousarray(table[:, :-1]), table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    return np.ascontiguousarray(pixels, dtype=np.float64), digits.astype(np.int64)


def _text_frame(path: Path, raw: bytes) -> pd.DataFrame:
    raw = raw.removeprefix(b"\xef\xbb\xbf")
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
    cells = _cells(path, raw)
    header = [str(name).strip() for name in cells.iloc[0]]
    frame = cells.iloc[1:].reset_index(drop=True)
    frame.columns = pd.Index(header, dtype=object)
    check_names(path, header)
    if len(frame) == 0:
        raise DataError(f"{path}: rows are needed below the header, got none")
    return frame


def _cells(path: Path, raw: bytes) -> pd.DataFrame:
    # The header is read as a row like any other: only so does the parser notice a
    # first row that is longer than it.
    try:
        cells = pd.read_csv(
            io.BytesIO(raw),
            sep=_delimiter(raw),
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
    stripped = [
        pd.Series(_strip(cells[place].to_numpy(object)), dtype=object)
        for place in cells.columns
    ]
    return pd.concat(stripped, axis=1)


def _strip(texts: np.ndarray) -> np.ndarray:
    codes, uniques = pd.factorize(texts)
    clean = np.empty(len(uniques), dtype=object)
    clean[:] = [text.strip() for text in uniques]
    # Equal texts share one object from here on, which also saves memory.
    return np.asarray(clean[codes], dtype=object)


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


def _parquet_frame(path: Path, raw: bytes) -> pd.DataFrame:
    try:
        import pyarrow.parquet  # type: ignore[import-untyped,unused-ignore]  # noqa: F401
    except ImportError:
        raise MissingExtraError.of("Reading Parquet", "pyarrow", "parquet") from None
    try:
        frame = pd.read_parquet(io.BytesIO(raw), engine="pyarrow")
    except Exception as error:
        # pyarrow raises many kinds (OSError, ArrowInvalid, ValueError) for bad files.
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: not a readable Parquet file ({reason})") from None
    named = [level for level in frame.index.names if level is not None]
    frame = frame.reset_index(drop=not named)
    names = [str(name).strip() for name in frame.columns]
    frame.columns = pd.Index(names, dtype=object)
    check_names(path, names)
    if len(frame) == 0:
        raise DataError(f"{path}: rows are needed, got none")
    return frame


def _npz_frame(
    path: Path, raw: bytes
) -> tuple[pd.DataFrame, str | None, tuple[str, ...]]:
    arrays = _npz_arrays(path, raw)
    if "X" not in arrays:
        found = listed(sorted(arrays)) or "none"
        raise DataError(
            f"{path}: arrays X (rows by columns) and y (classes) are needed, "
            f"got {found}"
        )
    x_NF = arrays["X"]
    if x_NF.ndim != 2 or 0 in x_NF.shape:
        raise DataError(
            f"{path}: X must be rows by columns, neither of them none, "
            f"got shape {x_NF.shape}"
        )
    if x_NF.dtype.kind not in "biufU":
        raise DataError(f"{path}: X must hold numbers or texts, got {x_NF.dtype}")
    names = tuple(f"x{place}" for place in range(x_NF.shape[1]))
    frame = array_frame(x_NF.astype(object) if x_NF.dtype.kind == "U" else x_NF, names)
    if "y" not in arrays:
        return frame, None, names
    y_N = arrays["y"]
    if y_N.shape != x_NF.shape[:1]:
        raise DataError(
            f"{path}: y must hold one class for each of the {len(x_NF)} rows of X, "
            f"got shape {y_N.shape}"
        )
    frame["y"] = y_N.astype(object) if y_N.dtype.kind == "U" else y_N
    return frame, "y", names


def _npz_arrays(path: Path, raw: bytes) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception:
        # A damaged archive raises anything from BadZipFile to zlib.error.
        raise DataError(
            f"{path}: an npz file of plain arrays (numbers, texts; no objects) is "
            "needed, got another or a damaged file; write it with "
            "numpy.savez(path, X=X, y=y)"
        ) from None


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
