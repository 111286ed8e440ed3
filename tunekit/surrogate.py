"""A model of values over hyperparameters and progress: a Gaussian process.

What a trial has reached is modelled as a sum of four parts, each a Gaussian process
with a kernel of its own (in the spirit of freeze-thaw optimization, Swersky, Snoek &
Adams 2014):

    value = how training goes in general           s_m k_t
          + what the hyperparameters do to it      s_b k_x
          + how that changes along the way         s_a k_x k_t
          + what is this trial's own               (c_0 + c_1 k_t) [same trial]
          + noise

k_x is a Matérn kernel (5/2) with one length scale a feature, k_t a squared exponential
over the logarithm of the epoch. A trial's own part is its seed and all that the
features miss: a trial that has begun well is believed a little more than its neighbours
are. Constants are found by maximum a posteriori; the priors keep a model of few values
calm. Lower is better everywhere; :class:`Warp` brings raw values, of any sign and
scale, to one on which a Gaussian is not absurd.

Shapes: N observations, D features, M queries.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize
from scipy.special import ndtr, ndtri

from tunekit.blas import one_thread

__all__ = ["Observations", "Surrogate", "Warp", "expected_improvement"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Floats32 = NDArray[np.float32]

_ROOT5 = math.sqrt(5.0)
_JITTER = 1e-6
_PRIORS = {
    "length of t": (0.5, 0.7),
    "s_m": (0.2, 0.5),
    "s_b": (0.5, 1.0),
    "s_a": (0.5, 1.0),
    "c_0": (0.005, 1.5),
    "c_1": (0.005, 1.5),
    "noise": (1e-3, 1.5),
}
"""Median, and standard deviation of the logarithm, of every constant but the features'
length scales."""
_LENGTH = (1.2, 0.8)
"""The same of a feature's length scale, where the whole range is 1."""
_SHORTEST = 0.1
"""No feature's length is shorter: of a few trials, noise would look like waves."""


@dataclass(frozen=True)
class Observations:
    """What is known of trials; one row a trial and rung.

    Attributes:
        x: Features, (N, D), in [0, 1].
        t: Progress, (N,): the logarithm of the epoch, 1 at the last.
        trial: Which trial, (N,); equal numbers are one trial.
        z: Warped values, (N,).
    """

    x: Floats
    t: Floats
    trial: Ints
    z: Floats

    def __len__(self) -> int:
        """Rows."""
        return len(self.z)

    def rows(self, chosen: NDArray[np.int64]) -> Observations:
        """Some of the rows."""
        return Observations(
            self.x[chosen], self.t[chosen], self.trial[chosen], self.z[chosen]
        )


class Warp:
    """A monotone map of raw values, lower still better.

    The better half is stretched by a logarithm towards the best, as the last gains are
    the small ones; the worse half is replaced by normal quantiles of its ranks, so that
    a diverged run is bad and no worse (the half-rank warping of Vizier's Gaussian
    process, Song et al. 2024). Where values lie, and of which sign they are, makes no
    difference.

    Args:
        values: Raw values, (N,); infinite or NaN is worse than any.
        stretch: How near to the best, in units of median minus best, differences cease
            to be magnified.

    Example:
        >>> warp = Warp(np.array([3.0, 1.0, 2.0, np.inf]))
        >>> bool((np.diff(warp.of(np.array([1.0, 2.0, 3.0, np.inf]))) > 0).all())
        True
    """

    def __init__(self, values: Floats, stretch: float = 0.1) -> None:
        finite = np.sort(values[np.isfinite(values)])
        self._sorted, self._n, self._stretch = finite, len(values), stretch
        self._best = float(finite[0]) if len(finite) else 0.0
        # The lower middle: half of the values are at most this, even where many fail.
        middle = (len(values) - 1) // 2
        median = float(finite[min(middle, len(finite) - 1)]) if len(finite) else 0.0
        self._median = median
        # Equal up to rounding is equal; all else can be told apart, however small.
        self._gap = max(median - self._best, 1e-12 * abs(self._best)) or 1.0
        good = self._stretched(finite[finite <= median])
        self._scale = float(np.sqrt(np.mean(good**2))) if len(good) > 1 else 1.0
        self._scale = self._scale or 1.0

    def of(self, values: Floats) -> Floats:
        """Warped values."""
        good = np.isfinite(values) & (values <= self._median)
        filled = np.where(good, values, self._median)
        safe = np.where(np.isfinite(values), values, np.inf)
        below = np.searchsorted(self._sorted, safe, "left")
        up_to = np.searchsorted(self._sorted, safe, "right")
        # Whatever never had a finite value shares the last places.
        up_to = np.where(np.isfinite(values), up_to, self._n)
        share = (below + up_to) / (2.0 * max(1, self._n))
        ranked = ndtri(np.clip(share, 0.5, 1.0 - 0.25 / max(1, self._n)))
        return np.where(good, self._stretched(filled) / self._scale, ranked)

    def _stretched(self, values: Floats) -> Floats:
        share = np.maximum(values - self._best, 0.0) / self._gap
        return np.log((share + self._stretch) / (1.0 + self._stretch))


class Surrogate:
    """The model; :meth:`fit` finds its constants, :meth:`given` what it believes.

    Args:
        n_features: Features, D.

    Example:
        >>> x = np.linspace(0, 1, 6)[:, None]
        >>> seen = Observations(x, np.ones(6), np.arange(6), (x[:, 0] - 0.3) ** 2)
        >>> model = Surrogate(1)
        >>> model.fit(seen)
        >>> model.given(seen)
        >>> mean, deviation = model.predict(np.array([[0.3]]), np.ones(1))
        >>> bool(abs(mean[0, 0]) < 0.05), bool(deviation[0, 0] < 0.3)
        (True, True)
    """

    def __init__(self, n_features: int) -> None:
        self._d = n_features
        medians = [_LENGTH[0]] * n_features + [m for m, _ in _PRIORS.values()]
        deviations = [_LENGTH[1]] * n_features + [s for _, s in _PRIORS.values()]
        self._prior = np.log(medians), np.array(deviations)
        self.constants = self._prior[0].copy()

    @property
    def lengths(self) -> Floats:
        """Length scale of each feature, (D,): the longer, the less it matters."""
        return np.exp(self.constants[: self._d])

    @property
    def noise(self) -> float:
        """Standard deviation between two trainings of one configuration at their end.

        What is a trial's own, and noise; in warped units.
        """
        c_0, c_1, noise = np.exp(self.constants[-3:])
        return float(np.sqrt(c_0 + c_1 + noise))

    @one_thread
    def fit(self, seen: Observations, *, at_most: int = 256, steps: int = 25) -> None:
        """Find the constants (type II maximum a posteriori).

        Args:
            seen: What is known.
            at_most: Rows that are looked at: the best half, and the latest.
            steps: Iterations of L-BFGS.
        """
        if len(seen) > at_most:
            best = np.argsort(seen.z, kind="stable")[: at_most // 2]
            rest = np.setdiff1d(np.arange(len(seen)), best)[-(at_most - len(best)) :]
            seen = seen.rows(np.sort(np.concatenate([best, rest])))
        median, deviation = self._prior
        lowest = median - 4 * deviation
        lowest[: self._d] = np.maximum(lowest[: self._d], np.log(_SHORTEST))
        found = optimize.minimize(
            self._loss,
            median,
            args=(seen,),
            jac=True,
            method="L-BFGS-B",
            bounds=optimize.Bounds(lowest, median + 4 * deviation),
            options={"maxiter": steps},
        )
        self.constants = found.x

    @one_thread
    def given(self, seen: Observations) -> None:
        """Take what is known as given, under the constants there are."""
        self._seen = seen
        covariance = self._covariance(seen.x, seen.t, seen.trial)
        covariance[np.diag_indices(len(seen))] += self._noise
        self._factor = linalg.cholesky(covariance, lower=True, check_finite=False)
        inverse = linalg.solve_triangular(
            self._factor, np.eye(len(seen)), lower=True, check_finite=False
        )
        self._whitening = np.ascontiguousarray(inverse.T, dtype=np.float32)
        self._whitened = (inverse @ seen.z).astype(np.float32)
        self._weights = inverse.T @ (inverse @ seen.z)

    def knows(self, trial_M: Ints) -> NDArray[np.bool_]:
        """Whether anything of each of these trials is given."""
        return np.isin(trial_M, self._seen.trial)

    @one_thread
    def predict(
        self, x_MD: Floats, t_H: Floats, trial_M: Ints | None = None
    ) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the values at some progresses.

        What is a new trial's own cannot be chosen, only met. At the end of training it
        is as much a chance as what a paused trial may yet come to; before, it is left
        out of a new trial's deviation, so that a lucky first epoch does not look like
        something to search for.

        Args:
            x_MD: Features, (M, D).
            t_H: Progresses, (H,).
            trial_M: Which trial each is, -1 for a new one; all are new when None.

        Returns:
            Two arrays (H, M), in warped units, without noise.
        """
        trial_M = np.full(len(x_MD), -1) if trial_M is None else trial_M
        s_m, s_b, s_a, c_0, c_1 = np.exp(self.constants[self._d + 1 : -1])
        # What takes the time: in half the precision, which a deviation can bear.
        v = np.concatenate([*self._between(x_MD, t_H, trial_M)]) @ self._whitening
        own_HM = (trial_M >= 0) | (t_H[:, None] >= 1.0)
        prior = s_m + s_b + s_a + np.where(own_HM, c_0 + c_1, 0.0)
        shape = len(t_H), len(x_MD)
        variance = prior - np.einsum("mn,mn->m", v, v).reshape(shape)
        mean = (v @ self._whitened).reshape(shape)
        return mean.astype(float), np.sqrt(np.maximum(variance, 1e-9))

    def without_luck(self) -> Surrogate:
        """The same, but of a new trial only what its features do to it is predicted."""
        calm = copy.copy(self)
        calm.constants = self.constants.copy()
        calm.constants[-3:-1] = -np.inf  # logarithms of c_0 and c_1
        return calm

    @one_thread
    def mean(self, x_MD: Floats, t: float, trial_M: Ints) -> Floats:
        """As :meth:`predict` has it, at one progress, (M,); where M is large."""
        (k,) = self._between(x_MD, np.array([t]), trial_M)
        return np.asarray(k @ self._weights)

    def _between(self, x_MD: Floats, t_H: Floats, trial_M: Ints) -> Iterator[Floats32]:
        """Covariances with what is known, (M, N), for each progress."""
        seen, known = self._seen, np.flatnonzero(trial_M >= 0)
        squares = _squares(x_MD / self.lengths, seen.x / self.lengths)
        k_x, _ = _matern(squares.astype(np.float32))
        same = trial_M[known, None] == seen.trial
        s_m, s_b, s_a, c_0, c_1 = np.exp(self.constants[self._d + 1 : -1])
        for t in t_H:
            k_t = np.exp(-0.5 * ((t - seen.t) / self._length_t) ** 2)
            k = k_x * (s_b + s_a * k_t).astype(np.float32)
            k += (s_m * k_t).astype(np.float32)
            k[known] += same * (c_0 + c_1 * k_t).astype(np.float32)
            yield k

    @property
    def _noise(self) -> float:
        return float(np.exp(self.constants[-1])) + _JITTER

    def _covariance(self, x: Floats, t: Floats, trial: Ints) -> Floats:
        """Of these with what is known, (M, N)."""
        seen = self._seen
        k_x, _ = _matern(_squares(x / self.lengths, seen.x / self.lengths))
        k_t = np.exp(-0.5 * ((t[:, None] - seen.t) / self._length_t) ** 2)
        s_m, s_b, s_a, c_0, c_1 = np.exp(self.constants[self._d + 1 : -1])
        same = trial[:, None] == seen.trial
        k = s_m * k_t + k_x * (s_b + s_a * k_t) + same * (c_0 + c_1 * k_t)
        return np.asarray(k)

    @property
    def _length_t(self) -> float:
        return float(np.exp(self.constants[self._d]))

    def _loss(self, constants: Floats, seen: Observations) -> tuple[float, Floats]:
        """Negative log posterior of the constants' logarithms, and its gradient."""
        d, n = self._d, len(seen)
        lengths, length_t = np.exp(constants[:d]), np.exp(constants[d])
        s_m, s_b, s_a, c_0, c_1, noise = np.exp(constants[d + 1 :])
        scaled = seen.x / lengths
        k_x, slope = _matern(_squares(scaled, scaled))
        gap = (seen.t[:, None] - seen.t) / length_t
        k_t = np.exp(-0.5 * gap**2)
        same = (seen.trial[:, None] == seen.trial).astype(float)
        k = s_m * k_t + k_x * (s_b + s_a * k_t) + same * (c_0 + c_1 * k_t)
        k[np.diag_indices(n)] += noise + _JITTER
        try:
            factor = linalg.cholesky(k, lower=True, check_finite=False)
        except linalg.LinAlgError:
            return 1e10, np.zeros_like(constants)
        inverse = linalg.cho_solve((factor, True), np.eye(n), check_finite=False)
        weights = inverse @ seen.z
        # d loss / d k, twice (Rasmussen & Williams 2006, equation 5.9).
        w = inverse - np.outer(weights, weights)
        loss = 0.5 * seen.z @ weights + np.log(np.diag(factor)).sum()
        gradient = np.empty_like(constants)
        m = w * (s_b + s_a * k_t) * slope
        gradient[:d] = m.sum(1) @ scaled**2 - np.einsum("nd,nd->d", scaled, m @ scaled)
        gradient[d] = 0.5 * (w * (s_m + s_a * k_x + c_1 * same) * k_t * gap**2).sum()
        parts = (k_t, k_x, k_x * k_t, same, same * k_t)
        for i, (factor_, part) in enumerate(
            zip((s_m, s_b, s_a, c_0, c_1), parts, strict=True)
        ):
            gradient[d + 1 + i] = 0.5 * factor_ * (w * part).sum()
        gradient[-1] = 0.5 * noise * np.trace(w)
        off = (constants - self._prior[0]) / self._prior[1]
        return float(loss + 0.5 * off @ off), gradient + off / self._prior[1]


def expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """How far below ``best`` a normal value is, on average, counting 0 where it is not.

    Jones, Schonlau & Welch (1998), equation 15.

    Example:
        >>> expected_improvement(np.zeros(1), np.ones(1), 0.0).round(4)
        array([0.3989])
    """
    u = (best - mean) / deviation
    density = np.exp(-0.5 * u**2) / np.sqrt(2.0 * np.pi)
    return np.asarray(deviation * (u * ndtr(u) + density))


def _matern(squares: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Matérn 5/2 of squared distances, and minus twice its slope in them."""
    r = np.sqrt(squares)
    decay = np.exp(-_ROOT5 * r)
    k = (1.0 + _ROOT5 * r + 5.0 / 3.0 * squares) * decay
    return k, 5.0 / 3.0 * (1.0 + _ROOT5 * r) * decay


def _squares(a: Floats, b: Floats) -> Floats:
    """Squared distances, (len(a), len(b))."""
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2.0 * a @ b.T
    return np.asarray(np.maximum(squares, 0.0))
