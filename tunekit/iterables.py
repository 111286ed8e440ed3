"""The engine for anybody's own training loop: an iterable of floats, one an epoch.

A generator is a trial that can be paused already: it waits where it is until its next
value is asked for. What a process held is gone with it; a run is then begun again and
brought to where it was, by the same random draws.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tunekit.errors import ConfigError, TunekitError, one_line
from tunekit.limit import Alarm
from tunekit.streams import LoopStreams, seed_streams, streams_kept
from tunekit.trial import Feed, Fitted, Heard, Metrics, OnEpoch, Recipe, Run, Verdict

__all__ = ["IterableEngine"]

Make = Callable[[Any], Iterable[float]]


class _Open:
    """A run and its iterable, as far as it was asked for; made when it first is."""

    def __init__(self, run: Run, make: Make, maximize: bool) -> None:
        self.run, self._make = run, make
        self.values: Iterator[Any] | None = None
        self._streams = LoopStreams(run)
        self.curve: list[Metrics] = []
        self.best_epoch = 0
        self._best, self._sign = math.inf, -1.0 if maximize else 1.0

    def advance(self) -> bool:
        """Train one more epoch; False where the iterable had no more.

        Raises:
            ConfigError: What was made is no iterable.
            TookLongerError: It trains for longer than the run may; see
                :mod:`tunekit.limit` for what cannot be broken off.
            TypeError: A value that is no number, or no value at all.
            Exception: Whatever the iterable raises.
        """
        began = time.perf_counter()
        alarm, left = Alarm(self.run.max_seconds), self.run.seconds_left(self.curve)
        try:
            given = alarm.during(left, self._next)
        except StopIteration:
            if not self.curve:
                raise TypeError(
                    "make(params) must return at least one value, got an iterable "
                    "without any; yield one an epoch"
                ) from None
            return False
        value = _number(given, len(self.curve) + 1)
        seconds = time.perf_counter() - began
        # A loss that is finite and scores that are not known judge nothing.
        self.curve.append(Metrics(0.0, value, math.nan, math.nan, 0.0, seconds))
        if math.isfinite(value) and self._sign * value < self._best:
            self._best, self.best_epoch = self._sign * value, len(self.curve)
        return True

    def _next(self) -> Any:
        made: Iterable[float] = ()
        if self.values is None:
            with streams_kept():
                seed_streams(self.run, "module")
                made = self._make(self.run.params)
            _check(made)
        with self._streams.entered():
            if self.values is None:
                # An object may well draw when it is asked for its iterator.
                self.values = iter(made)
            return next(self.values)

    def close(self) -> None:
        """Let the iterable clean up, where it can."""
        if (close := getattr(self.values, "close", None)) is not None:
            with self._streams.entered():
                close()

    @property
    def epoch(self) -> int:
        return len(self.curve)

    @property
    def over(self) -> bool:
        """Whether the run ends here: horizon, patience, or a value not finite."""
        tired = self.epoch - self.best_epoch >= self.run.patience
        return tired or self.epoch >= self.run.max_epochs or self._diverged

    @property
    def _diverged(self) -> bool:
        return not math.isfinite(self.curve[-1].val_loss)

    def fitted(self) -> Fitted:
        return Fitted(
            curve=self.curve,
            best_epoch=self.best_epoch,
            weights={},
            diverged=self._diverged,
        )


class IterableEngine:
    """Trains runs by asking iterables for their values, in turn.

    Args:
        make: Called with a run's ``params``; returns any iterable of floats.
        maximize: Whether higher values are better.

    Attributes:
        trouble: What an iterable raised when it was closed; or "".

    Example:
        >>> def make(params):
        ...     for epoch in range(3):
        ...         yield params["lr"] / (epoch + 1)
        >>> run = Run(params={"lr": 6.0}, max_epochs=3, patience=3, seed=0, key="a")
        >>> fitted = IterableEngine(make).train(run, lambda epoch, metrics: True)
        >>> [metrics.val_loss for metrics in fitted.curve], fitted.best_epoch
        ([6.0, 3.0, 2.0], 3)
    """

    name = "iterable"

    def __init__(self, make: Make, *, maximize: bool = False) -> None:
        self.trouble = ""
        self._make, self._maximize = make, maximize
        self._opened: list[_Open] = []
        self._paused: dict[str, _Open] = {}

    def train(self, run: Run, on_epoch: OnEpoch) -> Fitted:
        """Train until the horizon, the patience, a non-finite value or a "no"."""
        o = self._begun(run)
        try:
            while o.advance():
                if not on_epoch(o.epoch, o.curve[-1]) or o.over:
                    break
            return o.fitted()
        finally:
            self._close(o)

    def train_all(self, feed: Feed, slots: int) -> None:
        """Train the feed's runs: every open one gives one value a round, in order.

        A run that is behind what was recorded of it is brought there first.
        """
        results: list[tuple[_Open, bool | Exception]] = []
        while True:
            with feed.turn():
                self._tell(feed, results)
                while len(self._opened) < slots:
                    run = feed.next()
                    if run is None:
                        break
                    self._opened.append(self._begun(run))
            if not self._opened:
                return
            behind = [o for o in self._opened if o.epoch < o.run.reached]
            results = [(o, _advanced(o)) for o in behind or self._opened]

    def forget(self, key: str) -> None:
        """Close the iterable of a paused run that will not go on."""
        if (o := self._paused.pop(key, None)) is not None:
            self._close(o)

    def expect(self, recipe: Recipe, epochs: int, slots: int) -> None:
        """Nothing to make ready."""

    def close(self) -> None:
        """Close every iterable that is still open, paused ones among them."""
        for o in [*self._opened, *self._paused.values()]:
            self._close(o)
        self._opened, self._paused = [], {}

    def _begun(self, run: Run) -> _Open:
        """A run that was paused here, to go on with, else a new one."""
        o = self._paused.pop(run.key, None)
        if o is None:
            return _Open(run, self._make, self._maximize)
        o.run = run
        return o

    def _tell(self, feed: Feed, results: list[tuple[_Open, bool | Exception]]) -> None:
        """Tell a round's epochs, then what became of their runs."""
        for _, result in results:
            if isinstance(result, TunekitError):
                raise result
        heard = [o for o, result in results if result is True]
        told = [Heard(o.run, o.epoch, o.curve[-1], o.over) for o in heard]
        verdicts = dict(zip(heard, feed.epochs(told), strict=True)) if told else {}
        for o, result in results:
            verdict = verdicts.get(o)
            if verdict is Verdict.GO_ON and not o.over:
                continue
            self._opened.remove(o)
            if verdict is Verdict.PAUSE and not o.over:
                self._paused[o.run.key] = o
                feed.paused(o.run, None)
                continue
            self._close(o)
            if isinstance(result, Exception):
                feed.fail(o.run, result)
            else:
                feed.end(o.run, o.fitted())

    def _close(self, o: _Open) -> None:
        """Close an iterable; what it raises then is told, and harms nobody."""
        try:
            o.close()
        except Exception as error:
            self.trouble = (
                f"closing {o.run.key} raised {type(error).__name__}: "
                f"{one_line(str(error))}"
            )


def _advanced(o: _Open) -> bool | Exception:
    """Whether there was one more epoch, or what the run failed with."""
    try:
        return o.advance()
    except Exception as error:
        return error


def _number(given: Any, epoch: int) -> float:
    """A value as a float; text that reads as a number is none."""
    if type(given) is float:
        return given
    if hasattr(given, "__float__") and not isinstance(given, bool):
        try:
            return float(given)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            pass  # an array or a tensor of several values, or too large a number
    raise TypeError(
        f"make(params) must give one number an epoch, got {_brief(given)} at epoch "
        f"{epoch}; yield a float"
    )


def _check(made: Any) -> None:
    """Refuse what is no iterable of floats."""
    first = made[0] if isinstance(made, tuple) and made else made
    module = hasattr(first, "training_step")
    if module or isinstance(made, str | bytes | dict) or not hasattr(made, "__iter__"):
        what = "a LightningModule" if module else _brief(made)
        raise ConfigError(
            f"make(params) must return an iterable of floats, one an epoch, got {what};"
            " write it as a generator that yields the value after each epoch"
        )


def _brief(value: Any) -> str:
    shown = one_line(repr(value))
    return shown if len(shown) <= 60 else f"{type(value).__name__} {shown[:57]}..."
