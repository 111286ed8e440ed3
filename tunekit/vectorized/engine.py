"""The vectorized engine: rounds of one epoch of every open run, over all processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunekit.errors import TunekitError
from tunekit.feed import train_together
from tunekit.machine import cores, device_of
from tunekit.trial import (
    Feed,
    Fitted,
    Heard,
    OnEpoch,
    Recipe,
    Run,
)
from tunekit.vectorized.member import expected_seconds
from tunekit.vectorized.remote import LostError, RemoteShard
from tunekit.vectorized.shard import Outcome, Shard

__all__ = ["VectorizedEngine"]

_HELP_SECONDS = 1.0
"""Expected training from which a second process pays: it takes as long to start."""
_START_SECONDS = 3.0
"""A round that takes longer waits for a process to start, rather than go without."""
_UNEVEN = 0.1
"""How much less than the busiest process another may have to do."""


@dataclass
class _Open:
    """An open run: where it is trained, and what was told of it."""

    run: Run
    shard: Shard | RemoteShard
    work: float
    epoch: int = 0
    told: int = 0


class VectorizedEngine:
    """Trains many runs at once as one network.

    Args:
        x_train: Training rows, (N, F) float32, or float64 to train in that.
        y_train: Their classes, (N,) int64.
        x_valid: Validation rows.
        y_valid: Their classes.
        n_classes: Classes in all.
        accelerator: ``auto``, ``cpu`` or ``gpu``.
        threads: The most that may be busy on a CPU, in all processes together; as many
            as there are processors when None.
        processes: Processes that train, one thread each; as many as threads when None.

    Raises:
        ConfigError: If the accelerator is not to be had.

    Example:
        >>> import numpy as np
        >>> from tunekit.trial import Recipe
        >>> x, y = np.eye(4, dtype=np.float32).repeat(8, 0), np.arange(4).repeat(8)
        >>> engine = VectorizedEngine(x, y, x, y, 4, processes=1)
        >>> run = Run(recipe=Recipe(), max_epochs=5, patience=5, seed=0, key="trial-0")
        >>> fitted = engine.train(run, lambda epoch, metrics: True)
        >>> len(fitted.curve)
        5
    """

    name = "vectorized"

    def __init__(
        self,
        x_train: NDArray[np.floating[Any]],
        y_train: NDArray[np.int64],
        x_valid: NDArray[np.floating[Any]],
        y_valid: NDArray[np.int64],
        n_classes: int,
        accelerator: str = "auto",
        threads: int | None = None,
        processes: int | None = None,
    ) -> None:
        device = device_of(accelerator)
        if processes is None:
            processes = (threads or cores()) if device == "cpu" else 1
        self._processes = processes
        self._data = (x_train, y_train, x_valid, y_valid, n_classes, device)
        self._n_rows = len(y_train)
        self._shape = (x_train.shape[1], n_classes)
        self._here = Shard(*self._data)
        self._helpers: list[RemoteShard] = []
        self.trouble = ""

    def train(self, run: Run, on_epoch: OnEpoch) -> Fitted:
        """Train one run to its end; see :class:`tunekit.trial.Engine`."""

        def hear(heard: Heard) -> bool:
            return on_epoch(heard.epoch, heard.metrics)

        return train_together(self, [run], hear)[0]

    def train_all(self, feed: Feed, slots: int) -> None:
        """Train the feed's runs, ``slots`` at a time.

        Every open run completes one epoch; then the feed hears of all of them in the
        order in which they were opened, and free slots are filled at once. Which
        process trains a run is not to be seen in anything that is told.

        Args:
            feed: Where runs come from; see :class:`tunekit.trial.Feed`.
            slots: Open runs at once.
        """
        opened: list[_Open] = []
        results: list[tuple[_Open, Outcome]] = []
        try:
            while True:
                with feed.turn():
                    self._tell(feed, opened, results)
                    while len(opened) < slots and (run := feed.next()) is not None:
                        self._open(run, opened, feed, slots)
                if not opened:
                    return
                results = self._round(opened)
        finally:
            if opened:  # interrupted: what was open is not ours any more
                self.close()
                self._here = Shard(*self._data)

    def close(self) -> None:
        """End the other processes."""
        while self._helpers:
            self._helpers.pop().close()

    def _open(self, run: Run, opened: list[_Open], feed: Feed, slots: int) -> None:
        """Open a run where there is least to do."""
        try:
            work = self._seconds(run.recipe)
            if opened:
                expected = sum(o.work * o.run.max_epochs for o in opened)
                self._get_help(expected + work * run.max_epochs, slots)
            shard = self._place(run, opened)
            try:
                shard.open(run)
            except LostError:
                self._lose(shard, opened)
                shard = self._here
                shard.open(run)
        except TunekitError:
            raise
        except Exception as error:
            feed.fail(run, error)
        else:
            opened.append(_Open(run, shard, work))

    def expect(self, recipe: Recipe, epochs: int, slots: int) -> None:
        """Say what is to come, so that other processes can start before it does.

        Args:
            recipe: One like those that will be trained.
            epochs: Epochs in all.
            slots: Open runs at once: more processes would have nothing to do.
        """
        self._get_help(self._seconds(recipe) * epochs, slots)

    def _get_help(self, seconds: float, slots: int) -> None:
        """Start the other processes, once there is enough to do for them."""
        missing = min(self._processes, slots) - 1 - len(self._helpers)
        if missing < 1 or self.trouble or seconds < _HELP_SECONDS:
            return
        try:
            for _ in range(missing):
                self._helpers.append(RemoteShard(self._data))
        except OSError as error:
            self.trouble = f"no further training process could be started: {error}"

    def _place(self, run: Run, opened: Sequence[_Open]) -> Shard | RemoteShard:
        """The process that has least to do; rather one with runs of its batch size."""

        def busy(shard: Shard | RemoteShard) -> float:
            theirs = [o for o in opened if o.shard is shard]
            size = run.recipe.batch_size
            alike = any(o.run.recipe.batch_size == size for o in theirs)
            return sum(o.work for o in theirs) * (0.9 if alike else 1.0)

        return min(self._ready(opened), key=busy)

    def _ready(self, opened: Sequence[_Open]) -> list[Shard | RemoteShard]:
        """The processes that can train, or are worth waiting for."""
        long = sum(o.work for o in opened) > _START_SECONDS
        return [self._here, *[h for h in self._helpers if long or h.is_ready]]

    def _round(self, opened: list[_Open]) -> list[tuple[_Open, Outcome]]:
        """One epoch of every open run, or of those alone that are behind."""
        self._balance(opened)
        for o in opened:
            if o.epoch < o.told:  # its process was lost
                outcome = self._catch_up(o, o.told)
                if isinstance(outcome, Exception):
                    return [(o, outcome)]
        behind = [o for o in opened if o.epoch < o.run.reached]
        chosen = behind or opened
        aims = [o.epoch + 1 for o in chosen]
        found: dict[str, Outcome] = {}
        busy = []
        for helper in [h for h in self._helpers if any(o.shard is h for o in chosen)]:
            try:
                helper.start([o.run.key for o in chosen if o.shard is helper])
                busy.append(helper)
            except LostError:
                self._lose(helper, opened)
        ours = [
            o.run.key
            for o, aim in zip(chosen, aims, strict=True)
            if o.shard is self._here and o.epoch == aim - 1
        ]
        found.update(self._here.advance(ours))
        for helper in busy:
            try:
                found.update(helper.wait())
            except LostError:
                self._lose(helper, opened)
        results = []
        for o, aim in zip(chosen, aims, strict=True):
            if o.run.key in found:
                o.epoch = aim
                outcome = found[o.run.key]
            else:
                outcome = self._catch_up(o, aim)
            if not isinstance(outcome, Exception):
                # What it took is known better than it was expected.
                o.work += 0.5 * (outcome[0].seconds - o.work)
            results.append((o, outcome))
        return results

    def _catch_up(self, o: _Open, epoch: int) -> Outcome:
        """Train a run alone, here, to an epoch; what came of that epoch."""
        while True:
            outcome = self._here.advance([o.run.key])[o.run.key]
            if isinstance(outcome, Exception):
                return outcome
            o.epoch += 1
            if o.epoch >= epoch:
                return outcome

    def _tell(
        self, feed: Feed, opened: list[_Open], results: list[tuple[_Open, Outcome]]
    ) -> None:
        """Tell a round's epochs, and close the runs that end with it."""
        heard: list[tuple[_Open, Heard]] = []
        failed: list[tuple[_Open, Exception]] = []
        for o, outcome in results:
            if isinstance(outcome, TunekitError):
                raise outcome
            if isinstance(outcome, Exception):
                failed.append((o, outcome))
            elif o.epoch > o.told:
                o.told = o.epoch
                heard.append((o, Heard(o.run, o.epoch, *outcome)))
        verdicts = feed.epochs([each for _, each in heard]) if heard else []
        for (o, each), go_on in zip(heard, verdicts, strict=True):
            if each.over or not go_on:
                try:
                    fitted = self._fitted(o, opened)
                except Exception as why:
                    failed.append((o, why))
                    continue
                self._drop(o, opened)
                feed.end(o.run, fitted)
        for o, error in failed:
            self._drop(o, opened)
            feed.fail(o.run, error)

    def _fitted(self, o: _Open, opened: list[_Open]) -> Fitted:
        """What a run has come to, wherever it is."""
        try:
            if o.epoch == o.told:
                return o.shard.fitted(o.run.key)
        except LostError:
            self._lose(o.shard, opened)
        # Its process is gone, now or since another run was asked for.
        outcome = self._catch_up(o, o.told)
        if isinstance(outcome, Exception):
            raise outcome
        return self._here.fitted(o.run.key)

    def _drop(self, o: _Open, opened: list[_Open]) -> None:
        """Forget a run."""
        opened.remove(o)
        try:
            o.shard.drop(o.run.key)
        except LostError:
            self._lose(o.shard, opened)

    def _balance(self, opened: list[_Open]) -> None:
        """Move runs from the busiest process to the idlest, where that pays."""
        shards = self._ready(opened)
        while len(shards) > 1 and len(opened) > 1:
            loads = [sum(o.work for o in opened if o.shard is s) for s in shards]
            most = shards[loads.index(max(loads))]
            least = shards[loads.index(min(loads))]
            gap = max(loads) - min(loads)
            fitting = [o for o in opened if o.shard is most and o.work < 0.9 * gap]
            if not fitting or gap < _UNEVEN * max(loads):
                return
            moved = min(fitting, key=lambda o: abs(o.work - gap / 2))
            try:
                least.open(moved.run, most.save(moved.run.key))
                most.drop(moved.run.key)
            except LostError:
                for shard in (most, least):
                    if isinstance(shard, RemoteShard):
                        self._lose(shard, opened)
                return
            except Exception:
                # No memory for it there, or on the way: it stays where it is.
                return
            moved.shard = least

    def _lose(self, helper: Shard | RemoteShard, opened: list[_Open]) -> None:
        """Go on without a process: its runs are trained again to where they were."""
        assert isinstance(helper, RemoteShard)
        said = helper.close()
        self.trouble = f"a training process ended early: {said or 'no message'}"
        self._helpers.remove(helper)
        for o in opened:
            if o.shard is helper:
                o.shard, o.epoch = self._here, 0
                self._here.open(o.run)

    def _seconds(self, recipe: Recipe) -> float:
        """What an epoch of a recipe should take on one core."""
        return expected_seconds(recipe, *self._shape, self._n_rows)
