"""Feeding engines: one run after the other, or some runs that are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from tunekit.errors import TunekitError
from tunekit.limit import Alarm
from tunekit.trial import Engine, Feed, Fitted, Heard, Metrics, Run, State, Verdict

__all__ = ["Train", "in_time", "one_by_one", "train_together"]

Train = Callable[[Run, Callable[[int, Metrics], Verdict]], Fitted | State | None]
"""Trains one run and tells its epochs. Gives what it came to or, where a verdict paused
a run that was not over, its state; None where whoever trains keeps that."""


def one_by_one(train: Train, feed: Feed, *, maximize: bool = False) -> None:
    """``train_all`` of an engine that trains one run at a time.

    Args:
        train: Trains one run; see :data:`Train`.
        feed: Where runs come from.
        maximize: Whether higher values are better.
    """
    sign = -1.0 if maximize else 1.0
    while True:
        with feed.turn():
            run = feed.next()
        if run is None:
            return
        _train_one(train, run, feed, sign)


def _train_one(train: Train, run: Run, feed: Feed, sign: float) -> None:
    best, best_epoch = math.inf, 0
    if run.state and run.state.best_epoch:
        best_epoch = run.state.best_epoch
        best = sign * run.state.curve[best_epoch - 1].val_loss

    def on_epoch(epoch: int, metrics: Metrics) -> Verdict:
        nonlocal best, best_epoch
        finite = math.isfinite(metrics.train_loss + metrics.val_loss)
        if finite and sign * metrics.val_loss < best:
            best, best_epoch = sign * metrics.val_loss, epoch
        tired = epoch - best_epoch >= run.patience
        over = not finite or tired or epoch >= run.max_epochs
        with feed.turn():
            return feed.epochs([Heard(run, epoch, metrics, over)])[0]

    try:
        outcome = train(run, on_epoch)
    except TunekitError:
        # Not the run's fault: whoever feeds us is to stop.
        raise
    except Exception as error:
        with feed.turn():
            feed.fail(run, error)
    else:
        with feed.turn():
            if isinstance(outcome, Fitted):
                feed.end(run, outcome)
            else:
                feed.paused(run, outcome)


def in_time(
    run: Run,
    alarm: Alarm,
    curve: Callable[[], Sequence[Metrics]],
    on_epoch: Callable[[int, Metrics], Verdict],
) -> Callable[[int, Metrics], Verdict]:
    """``on_epoch``, with an alarm that rings only while the run itself is trained.

    Args:
        run: Says how long that may take.
        alarm: Breaks it off.
        curve: Gives every epoch so far, the one that is told among them.
        on_epoch: Hears of an epoch; says what becomes of the run.
    """

    def hear(epoch: int, metrics: Metrics) -> Verdict:
        alarm.off()  # what is written down is not broken off
        verdict = on_epoch(epoch, metrics)
        left = run.seconds_left(curve())
        # At its end, or late, it is over: what follows is not its training.
        if verdict is Verdict.GO_ON and (left is None or left > 0):
            alarm.set(left)
        return verdict

    return hear


class _Given:
    """A feed of runs that are known from the start."""

    def __init__(self, runs: Sequence[Run], on_epoch: Callable[[Heard], bool]) -> None:
        self.fits: dict[str, Fitted] = {}
        self._waiting, self._on_epoch = list(runs), on_epoch

    def turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    def next(self) -> Run | None:
        return self._waiting.pop(0) if self._waiting else None

    def epochs(self, heard: Sequence[Heard]) -> list[Verdict]:
        return [
            Verdict.GO_ON if self._on_epoch(each) else Verdict.STOP for each in heard
        ]

    def paused(self, run: Run, state: State | None) -> None:
        raise AssertionError(f"{run.key} was paused, though nobody said so")

    def end(self, run: Run, fitted: Fitted) -> None:
        self.fits[run.key] = fitted

    def fail(self, run: Run, error: Exception) -> None:
        raise error


def train_together(
    engine: Engine, runs: Sequence[Run], on_epoch: Callable[[Heard], bool]
) -> list[Fitted]:
    """Train these runs, all at once where the engine can; in their order.

    Args:
        engine: What trains.
        runs: Runs with a key of their own each.
        on_epoch: Hears of every epoch; answers whether that run goes on.

    Raises:
        Exception: Whatever the training of one of them raised.
    """
    feed = _Given(runs, on_epoch)
    engine.train_all(feed, max(1, len(runs)))
    return [feed.fits[run.key] for run in runs]
