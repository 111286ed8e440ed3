"""The engine for whatever ``make`` gives: decided by the first that it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunekit.errors import ConfigError, ResumeError, TunekitError
from tunekit.feed import train_together
from tunekit.iterables import IterableEngine
from tunekit.limit import Alarm
from tunekit.store import other_name
from tunekit.streams import seed_streams, streams_kept
from tunekit.trial import (
    Engine,
    Feed,
    Fitted,
    Heard,
    OnEpoch,
    Recipe,
    Run,
    State,
    Verdict,
)
from tunekit.tuning.candidates import Chosen

__all__ = ["OwnEngine"]


class OwnEngine:
    """Trains iterables of floats, or LightningModules, whichever ``make`` returns.

    Args:
        make: Called with the parameters that a run's ``params`` hold.
        data: Of modules that bring none.
        monitor: The name under which a module logs its value.
        maximize: Whether higher values are better.
        trainer: Arguments of the modules' Trainers; None where there may be none.
        folder: Where what those write of themselves goes, by trial.
    """

    def __init__(
        self,
        make: Callable[[Any], Any],
        *,
        data: Any,
        monitor: str,
        maximize: bool,
        trainer: Any,
        folder: Path | None = None,
    ) -> None:
        self._make, self._maximize = make, maximize
        self._of_modules: dict[str, Any] = {
            "data": data,
            "monitor": monitor,
            "trainer": trainer,
            "folder": folder,
        }
        self._engine: Engine | None = None
        self._before: tuple[str, Path] | None = None
        # What the first call gave, until it is asked for by the engine it decided.
        self._given: list[tuple[Any, Any]] = []
        if trainer is not None:
            self._decide_for_modules()

    def expect_engine(self, name: str, folder: Path) -> None:
        """Hears what trained the trials of this study so far.

        Args:
            name: The engine's.
            folder: The study.
        """
        self._before = name, folder

    @property
    def name(self) -> str:
        """The engine's, once it is known."""
        return self._engine.name if self._engine else IterableEngine.name

    @property
    def trouble(self) -> str:
        """What went wrong though nothing was lost."""
        return self._engine.trouble if self._engine else ""

    def train(self, run: Run, on_epoch: OnEpoch) -> Fitted:
        """Train one run to its end; see :class:`tunekit.trial.Engine`."""

        def hear(heard: Heard) -> bool:
            return on_epoch(heard.epoch, heard.metrics)

        return train_together(self, [run], hear)[0]

    def train_all(self, feed: Feed, slots: int) -> None:
        """Train the feed's runs, once the first has shown what they are.

        Raises:
            ConfigError: It is neither; or several are to be open at once that cannot.
            ResumeError: The trials so far were of the other kind.
        """
        while self._engine is None:
            with feed.turn():
                run = feed.next()
            if run is None:
                return
            began = time.perf_counter()
            try:
                self._decide(run)
            except TunekitError:
                raise
            except Exception as error:
                with feed.turn():
                    feed.fail(run, error)
            else:
                # What making it took is not to be had again.
                spent = run.spent + time.perf_counter() - began
                feed = _Begun(feed, replace(run, spent=spent))
        if self._before is not None and self._engine.name != self._before[0]:
            known, folder = self._before
            kinds = ("iterables of floats", "LightningModules")
            old, new = kinds if known == IterableEngine.name else kinds[::-1]
            raise ResumeError(
                f'the study "{folder.name}" was made with {old}, now {new}',
                other_name(folder),
            )
        if slots > 1 and not isinstance(self._engine, IterableEngine):
            raise ConfigError(
                f"in_flight must be 1 where modules are trained, got {slots}; to train "
                "several at once, give out and start the same script again beside this"
            )
        self._engine.train_all(feed, slots)

    def forget(self, key: str) -> None:
        """Hears of a paused run that will not go on."""
        if self._engine is not None:
            self._engine.forget(key)

    def expect(self, recipe: Recipe, epochs: int, slots: int) -> None:
        """Nothing to make ready."""

    def close(self) -> None:
        """Let go of what is still open."""
        if self._engine is not None:
            self._engine.close()

    def _decide(self, run: Run) -> None:
        """Make the first run's module or iterable."""
        alarm = Alarm(run.max_seconds)
        with streams_kept():
            seed_streams(run, "module")
            given = alarm.during(
                run.seconds_left([]), lambda: self._make(run.params.params)
            )
        self._given.append((run.params, given))
        first = given[0] if isinstance(given, tuple) and given else given
        if hasattr(first, "training_step"):
            self._decide_for_modules()
            return
        if self._of_modules["data"] is not None:
            raise ConfigError(
                "data must be None where make returns an iterable of floats, which "
                f"brings its own, got {type(self._of_modules['data']).__name__}"
            )
        self._engine = IterableEngine(self._made, maximize=self._maximize)

    def _decide_for_modules(self) -> None:
        from tunekit.modules import ModuleEngine

        options = {**self._of_modules, "trainer": self._of_modules["trainer"] or {}}
        self._engine = ModuleEngine(
            self._made,
            maximize=self._maximize,
            shown=lambda chosen: chosen.params,
            **options,
        )

    def _made(self, chosen: Chosen) -> Any:
        """What ``make`` gives; the first is not made twice."""
        if self._given:
            first, given = self._given.pop()
            if first is chosen:
                return given
        return self._make(chosen.params)


class _Begun:
    """A feed whose first run was taken already."""

    def __init__(self, feed: Feed, first: Run) -> None:
        self._feed, self._first = feed, [first]

    def turn(self) -> AbstractContextManager[None]:
        return self._feed.turn()

    def next(self) -> Run | None:
        return self._first.pop() if self._first else self._feed.next()

    def epochs(self, heard: Sequence[Heard]) -> list[Verdict]:
        return self._feed.epochs(heard)

    def paused(self, run: Run, state: State | None) -> None:
        self._feed.paused(run, state)

    def end(self, run: Run, fitted: Fitted) -> None:
        self._feed.end(run, fitted)

    def fail(self, run: Run, error: Exception) -> None:
        self._feed.fail(run, error)
