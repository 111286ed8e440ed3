"""How one column of each kind becomes inputs: small frozen records, fitted and applied.

Each record is what is remembered of a column: enough to encode a new row, plain enough
for JSON. ``fit`` sees training cells alone, in the array form of
``tunekit.data.kinds``, and answers None for a column that does not vary over them.

Shapes: N rows, D numeric columns, I inputs of one column.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = ["Dated", "OneHot", "Scaled", "Truth", "fit_scales", "squash"]

CLIP = 3.0
# Differences of numbers below this cannot overflow.
_HUGE = 1e300


@dataclass(frozen=True)
class Scaled:
    """A numeric column: centred on its median, divided by its scale, clipped."""

    name: str
    center: float
    scale: float | None
    """None when present cells are all alike and only their absence tells something."""
    missing: bool
    """Whether training cells were missing, so that this has an input of its own."""


@dataclass(frozen=True)
class Truth:
    """A boolean column."""

    name: str
    fill: float
    """The commoner value, for cells without one."""
    varies: bool
    missing: bool

    @classmethod
    def fit(cls, name: str, values_N: np.ndarray) -> Truth | None:
        """Remember a column of 0, 1 and NaN."""
        absent_N = np.isnan(values_N)
        present = values_N[~absent_N]
        varies = bool(present.size) and bool(present.min() != present.max())
        missing = bool(absent_N.any()) and bool(present.size)
        if not varies and not missing:
            return None
        return cls(name, float(present.mean() > 0.5), varies, missing)

    @property
    def input_names(self) -> list[str]:
        """What each input stands for."""
        return [self.name] * self.varies + [f"{self.name} is missing"] * self.missing

    def encode(self, values_N: np.ndarray) -> np.ndarray:
        """The inputs [N, I]."""
        absent_N = np.isnan(values_N)
        filled_N = np.where(absent_N, self.fill, values_N)
        inputs = [filled_N] * self.varies + [absent_N] * self.missing
        return np.column_stack(inputs).astype(np.float64)


@dataclass(frozen=True)
class Dated:
    """A column of dates: its days as a number, and where on the circles it stands."""

    name: str
    center: float
    scale: float | None
    circles: tuple[str, ...]
    """Which of month, weekday and hour varied in training."""
    missing: bool

    @classmethod
    def fit(cls, name: str, values_N: np.ndarray) -> Dated | None:
        """Remember a column of datetime64[us]."""
        absent_N = np.isnat(values_N)
        present = values_N[~absent_N]
        (scaled,) = fit_scales(_days(values_N)[:, None])
        if scaled is None:
            return None
        circles = tuple(
            circle
            for circle in _CIRCLES
            if len(np.unique(_place_on(circle, present))) > 1
        )
        return cls(name, *scaled[:2], circles, bool(absent_N.any()))

    @property
    def input_names(self) -> list[str]:
        """What each input stands for."""
        names = [f"{self.name} in days"] if self.scale is not None else []
        for circle in self.circles:
            names += [f"{self.name} {circle} {wave}" for wave in ("sine", "cosine")]
        return names + [f"{self.name} is missing"] * self.missing

    def encode(self, values_N: np.ndarray) -> np.ndarray:
        """The inputs [N, I]."""
        absent_N = np.isnat(values_N)
        inputs: list[np.ndarray] = []
        if self.scale is not None:
            days_N1 = _days(values_N)[:, None]
            squashed_N1 = squash(
                days_N1, np.array([self.center]), np.array([self.scale])
            )
            inputs.append(squashed_N1[:, 0])
        for circle in self.circles:
            waves_PI = _waves(_CIRCLES[circle])
            place_N = _place_on(
                circle, np.where(absent_N, np.datetime64(0, "us"), values_N)
            )
            waves_NI = np.where(absent_N[:, None], 0.0, waves_PI[place_N])
            inputs += [waves_NI[:, 0], waves_NI[:, 1]]
        inputs += [absent_N] * self.missing
        return np.column_stack(inputs).astype(np.float64)


@dataclass(frozen=True)
class OneHot:
    """A column of categories."""

    name: str
    categories: tuple[str, ...]
    """Those seen at least twice in training, in order of their text."""
    other: bool
    """Whether training had rarer ones; they and unseen ones share an input."""
    missing: bool

    @classmethod
    def fit(cls, name: str, values_N: np.ndarray) -> OneHot | None:
        """Remember a column of str and None."""
        codes_N, texts = pd.factorize(values_N)
        missing = bool((codes_N < 0).any())
        counts = np.bincount(codes_N[codes_N >= 0], minlength=len(texts))
        kept = tuple(sorted(texts[counts > 1].tolist()))
        other = len(kept) < len(texts)
        if len(kept) + other + missing < 2:
            return None
        return cls(name, kept, other, missing)

    @property
    def input_names(self) -> list[str]:
        """What each input stands for."""
        names = [f"{self.name} = {category}" for category in self.categories]
        names += [f"{self.name} is another"] * self.other
        return names + [f"{self.name} is missing"] * self.missing

    def encode(self, values_N: np.ndarray) -> np.ndarray:
        """The inputs [N, I]; without a place for others, unseen ones are all zeros."""
        n_inputs = len(self.categories) + self.other + self.missing
        # One place more than there are inputs: what is to leave no trace goes there.
        nowhere = n_inputs
        unseen = len(self.categories) if self.other else nowhere
        place_of: dict[str | None, int] = {
            category: place for place, category in enumerate(self.categories)
        }
        place_of[None] = n_inputs - 1 if self.missing else nowhere
        codes_N, texts = pd.factorize(values_N)
        # A cell without a text has the code -1, which is the None at the end.
        places = np.array([place_of.get(text, unseen) for text in [*texts, None]])
        places_N = places[codes_N]
        inputs = np.zeros((len(values_N), n_inputs + 1))
        inputs[np.arange(len(values_N)), places_N] = 1.0
        return inputs[:, :n_inputs]


def fit_scales(x_ND: np.ndarray) -> list[tuple[float, float | None, bool] | None]:
    """Centre, scale and missingness of each column; None for one that does not vary.

    Example:
        >>> fit_scales(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]))
        [(2.0, 1.0, False), None]
    """
    x_ND = np.clip(x_ND, -_HUGE, _HUGE)
    absent_D = np.isnan(x_ND).any(axis=0)
    quartiles_3D = np.zeros((3, x_ND.shape[1]))
    lowest_D, highest_D = quartiles_3D[0].copy(), quartiles_3D[0].copy()
    if len(x_ND):
        # Whole columns at once; only those with gaps are taken one by one.
        whole_ND = x_ND[:, ~absent_D]
        quartiles_3D[:, ~absent_D] = np.percentile(whole_ND, (25, 50, 75), axis=0)
        lowest_D[~absent_D] = whole_ND.min(axis=0)
        highest_D[~absent_D] = whole_ND.max(axis=0)
    for gappy in np.flatnonzero(absent_D):
        present = x_ND[~np.isnan(x_ND[:, gappy]), gappy]
        if present.size:
            quartiles_3D[:, gappy] = np.percentile(present, (25, 50, 75))
            lowest_D[gappy], highest_D[gappy] = present.min(), present.max()
    spread_D = quartiles_3D[2] - quartiles_3D[0]
    scale_D = np.where(spread_D > 0, spread_D, (highest_D - lowest_D) / 2)
    some_D = ~np.isnan(x_ND).all(axis=0)
    found: list[tuple[float, float | None, bool] | None] = []
    for place in range(x_ND.shape[1]):
        varies = bool(lowest_D[place] < highest_D[place])
        missing = bool(absent_D[place])
        if varies or (missing and some_D[place]):
            # Halving the smallest numbers can give 0.
            scale = max(float(scale_D[place]), 5e-324) if varies else None
            found.append((float(quartiles_3D[1, place]), scale, missing))
        else:
            found.append(None)
    return found


def squash(x_ND: np.ndarray, center_D: np.ndarray, scale_D: np.ndarray) -> np.ndarray:
    """Centre, scale and smoothly clip to (-3, 3); NaN becomes 0, the median.

    Example:
        >>> x_N1 = np.array([[2.0], [1e308], [np.nan]])
        >>> squash(x_N1, np.array([2.0]), np.array([1.0]))
        array([[0.],
               [3.],
               [0.]])
    """
    with np.errstate(over="ignore"):
        z_ND = (np.clip(x_ND, -_HUGE, _HUGE) - center_D) / scale_D
    # Beyond this the clip is 3 to the last bit, and squares stay finite.
    z_ND = np.clip(np.where(np.isnan(z_ND), 0.0, z_ND), -1e100, 1e100)
    clipped_ND = z_ND / np.sqrt(1.0 + (z_ND / CLIP) ** 2)
    return np.asarray(clipped_ND, dtype=np.float64)


_CIRCLES = {"month": 12, "weekday": 7, "hour": 24}


def _place_on(circle: str, values_N: np.ndarray) -> np.ndarray:
    """Month, weekday (Monday is 0) or hour of each date, from 0."""
    if circle == "month":
        places_N = values_N.astype("datetime64[M]").astype(np.int64) % 12
    elif circle == "weekday":
        # 1970-01-01 was a Thursday.
        places_N = (values_N.astype("datetime64[D]").astype(np.int64) + 3) % 7
    else:
        places_N = values_N.astype("datetime64[h]").astype(np.int64) % 24
    return np.asarray(places_N, dtype=np.int64)


def _waves(n_places: int) -> np.ndarray:
    """Sine and cosine of each place: a table, so that equal dates are bit-equal."""
    angles = [2 * math.pi * place / n_places for place in range(n_places)]
    return np.array([(math.sin(angle), math.cos(angle)) for angle in angles])


def _days(values_N: np.ndarray) -> np.ndarray:
    """Days since 1970, with the time of day as a fraction; NaN where missing."""
    days_N = (values_N - np.datetime64(0, "us")) / np.timedelta64(1, "D")
    return np.asarray(days_N, dtype=np.float64)
