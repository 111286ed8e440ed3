"""From trials to a history: what has ended is read once, the rest when it changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from tunekit.sampler.cube import Cube, Floats
from tunekit.sampler.history import AIM, History, Ints, curve_of, fits, progress

__all__ = ["Reader"]

_STEAD = "continues"
"""The user attribute of a trial that goes on in another's stead: its number."""


@dataclass(frozen=True)
class _Read:
    """One trial as it was read, when it was this version of itself."""

    version: tuple[Any, ...]
    point: Floats
    epoch: int
    curve: list[tuple[float, float]]


@dataclass(frozen=True)
class _Table:
    """Trials as arrays, (T,), and the rows of all of them, (N,)."""

    numbers: Ints
    points: Floats
    epochs: Ints
    lengths: Ints
    t: Floats
    values: Floats

    @classmethod
    def of(cls, found: Sequence[tuple[int, _Read]], n_axes: int) -> _Table:
        """Of trials with a number and a value."""
        rows = [row for _, read in found for row in read.curve]
        t, values = zip(*rows, strict=True) if rows else ((), ())
        return cls(
            np.array([number for number, _ in found], dtype=np.int64),
            np.array([read.point for _, read in found]).reshape(len(found), n_axes),
            np.array([read.epoch for _, read in found], dtype=np.int64),
            np.array([len(read.curve) for _, read in found], dtype=np.int64),
            np.array(t, dtype=float),
            np.array(values, dtype=float),
        )

    def __add__(self, other: _Table) -> _Table:
        """All of both."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Table(*(np.concatenate(pair) for pair in pairs))

    def taken(self, chosen: Ints) -> _Table:
        """Some of the trials, in an order."""
        lengths = self.lengths[chosen]
        begins, before = (np.cumsum(n) - n for n in (self.lengths, lengths))
        rows = np.repeat(begins[chosen] - before, lengths) + np.arange(lengths.sum())
        return _Table(
            self.numbers[chosen],
            self.points[chosen],
            self.epochs[chosen],
            lengths,
            self.t[rows],
            self.values[rows],
        )


@dataclass(frozen=True)
class _Settled:
    """What will not change any more: trials that have ended, whether or not they fit.

    Never changed in place: several threads may read.
    """

    numbers: frozenset[int]
    in_stead: Mapping[int, int]
    """By the number of each that goes on in another's stead: that one's."""
    table: _Table


class Reader:
    """Reads the trials of one study; again only those that have not ended before.

    Args:
        cube: The space.
        maximize: Whether higher values are better; they are turned.
        last: The epoch at which training ends; the latest of any trial when None.
    """

    def __init__(self, cube: Cube, *, maximize: bool, last: int | None = None) -> None:
        self.cube = cube
        self._sign, self._last = -1.0 if maximize else 1.0, last
        self._horizon = last or 0
        self._read: dict[int, _Read] = {}
        self._settled = self._nothing()

    def read(self, trials: Sequence[FrozenTrial], but: int = -1) -> History:
        """The history of some trials.

        Args:
            trials: All of a study, or some, in the order of their numbers.
            but: The number of a trial that is asked for: it has no history.
        """
        settled = self._settled
        new = [trial for trial in trials if trial.number not in settled.numbers]
        if self._look_ahead(new):
            settled, new = self._nothing(), [*trials]
        n_known = len(trials) - len(new)
        reads = [(trial, self._one(trial)) for trial in new]
        known, in_stead = self._known(settled, trials, n_known)
        gone = {but, *in_stead}
        gone |= {t.user_attrs[_STEAD] for t in new if _STEAD in t.user_attrs}
        found = [(t.number, r) for t, r in reads if r and r.curve]
        table = known + _Table.of(found, len(self.cube.axes))
        order = np.argsort(table.numbers, kind="stable")
        table = table.taken(order[~np.isin(table.numbers[order], [*gone])])
        self._settle(settled, reads)
        return self._history(table, self._pending(reads, gone, table.numbers))

    def _nothing(self) -> _Settled:
        return _Settled(frozenset(), {}, _Table.of([], len(self.cube.axes)))

    def _look_ahead(self, new: Sequence[FrozenTrial]) -> bool:
        """Note the horizon; whether it grew, so that progress is another for all."""
        if self._last is not None:
            return False
        before = self._horizon
        latest = (max(trial.intermediate_values, default=0) for trial in new)
        self._horizon = max(before, *latest) if new else before
        if self._horizon != before:
            self._read = {}
        return self._horizon != before

    def _known(
        self, settled: _Settled, trials: Sequence[FrozenTrial], n: int
    ) -> tuple[_Table, list[int]]:
        """Of those that have ended, the n that are asked for."""
        if n == len(settled.numbers):
            return settled.table, [*settled.in_stead.values()]
        asked = {trial.number for trial in trials}
        chosen = np.flatnonzero(np.isin(settled.table.numbers, [*asked]))
        in_stead = [old for by, old in settled.in_stead.items() if by in asked]
        return settled.table.taken(chosen), in_stead

    def _settle(
        self, settled: _Settled, reads: Sequence[tuple[FrozenTrial, _Read | None]]
    ) -> None:
        """Remember those that have ended."""
        ended = [(t, read) for t, read in reads if t.state.is_finished()]
        if not ended:
            self._settled = settled
            return
        found = [(t.number, read) for t, read in ended if read and read.curve]
        in_stead = {
            t.number: t.user_attrs[_STEAD] for t, _ in ended if _STEAD in t.user_attrs
        }
        self._settled = _Settled(
            settled.numbers.union(t.number for t, _ in ended),
            {**settled.in_stead, **in_stead},
            settled.table + _Table.of(found, len(self.cube.axes)),
        )
        for trial, _ in ended:
            self._read.pop(trial.number, None)

    def _one(self, trial: FrozenTrial) -> _Read | None:
        """One trial; None where its hyperparameters are not of this space."""
        steps = len(trial.intermediate_values)
        version = trial.state, trial.user_attrs.get(AIM), steps, len(trial.params)
        known = self._read.get(trial.number)
        if known is not None and known.version == version:
            return known
        if not fits(trial, self.cube):
            return None
        curve = curve_of(trial, self._horizon, self._sign)
        axes = self.cube.axes
        point = self.cube.point({k: v for k, v in trial.params.items() if k in axes})
        epoch = max(trial.intermediate_values, default=0)
        read = self._read[trial.number] = _Read(version, point, epoch, curve)
        return read

    def _pending(
        self,
        reads: Sequence[tuple[FrozenTrial, _Read | None]],
        gone: set[int],
        numbers_T: Ints,
    ) -> list[tuple[Floats, int, float]]:
        """Point, index and aim of each trial that runs on."""
        pending = []
        for trial, read in reads:
            if read is None or trial.number in gone or not trial.params:
                continue
            aim = int(trial.user_attrs.get(AIM, self._horizon))
            if trial.state == TrialState.RUNNING and (
                read.epoch < aim or not read.curve
            ):
                index = int(np.searchsorted(numbers_T, trial.number))
                aimed = progress(aim, self._horizon)
                pending.append((read.point, index if read.curve else -1, aimed))
        return pending

    def _history(
        self, table: _Table, pending: Sequence[tuple[Floats, int, float]]
    ) -> History:
        n_axes = len(self.cube.axes)
        return History(
            self.cube,
            max(1, self._horizon),
            table.numbers,
            table.points,
            table.epochs,
            np.repeat(np.arange(len(table.numbers)), table.lengths),
            table.t,
            table.values,
            np.array([p for p, _, _ in pending]).reshape(len(pending), n_axes),
            np.array([trial for _, trial, _ in pending], dtype=np.int64),
            np.array([t for _, _, t in pending], dtype=float),
        )
