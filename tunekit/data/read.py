"""A file (or the embedded digits) as one raw table: nothing inferred, nothing cleaned.

Text files are read as text, every cell of them: what a cell means is decided in
``tunekit.data.kinds``, where it can be seen, and not by a reader that turns "01234"
into 1234 and "NA" into a hole. The bytes that were parsed are those that were hashed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from tunekit.data.text import BYTE_ORDER_MARK, Lines, check_names, read_text
from tunekit.errors import DataError, MissingExtraError

__all__ = ["DIGITS", "RawTable", "array_frame", "listed", "read_table"]

DIGITS = "digits"
"""The name of the table that needs no file."""

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")


@dataclass(frozen=True, eq=False)
class RawTable:
    """What a file held, before anything was inferred from it."""

    source: str
    """The file as it was named, or ``digits``."""
    cells: pd.DataFrame = field(repr=False)
    """Its columns; those of a text file that hold plain numbers are numbers already."""
    is_text: bool
    """Whether every cell is a text (a CSV file), so that kinds are to be inferred."""
    digest: str
    """SHA-256 (hex) of the bytes that were read."""
    target: str | None = None
    """The column of classes, where the format itself says so."""
    array_names: tuple[str, ...] = ()
    """The columns that came from one array, in its order."""
    in_memory: bool = False
    """Whether no file was read: who holds the rows leaves columns out themselves."""
    lines: Lines | None = field(default=None, repr=False)
    """The lines of a text file, where columns of ``cells`` are numbers already."""

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows as they are written: every cell of a text file is a text."""
        return self.cells if self.lines is None else self.lines.frame()

    def rows(self, places: np.ndarray) -> pd.DataFrame:
        """Some of the rows as they are written."""
        if self.lines is None:
            return self.cells.iloc[places]
        return self.lines.frame(places)


def read_table(source: str | Path | None, *, target: str | None = None) -> RawTable:
    """Read CSV, Parquet or npz (arrays ``X``, ``y``); None or "digits" is the digits.

    Args:
        source: The file. CSV may be separated by comma, semicolon, tab or ``|``, and
            is UTF-8 with or without a byte order mark.
        target: The column of a text file whose cells stay texts in any case.

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
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:
        # A name may be too long to be asked for.
        shown = f"{source}"[:60]
        raise DataError(
            f"{shown}: cannot be a file ({error.strerror or error}); check the path"
        ) from None
    if is_folder:
        raise DataError(f"{path}: a file is needed, got a folder; name the file in it")
    if not exists:
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
    if not raw.removeprefix(BYTE_ORDER_MARK).strip():
        raise DataError(f"{path}: the file is empty; a header and rows are needed")
    digest = hashlib.sha256(raw).hexdigest()
    if suffix in TEXT_SUFFIXES:
        cells, lines = read_text(path, raw, keep=target)
        return RawTable(str(path), cells, True, digest, lines=lines)
    if suffix == ".npz":
        frame, target, names = _npz_frame(path, raw)
        return RawTable(str(path), frame, False, digest, target, names)
    return RawTable(str(path), _parquet_frame(path, raw), False, digest)


def array_frame(x_NF: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """A two-dimensional array as a frame whose columns are ``names``."""
    return pd.DataFrame(x_NF, columns=pd.Index(list(names), dtype=object), copy=False)


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
