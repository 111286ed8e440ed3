"""From a file to the arrays that every trial of a study shares.

    file -> raw rows -> classes -> split -> Preprocessor (training rows) -> arrays
                                     |
                                     +-> test rows, raw, locked away until the end

What a column holds is read off the training and validation rows; whatever is *fitted*
(medians, scales, categories, which columns vary) sees training rows alone.

Shapes: N rows, F inputs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tunekit.data.classes import Label, class_labels, encode_labels, read_labels
from tunekit.data.kinds import Column
from tunekit.data.preprocess import Preprocessor
from tunekit.data.read import RawTable, listed, read_table
from tunekit.data.split import check_shares, stratified
from tunekit.data.text import ROW_INDEX
from tunekit.data.typed import TypedColumns, type_columns
from tunekit.errors import DataError, did_you_mean

__all__ = ["Table", "fit_columns", "load", "notes"]

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Table:
    """A table that is ready to be learnt, with its test rows still raw."""

    source: str
    """The file as it was named, or ``digits``."""
    fingerprint: str
    """SHA-256 of the files' bytes, the target and what was dropped."""
    target: str
    n_rows: int
    """Rows of the main file."""
    columns: tuple[Column, ...]
    classes: tuple[Label, ...]
    notes: tuple[str, ...]
    preprocessor: Preprocessor
    split: dict[str, np.ndarray] = field(repr=False)
    """Raw row numbers, from 0, of train, validation and test."""
    files: dict[str, str | None]
    """The file of each part; None where it is part of the main file."""
    x_train: np.ndarray = field(repr=False)
    y_train: np.ndarray = field(repr=False)
    x_valid: np.ndarray = field(repr=False)
    y_valid: np.ndarray = field(repr=False)
    _test_frame: pd.DataFrame = field(repr=False)
    _y_test: np.ndarray = field(repr=False)

    @property
    def n_inputs(self) -> int:
        """Inputs of the network."""
        return self.preprocessor.n_inputs

    @property
    def n_features(self) -> int:
        """Columns that are used."""
        return len(self.preprocessor.column_names)

    def test_rows(self) -> tuple[pd.DataFrame, np.ndarray]:
        """The test part: raw rows without the target, and their classes' places.

        To be asked for once, when the winner stands.
        """
        return self._test_frame, self._y_test

    def describe(self) -> dict[str, Any]:
        """What ``split.json`` of the study folder holds."""
        described: dict[str, Any] = {
            "source": self.source,
            "fingerprint": self.fingerprint,
            "target": self.target,
            "rows": self.n_rows,
            "features": self.n_features,
            "inputs": self.n_inputs,
            "classes": list(self.classes),
            "columns": [vars(column) for column in self.columns],
            "notes": list(self.notes),
        }
        described |= {part: self.split[part].tolist() for part in PARTS}
        if self.files["validation"] or self.files["test"]:
            described["files"] = dict(self.files)
        return described


def load(
    data: str | Path | None = None,
    target: str | None = None,
    *,
    valid_data: str | Path | None = None,
    test_data: str | Path | None = None,
    drop: Sequence[str] = (),
    split: tuple[float, float, float] = (0.6, 0.2, 0.2),
    seed: int = 0,
) -> Table:
    """Read a table and make it ready to be learnt.

    Args:
        data: CSV, Parquet or npz (arrays ``X`` and ``y``); None or "digits" for the
            digits of scikit-learn.
        target: The column of classes; the digits and npz files know theirs.
        valid_data: A file of its own for validation, with the same columns.
        test_data: The same for the test.
        drop: Columns to leave out.
        split: Shares of train, validation and test; those of parts with a file of
            their own are not used.
        seed: The study's seed, which settles the split.

    Raises:
        DataError: When a file, a column or a row cannot be used.
        ConfigError: When ``split`` is not three shares that sum to 1.

    Example:
        >>> table = load("digits")
        >>> table.x_train.shape, len(table.classes), table.n_rows
        ((1078, 61), 10, 1797)
    """
    files = {"validation": valid_data, "test": test_data}
    shares = check_shares(split, [part for part, path in files.items() if path])
    raw = read_table(data, target=target)
    target = _target(raw, target)
    dropped = _check_drop(raw, drop, target)
    own = {
        part: read_table(path, target=target) for part, path in files.items() if path
    }
    where = f'{raw.source}, target "{target}"'
    labels = read_labels(raw.cells[target], is_text=raw.is_text, where=where)
    # With one part there is nothing to divide, and one row of a class can train.
    here = [part for part in PARTS if part not in own]
    classes = class_labels(labels, where=where, min_rows=min(2, len(here)))
    y_all = encode_labels(labels, classes, where=where)
    rows = _divide(y_all, here, shares, seed, raw.source)

    learnt = [rows[part] for part in here if part != "test"]
    unnamed = [ROW_INDEX] if ROW_INDEX in raw.cells.columns else []
    typed = type_columns(raw, [target, *dropped, *unnamed], np.concatenate(learnt))
    train = typed.frame.iloc[rows["train"]]
    fitted, columns = fit_columns(raw, typed, train)
    y_of = {part: y_all[rows[part]] for part in here} | {
        part: _own_classes(own[part], target, classes, fitted) for part in own
    }
    # The test rows stay as they are written.
    valid_frame = (
        own["validation"].cells
        if "validation" in own
        else typed.frame.iloc[rows["validation"]]
    )
    test_frame = own["test"].frame if "test" in own else raw.rows(rows["test"])
    rows |= {part: np.arange(len(y_of[part]), dtype=np.int64) for part in own}
    digests = {"main": raw.digest} | {part: own[part].digest for part in own}
    return Table(
        source=raw.source,
        fingerprint=_fingerprint(digests, target, dropped),
        target=target,
        n_rows=len(raw.cells),
        columns=columns,
        classes=classes,
        notes=notes(columns, dropped, unnamed),
        preprocessor=fitted,
        split={part: rows[part] for part in PARTS},
        files={
            "train": raw.source,
            **{part: own[part].source if part in own else None for part in PARTS[1:]},
        },
        x_train=fitted.transform(train),
        y_train=y_of["train"],
        x_valid=fitted.transform(valid_frame),
        y_valid=y_of["validation"],
        _test_frame=test_frame.drop(columns=target, errors="ignore").reset_index(
            drop=True
        ),
        _y_test=y_of["test"],
    )


def fit_columns(
    raw: RawTable, typed: TypedColumns, train: pd.DataFrame
) -> tuple[Preprocessor, tuple[Column, ...]]:
    """What makes inputs of rows, fitted on training rows; and what became of columns.

    Args:
        raw: The table, for its name in messages.
        typed: Its columns.
        train: The training rows of these.

    Raises:
        DataError: When no column varies, or one that does has a cell of another kind.
    """
    fitted = Preprocessor.fit(train, typed.columns, array_names=raw.array_names)
    if not fitted.column_names:
        reasons = listed([f"{n} ({why})" for n, why in fitted.left_out.items()], 3)
        raise DataError(
            f"{raw.source}: at least one column that varies is needed besides the "
            f"target, got none{': ' + reasons if reasons else ''}"
        )
    typed.check(fitted.column_names)
    out = fitted.left_out
    return fitted, tuple(replace(c, note=out.get(c.name, "")) for c in typed.columns)


def _target(raw: RawTable, target: str | None) -> str:
    names = [str(name) for name in raw.cells.columns]
    columns = f"the columns are {listed(names)}"
    if target is None:
        if raw.target is None and raw.array_names:
            raise DataError(f"{raw.source}: arrays X and y are needed, got no y")
        if raw.target is None:
            raise DataError(
                f"{raw.source}: name the column to be learnt with --target; {columns}"
            )
        return raw.target
    if target not in names:
        same = [name for name in names if name.lower() == target.lower()]
        also = {target: same[0]} if same else None
        raise DataError(
            f'{raw.source}: no column "{target}" for the target'
            f"{did_you_mean(target, names, also=also)}; {columns}"
        )
    return target


def _check_drop(raw: RawTable, drop: Sequence[str], target: str) -> list[str]:
    names = [str(name) for name in raw.cells.columns]
    for name in drop:
        if name == target:
            raise DataError(f'--drop "{name}": the target cannot be dropped')
        if name not in names:
            raise DataError(
                f'--drop "{name}": no such column in {raw.source}'
                f"{did_you_mean(name, names)}"
            )
    return sorted(set(drop))


def _divide(
    y_N: np.ndarray,
    here: Sequence[str],
    shares: Sequence[float],
    seed: int,
    source: str,
) -> dict[str, np.ndarray]:
    """The rows of the main file among the parts that have no file of their own."""
    share_of = dict(zip(PARTS, shares, strict=True))
    parts = stratified(y_N, [share_of[part] for part in here], seed=seed)
    for part, rows in zip(here, parts, strict=True):
        if not len(rows):
            raise DataError(
                f"{source}: every part needs rows, got none for {part} out of "
                f"{len(y_N)}; add rows or give it a larger share (--split)"
            )
    return dict(zip(here, parts, strict=True))


def _own_classes(
    own: RawTable, target: str, classes: Sequence[Label], fitted: Preprocessor
) -> np.ndarray:
    """The classes of a part's own file, whose rows are checked against the main one."""
    if target not in own.cells.columns:
        names = [str(name) for name in own.cells.columns]
        raise DataError(
            f'{own.source}: column "{target}" (the target) is needed, but the file '
            f"does not have it{did_you_mean(target, names)}"
        )
    where = f'{own.source}, target "{target}"'
    labels = read_labels(own.cells[target], is_text=own.is_text, where=where)
    y_own = encode_labels(labels, classes, where=where)
    try:
        # Nothing is kept of this: a cell that cannot be used must show now, not when
        # the search is over.
        fitted.transform(own.cells)
    except DataError as error:
        raise DataError(f"{own.source}, {error}") from None
    return y_own


def _fingerprint(digests: dict[str, str], target: str, drop: Sequence[str]) -> str:
    """One for the files, by the part each is for, the target and what is dropped."""
    named = {"digests": digests, "target": target, "drop": list(drop)}
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def notes(
    columns: Sequence[Column], dropped: Sequence[str] = (), unnamed: Sequence[str] = ()
) -> tuple[str, ...]:
    """What was left out, and why, in lines for people."""
    found = [f"left out as asked: {listed(dropped, 5)}"] if dropped else []
    if unnamed:
        found.append(
            "left out, taken for a row index: the first column, without a name"
        )
    for reason in sorted({column.note for column in columns} - {""}):
        names = [column.name for column in columns if column.note == reason]
        found.append(f"left out, {reason}: {listed(names, 5)}")
    return tuple(found)
