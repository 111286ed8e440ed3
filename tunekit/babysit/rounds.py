"""A round trained: each branch from its checkpoint, side by side where the engine can.

A round that takes long is kept half done, from time to time, so that a kill costs
little; as a run goes on to the last bit from where it was paused, the clock that says
when decides over nothing.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Protocol

from tunekit.babysit.course import START, Outcome, Round
from tunekit.babysit.nudges import Settings
from tunekit.errors import ConfigError, StoppedError, TunekitError
from tunekit.trial import Engine, Fitted, Heard, Metrics, Run, State, Verdict

__all__ = ["Keep", "train_round"]

_NEVER = 10**9
_KEEP_SECONDS = 60.0


class Keep(Protocol):
    """Where checkpoints are."""

    def load(self, name: str, whose: str | None = None) -> State | None:
        """A checkpoint; None where there is none of this name, or another's."""

    def save(self, name: str, state: State, whose: str) -> None:
        """Keep one, whole or not at all."""


def train_round(
    engine: Engine,
    tried: Round,
    run_of: Callable[[Settings], Mapping[str, Any]],
    keep: Keep,
    *,
    seed: int,
    maximize: bool = False,
    until: float = math.inf,
    hear: Callable[[int, float], None] = lambda epoch, value: None,
) -> list[Outcome] | None:
    """Train every branch of a round and keep where each ends.

    Args:
        engine: What trains.
        tried: The round.
        run_of: The arguments of a run (``recipe`` or ``params``, ``max_epochs``) with
            some settings.
        keep: Where checkpoints are.
        seed: The seed of the model.
        maximize: Whether higher values are better; outcomes are negative then.
        until: When to have stopped (``time.monotonic()``), with what is half done kept.
        hear: Hears of every epoch of a branch, from 1, and its value.

    Returns:
        What became of each branch; None where the time was up before its end.

    Raises:
        Exception: Whatever the training of a branch raised.
    """
    runs, owners = [], []
    for i, (source, settings) in enumerate(tried.branches):
        given = run_of(settings)
        # Done, or half done, by an earlier process?
        whose = _whose(tried, i, given)
        owners.append(whose)
        state = keep.load(tried.checkpoint(i), whose)
        state = state or keep.load(_half(tried, i), whose)
        if state is None and source != START:
            state = keep.load(source)
            if state is None:
                raise StoppedError(
                    f"checkpoint {source} must be as it was written, and is gone or "
                    "damaged; run the same command again: it goes on from another"
                )
            state = _begun(state)
        runs.append(
            Run(
                **given,
                patience=_NEVER,
                seed=seed,
                key=f"branch-{i}",
                stream=tried.stream,
                state=state,
            )
        )

    def save(branch: int, state: State, *, done: bool) -> None:
        name = tried.checkpoint(branch) if done else _half(tried, branch)
        keep.save(name, state, owners[branch])

    feed = _Epochs(runs, tried.epochs, until, save, hear)
    while feed.waiting:
        engine.train_all(feed, len(runs))
        if (feed.half or feed.waiting) and time.monotonic() >= until:
            return None
        feed.again()
    sign = -1.0 if maximize else 1.0
    return [
        Outcome(
            train=[m.train_loss for m in feed.curves[i]],
            val=[_finite(sign * m.val_loss) for m in feed.curves[i]],
            score=[m.val_score for m in feed.curves[i]],
            checkpoint=tried.checkpoint(i) if i in feed.ends else None,
        )
        for i in range(len(runs))
    ]


class _Epochs:
    """A feed of a round's runs, each for some epochs.

    Attributes:
        waiting: Runs to be opened.
        half: States of runs that were paused because time has passed, by branch.
        ends: States of those that came to their end.
        curves: The metrics of every epoch of the round.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        epochs: int,
        until: float,
        save: Callable[..., None],
        hear: Callable[[int, float], None],
    ) -> None:
        self.waiting = list(runs)
        self.half: dict[int, State] = {}
        self.ends: dict[int, State] = {}
        self.curves: dict[int, list[Metrics]] = {
            i: [*run.state.curve] if run.state else [] for i, run in enumerate(runs)
        }
        self._runs, self._epochs = list(runs), epochs
        self._began, self._until, self._save = time.monotonic(), until, save
        self._heard, self._hear = False, hear
        for i, run in enumerate(runs):
            if run.state is not None and len(run.state.curve) >= epochs:
                self.ends[i] = run.state
                self.waiting.remove(run)

    def again(self) -> None:
        """Open again what was paused half done."""
        half = [replace(self._runs[i], state=s) for i, s in self.half.items()]
        self.waiting = [*half, *self.waiting]
        self.half, self._began = {}, time.monotonic()

    def turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    def next(self) -> Run | None:
        if not self.waiting or (self._heard and time.monotonic() >= self._until):
            return None
        return self.waiting.pop(0)

    def epochs(self, heard: Sequence[Heard]) -> list[Verdict]:
        self._heard, now = True, time.monotonic()
        late = now - self._began > _KEEP_SECONDS or now >= self._until
        verdicts = []
        for each in heard:
            branch = _branch(each.run)
            self.curves[branch].append(each.metrics)
            self._hear(len(self.curves[branch]), each.metrics.val_loss)
            done = len(self.curves[branch]) >= self._epochs
            verdicts.append(Verdict.PAUSE if done or late else Verdict.GO_ON)
        return verdicts

    def paused(self, run: Run, state: State | None) -> None:
        assert state is not None
        branch = _branch(run)
        done = len(self.curves[branch]) >= self._epochs
        # At once: the next branch may take long.
        self._save(branch, state, done=done)
        (self.ends if done else self.half)[branch] = state

    def end(self, run: Run, fitted: Fitted) -> None:
        """It diverged: nothing else may end a run before its epochs are over."""
        if not fitted.diverged:
            raise ConfigError(
                "training must go on until a round is over, and something ended it "
                f"after {len(fitted.curve)} epochs, such as EarlyStopping or max_time; "
                "leave that out"
            )

    def fail(self, run: Run, error: Exception) -> None:
        if isinstance(error, TunekitError | MemoryError):
            raise error
        settings = run.params if run.params is not None else run.recipe
        error.add_note(f"while training with {settings}")
        raise error


def _branch(run: Run) -> int:
    return int(run.key.rpartition("-")[2])


def _half(tried: Round, branch: int) -> str:
    return f"{tried.checkpoint(branch)}-half"


def _whose(tried: Round, branch: int, given: Mapping[str, Any]) -> str:
    """What tells a branch from one of the same name that was to be tried before.

    A module may go by its horizon: under another one it would train otherwise.
    """
    what = tried.number, tried.epochs, *tried.branches[branch], given["max_epochs"]
    return json.dumps(what)


def _begun(state: State) -> State:
    """A checkpoint to begin a round with: what came before is in the history."""
    return replace(
        state,
        curve=(),
        best_epoch=0,
        tensors={
            name: value
            for name, value in state.tensors.items()
            if not name.startswith("best.")
        },
    )


def _finite(value: float) -> float:
    """A value to compare; what is none is the worst."""
    return value if math.isfinite(value) else math.inf
