"""The loop of a search: what an engine's runs are, and what becomes of them.

next trial ── train, epoch by epoch ── report, prune? ── end ── next trial …
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from tunekit.board import Board, TrialBoard
from tunekit.budget import Budget
from tunekit.errors import StoppedError
from tunekit.space import Space
from tunekit.store import Store
from tunekit.trial import Engine, Fitted, Heard, Metrics, Run, State, Verdict
from tunekit.workers.candidates import Candidates, Recipes

__all__ = ["work"]

_FAILURES_IN_A_ROW = 5


def work(
    store: Store,
    engine: Engine,
    space: Space | Candidates,
    budget: Budget,
    *,
    board: Board | None = None,
    on_end: Callable[[FrozenTrial], None] = lambda trial: None,
    in_flight: int = 1,
) -> None:
    """Train trials until the budget is spent.

    Args:
        store: The study; its sampler and pruner decide.
        engine: What trains.
        space: What is searched: fields of recipes, or whatever the engine trains.
        budget: When to stop.
        board: Where curves are drawn.
        on_end: Hears of every trial that has ended here.
        in_flight: Trials open at once, where the engine can.

    Raises:
        StoppedError: After five failed trials in a row, with what they had in common.
    """
    candidates = Recipes(space) if isinstance(space, Space) else space
    search = _Search(store, engine.name, candidates, budget, board, on_end)
    try:
        engine.train_all(search, in_flight)
    finally:
        search.leave()


class _Attempt:
    """One trial being trained."""

    def __init__(
        self, trial: Trial, params: dict[str, Any], curves: TrialBoard | None
    ) -> None:
        self.trial, self.params, self.curves = trial, params, curves
        self.curve: list[Metrics] = []
        self.stopped = ""

    def so_far(self, sign: float) -> Fitted:
        """What it has come to, should it fail now; ``sign`` is -1 to maximize."""
        losses = {
            sign * m.val_loss: epoch
            for epoch, m in reversed([*enumerate(self.curve, start=1)])
            if math.isfinite(m.val_loss + m.train_loss)
        }
        best_epoch = losses[min(losses)] if losses else 0
        return Fitted(
            curve=self.curve, best_epoch=best_epoch, weights={}, diverged=False
        )


class _Search:
    """Feeds an engine with a study's trials; see :class:`tunekit.trial.Feed`."""

    def __init__(
        self,
        store: Store,
        engine: str,
        candidates: Candidates,
        budget: Budget,
        board: Board | None,
        on_end: Callable[[FrozenTrial], None],
    ) -> None:
        self._store, self._engine, self._candidates = store, engine, candidates
        self._budget, self._board = budget, board
        self._on_end = on_end
        self._open: dict[str, _Attempt] = {}
        self._failures: list[str] = []
        self._told = time.monotonic()
        self._epoch_seconds: float | None = None
        maximize = store.study.direction == StudyDirection.MAXIMIZE
        self._sign = -1.0 if maximize else 1.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One write for a whole round: killed, a study has all of it or nothing."""
        with self._store.together():
            yield
        self._told = time.monotonic()

    def next(self) -> Run | None:
        """A trial that its worker has left, else a new one while the budget lasts."""
        params: Any = None

        def suggest(trial: Trial) -> None:
            nonlocal params
            params = self._candidates.suggest(trial)

        trial = self._store.next_trial(self._may_start, suggest)
        if trial is None:
            return None
        settings = self._store.settings
        shown = self._candidates.shown(params)
        known = self._store.tally()[trial.number].intermediate_values
        run = Run(
            recipe=self._candidates.recipe(params),
            params=params,
            max_epochs=settings["max_epochs"],
            patience=settings["patience"],
            seed=settings["seed"],
            key=f"trial-{trial.number}",
            reached=max(known, default=0),
        )
        curves = self._board.open(trial.number, shown) if self._board else None
        self._open[run.key] = _Attempt(trial, shown, curves)
        return run

    def _may_start(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether the budget gives one more open trial, and all others, some depth.

        A small budget over many trials would train none. Where time is limited, the
        first epoch of all is awaited: until then nobody knows what a round takes.
        """
        if not self._budget.may_start(trials):
            return False
        if not self._open:
            return True
        n = len(self._open) + 1
        depth = max(1, self._store.settings["max_epochs"] // 3)
        if self._budget.epochs_left(trials, set()) < n * depth:
            return False
        if self._budget.seconds_left is None:
            return True
        if self._epoch_seconds is None:
            return False
        needed = n * depth * self._epoch_seconds
        return bool(self._budget.seconds_left(trials) >= needed)

    def epochs(self, heard: Sequence[Heard]) -> list[Verdict]:
        """Record the epochs of a round, then decide who goes on."""
        # A run's share of a round, as long as this round was.
        now = time.monotonic()
        self._epoch_seconds = (now - self._told) / len(heard)
        for each in heard:
            attempt = self._open[each.run.key]
            attempt.curve.append(each.metrics)
            if attempt.curves is not None:
                attempt.curves.epoch(each.epoch, each.metrics)
            # A trial that is trained again has these in the storage already.
            if each.epoch > each.run.reached:
                # Infinity is the worst there is to every pruner; NaN confuses some.
                loss, worst = each.metrics.val_loss, self._sign * math.inf
                finite = math.isfinite(loss + each.metrics.train_loss)
                self._store.report(attempt.trial, loss if finite else worst, each.epoch)
        for each in heard:
            # What it had reported before an interruption was judged then: asked again,
            # a pruner would know of trials that have ended since.
            if each.epoch >= each.run.reached:
                new = each.epoch > each.run.reached
                self._judge(self._open[each.run.key], new)
        self._ration(heard)
        return [
            Verdict.STOP if self._open[each.run.key].stopped else Verdict.GO_ON
            for each in heard
        ]

    def paused(self, run: Run, state: State | None) -> None:
        """Never: no verdict here is to pause."""

    def end(self, run: Run, fitted: Fitted) -> None:
        """Record how a trial ended: complete, or stopped early and why."""
        attempt = self._open.pop(run.key)
        epochs = len(fitted.curve)
        state, stopped = TrialState.COMPLETE, ""
        if fitted.diverged:
            state, stopped = TrialState.PRUNED, f"diverged at epoch {epochs}"
        elif attempt.stopped and epochs < run.max_epochs:
            state, stopped = TrialState.PRUNED, attempt.stopped
        elif epochs < run.max_epochs:
            tired = epochs - fitted.best_epoch >= run.patience
            stopped = "no longer improving" if tired else "at its end"
        attributes = {**self._attributes(attempt, fitted), "stopped": stopped}
        loss, score = attributes["best_val_loss"], attributes["best_val_score"]
        complete = state == TrialState.COMPLETE
        self._store.finish(attempt.trial, state, attributes, loss if complete else None)
        if fitted.weights:
            self._store.keep_weights(attempt.trial.number, fitted.weights)
        if attempt.curves is not None:
            attempt.curves.close(loss, score, ok=True)
        self._failures = []
        self._on_end(self._store.tally()[attempt.trial.number])

    def fail(self, run: Run, error: Exception) -> None:
        """Record a failure; too many in a row have a common cause."""
        attempt = self._open.pop(run.key)
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        attributes = {
            **self._attributes(attempt, attempt.so_far(self._sign)),
            "error": reason,
            "traceback": "".join(traceback.format_exception(error)),
        }
        self._store.finish(attempt.trial, TrialState.FAIL, attributes)
        if attempt.curves is not None:
            attempt.curves.close(None, None, ok=False)
        self._failures.append(reason)
        self._on_end(self._store.tally()[attempt.trial.number])
        if len(self._failures) >= _FAILURES_IN_A_ROW:
            raise StoppedError(
                f"{len(self._failures)} trials in a row failed, the last with: "
                f"{reason}; mend that and run the same command again"
            )

    def leave(self) -> None:
        """Close the curves of trials still open: who takes them up draws them anew."""
        for attempt in self._open.values():
            if attempt.curves is not None:
                attempt.curves.close(None, None, ok=False)
        self._open = {}

    def _judge(self, attempt: _Attempt, new: bool) -> None:
        trial = attempt.trial
        if trial.user_attrs.get("stopped") == "weak" or (new and trial.should_prune()):
            attempt.stopped = "weak"
            trial.set_user_attr("stopped", "weak")

    def _ration(self, heard: Sequence[Heard]) -> None:
        """Share out what is left of the budget, to the earlier trials first."""
        trials = self._store.tally()
        ours = {attempt.trial.number for attempt in self._open.values()}
        left = self._budget.epochs_left(trials, ours)
        rounds = self._rounds_left(trials)
        now = {each.run.key: each for each in heard}
        for key, attempt in self._open.items():
            each = now.get(key)
            if attempt.stopped or (each is not None and each.over):
                continue
            # One that is behind is only trained again: it costs nothing, and those
            # that wait for it have been given their next epoch already.
            paid = each is None or each.epoch >= each.run.reached
            if each is not None and (rounds < 1 or (paid and left < 1)):
                attempt.stopped = "budget"
            else:
                left -= 1
                rounds -= 1

    def _rounds_left(self, trials: Sequence[FrozenTrial]) -> float:
        """Epochs of a single trial for which there is time; one round is many."""
        if self._budget.seconds_left is None:
            return math.inf
        seconds = self._budget.seconds_left(trials)
        if seconds <= 0 or not self._epoch_seconds:
            return 0.0 if seconds <= 0 else math.inf
        # The oldest may always go on: it alone is an epoch too late at most.
        return max(1.0, seconds / self._epoch_seconds)

    def _attributes(self, attempt: _Attempt, fitted: Fitted) -> dict[str, Any]:
        """What every ended trial carries."""
        best = fitted.best if fitted.best_epoch else None
        return {
            "best_val_loss": best.val_loss if best else None,
            "best_val_score": best.val_score if best and best.scored else None,
            "best_epoch": fitted.best_epoch,
            "epochs": len(fitted.curve),
            "engine": self._engine,
            "seconds": round(sum(m.seconds for m in fitted.curve), 4),
            "params": dict(attempt.params),
        }
