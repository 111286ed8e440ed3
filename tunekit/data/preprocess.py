"""From the columns of a table to the inputs of a network, fitted on training rows.

Inputs stand in four blocks, in this order:

    numeric      (x - median) / (third - first quartile), or half the range where the
                 quartiles coincide, then the smooth clip z / sqrt(1 + (z / 3)^2), as in
                 RealMLP (Holzmüller et al. 2024, "Better by default")
    boolean      0 or 1
    date         days since 1970 as a number, sine and cosine of month, weekday and hour
    categorical  one input a category seen at least twice, one for all the others where
                 training had such, one for missing where training had such

A missing cell takes the median (the commoner truth value), and has an input of its own
where training rows lacked cells too. What does not vary over them is left out.

Shapes: N rows, F inputs, D numeric columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tunekit.data.encode import Dated, OneHot, Scaled, Truth, fit_scales, squash
from tunekit.data.kinds import Column, Kind, is_missing, parse
from tunekit.data.read import listed
from tunekit.errors import DataError

__all__ = ["Preprocessor"]

FORMAT = 1
# Numeric columns are taken in groups of about so many cells: arithmetic in float64 then
# costs a few arrays of this size, and not of the table's.
_CELLS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Preprocessor:
    """What turns raw rows into network inputs; made by ``fit``, saved as JSON.

    Example:
        >>> frame = pd.DataFrame({"age": [20, 30, 40, 50]})
        >>> fitted = Preprocessor.fit(frame, [Column("age", "numeric", 0)])
        >>> fitted.transform(pd.DataFrame({"age": [35]}))
        array([[0.]], dtype=float32)
        >>> Preprocessor.from_json(fitted.to_json()) == fitted
        True
    """

    numeric: tuple[Scaled, ...] = ()
    boolean: tuple[Truth, ...] = ()
    date: tuple[Dated, ...] = ()
    categorical: tuple[OneHot, ...] = ()
    array_names: tuple[str, ...] = ()
    """All columns of the array the table came from, in order; else empty."""
    left_out: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Columns that do not vary over the training rows, and why they are left out."""

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        columns: Sequence[Column],
        *,
        array_names: Sequence[str] = (),
    ) -> Preprocessor:
        """Fit on training rows.

        Args:
            frame: The training rows, text or typed cells.
            columns: Which columns to use and what they hold.
            array_names: The columns of the array that ``frame`` came from, if any.

        Raises:
            DataError: When a column is missing or a cell is not of its column's kind.
        """
        cells = _Cells(frame)
        left_out: dict[str, str] = {}
        numeric_names = [column.name for column in columns if column.kind == "numeric"]
        numeric: list[Scaled] = []
        for group in cells.groups(numeric_names):
            x_ND = cells.numbers(group)
            for place, scaled in enumerate(fit_scales(x_ND)):
                if scaled is None:
                    left_out[group[place]] = _why_alike(x_ND[:, place])
                else:
                    numeric.append(Scaled(group[place], *scaled))
        boolean: list[Truth] = []
        date: list[Dated] = []
        categorical: list[OneHot] = []
        for column in columns:
            if column.kind == "numeric":
                continue
            name, values_N = column.name, cells.values(column.name, column.kind)
            if column.kind == "boolean" and (truth := Truth.fit(name, values_N)):
                boolean.append(truth)
            elif column.kind == "date" and (dated := Dated.fit(name, values_N)):
                date.append(dated)
            elif column.kind == "categorical" and (hot := OneHot.fit(name, values_N)):
                categorical.append(hot)
            else:
                left_out[name] = _why_alike(values_N)
        return cls(
            tuple(numeric),
            tuple(boolean),
            tuple(date),
            tuple(categorical),
            tuple(array_names),
            left_out,
        )

    @property
    def column_names(self) -> list[str]:
        """The columns a row must have."""
        names = [part.name for part in self.numeric]
        return names + [part.name for _, part in self._other_parts()]

    @property
    def feature_names(self) -> list[str]:
        """What each input stands for."""
        names = [part.name for part in self.numeric if part.scale is not None]
        names += [f"{part.name} is missing" for part in self.numeric if part.missing]
        for _, other in self._other_parts():
            names += other.input_names
        return names

    @property
    def n_inputs(self) -> int:
        """How many inputs the network has."""
        return len(self.feature_names)

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        """The inputs of raw rows, float32 [N, F]; each row's depend on that row alone.

        Columns that are not needed are ignored, infinite numbers count as missing.

        Raises:
            DataError: When a column is missing or a cell is not of its column's kind.
        """
        cells = _Cells(frame)
        cells.require(self.column_names)
        x_NF = np.empty((len(frame), self.n_inputs), np.float32)
        start = self._numeric_inputs(cells, x_NF)
        for kind, part in self._other_parts():
            block = part.encode(cells.values(part.name, kind))
            x_NF[:, start : start + block.shape[1]] = block
            start += block.shape[1]
        return x_NF

    def to_json(self) -> dict[str, Any]:
        """Plain values, exact: ``from_json`` gives a bit-equal transform."""
        return {
            "format": FORMAT,
            "numeric": [dataclasses.asdict(part) for part in self.numeric],
            "boolean": [dataclasses.asdict(part) for part in self.boolean],
            "date": [dataclasses.asdict(part) for part in self.date],
            "categorical": [dataclasses.asdict(part) for part in self.categorical],
            "array_names": list(self.array_names),
            "left_out": dict(self.left_out),
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Preprocessor:
        """The preprocessor that ``to_json`` described.

        Raises:
            DataError: When ``saved`` is not what ``to_json`` writes.
        """
        try:
            if saved["format"] != FORMAT:
                raise ValueError(
                    f"format {saved['format']}, this version reads {FORMAT}"
                )
            return cls(
                tuple(Scaled(**part) for part in saved["numeric"]),
                tuple(Truth(**part) for part in saved["boolean"]),
                tuple(
                    Dated(**{**part, "circles": tuple(part["circles"])})
                    for part in saved["date"]
                ),
                tuple(
                    OneHot(**{**part, "categories": tuple(part["categories"])})
                    for part in saved["categorical"]
                ),
                tuple(saved["array_names"]),
                dict(saved["left_out"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"the saved preprocessing cannot be read ({error}); "
                "use the tunekit version that saved it"
            ) from None

    def _other_parts(self) -> Iterator[tuple[Kind, Truth | Dated | OneHot]]:
        yield from (("boolean", truth) for truth in self.boolean)
        yield from (("date", dated) for dated in self.date)
        yield from (("categorical", one_hot) for one_hot in self.categorical)

    def _numeric_inputs(self, cells: _Cells, x_NF: np.ndarray) -> int:
        """Write the first inputs, those of numeric columns; how many they are."""
        value = 0
        absent = sum(part.scale is not None for part in self.numeric)
        part_of = {part.name: part for part in self.numeric}
        for group in cells.groups(list(part_of)):
            parts = [part_of[name] for name in group]
            x_ND = cells.numbers(group)
            varies_D = np.array([part.scale is not None for part in parts], bool)
            missing_D = np.array([part.missing for part in parts], bool)
            absent_ND = np.isnan(x_ND[:, missing_D])
            center_D = np.array([part.center for part in parts])
            scale_D = np.array([1.0 if p.scale is None else p.scale for p in parts])
            squashed_ND = squash(x_ND, center_D, scale_D)[:, varies_D]
            x_NF[:, value : value + squashed_ND.shape[1]] = squashed_ND
            x_NF[:, absent : absent + absent_ND.shape[1]] = absent_ND
            value += squashed_ND.shape[1]
            absent += absent_ND.shape[1]
        return absent


class _Cells:
    """The columns of a frame by name, in the array form of their kinds."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._places: dict[str, int] = {}
        for place, name in enumerate(frame.columns):
            if self._places.setdefault(str(name).strip(), place) != place:
                raise DataError(f'column names must differ, got "{name}" twice')

    def require(self, names: Sequence[str]) -> None:
        """Refuse a frame without these columns."""
        for name in names:
            if name not in self._places:
                raise DataError(
                    f'column "{name}" is needed, but the rows do not have it; '
                    f"they have {listed(list(self._places), 5) or 'no columns'}"
                )

    def values(self, name: str, kind: Kind) -> np.ndarray:
        """One column."""
        self.require([name])
        return parse(self._frame.iloc[:, self._places[name]], kind, name=name)

    def groups(self, names: Sequence[str]) -> Iterator[Sequence[str]]:
        """Columns in groups that are small enough to be taken at once."""
        width = max(1, _CELLS_AT_ONCE // max(1, len(self._frame)))
        for start in range(0, len(names), width):
            yield names[start : start + width]

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """Numeric columns [N, D], NaN where missing."""
        self.require(names)
        block = self._frame.iloc[:, [self._places[name] for name in names]]
        if all(isinstance(t, np.dtype) and t.kind in "biuf" for t in block.dtypes):
            x_ND = np.array(block.to_numpy(np.float64))
            x_ND[np.isinf(x_ND)] = np.nan
            return x_ND
        return np.column_stack([self.values(name, "numeric") for name in names])


def _why_alike(values_N: np.ndarray) -> str:
    absent_N = is_missing(values_N)
    if absent_N.all():
        return "no value in the training rows"
    if len(np.unique(values_N[~absent_N])) > 1:
        return "every text of the training rows occurs once"
    return "constant in the training rows"
