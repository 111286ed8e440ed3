"""Feeding engines: one run after the other, or some runs that are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from tunekit.errors import TunekitError
from tunekit.trial import Engine, Feed, Fitted, Heard, Metrics, Run, State, Verdict

__all__ = ["one_by_one", "train_together"]


def one_by_one(engine: Engine, feed: Feed) -> None:
    """``train_all`` of an engine that trains one run at a time."""
    while True:
        with feed.turn():
            run = feed.next()
        if run is None:
            return
        _train_one(engine, run, feed)


def _train_one(engine: Engine, run: Run, feed: Feed) -> None:
    best, best_epoch = math.inf, 0

    def on_epoch(epoch: int, metrics: Metrics) -> bool:
        nonlocal best, best_epoch
        finite = math.isfinite(metrics.train_loss + metrics.val_loss)
        if finite and metrics.val_loss < best:
            best, best_epoch = metrics.val_loss, epoch
        tired = epoch - best_epoch >= run.patience
        over = not finite or tired or epoch >= run.max_epochs
        with feed.turn():
            told = feed.epochs([Heard(run, epoch, metrics, over)])
            return told[0] is Verdict.GO_ON

    try:
        fitted = engine.train(run, on_epoch)
    except TunekitError:
        # Not the run's fault: whoever feeds us is to stop.
        raise
    except Exception as error:
        with feed.turn():
            feed.fail(run, error)
    else:
        with feed.turn():
            feed.end(run, fitted)


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
        go_on = [self._on_epoch(each) for each in heard]
        return [Verdict.GO_ON if each else Verdict.STOP for each in go_on]

    def paused(self, run: Run, state: State | None) -> None:
        raise AssertionError("no verdict here is to pause")

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
