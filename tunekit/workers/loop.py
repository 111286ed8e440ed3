"""The loop of a search: what an engine's runs are, and what becomes of them.

next trial ── train, epoch by epoch ── report, prune? pause? ── end ── next trial …
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from optuna.trial import FrozenTrial, Trial, TrialState

from tunekit.board import Board
from tunekit.budget import Budget
from tunekit.errors import StoppedError
from tunekit.limit import TookLongerError
from tunekit.space import Space
from tunekit.states import part_of
from tunekit.store import Store
from tunekit.trial import Engine, Fitted, Heard, Metrics, Run, State, Verdict
from tunekit.workers.attempt import Attempt
from tunekit.workers.candidates import Candidates, Recipes
from tunekit.workers.failures import common_cause, described, in_a_row
from tunekit.workers.ration import Ration
from tunekit.workers.runs import BROKEN_OFF, key_of, run_of
from tunekit.workers.suspects import try_suspects

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
        StoppedError: After five failed trials in a row, whoever trained them, with
            their commonest cause.
    """
    candidates = Recipes(space) if isinstance(space, Space) else space
    try_suspects(store, engine, candidates, on_end)
    search = _Search(store, engine, candidates, budget, board, on_end)
    try:
        engine.train_all(search, in_flight)
    finally:
        search.leave()


class _Search:
    """Feeds an engine with a study's trials; see :class:`tunekit.trial.Feed`."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        candidates: Candidates,
        budget: Budget,
        board: Board | None,
        on_end: Callable[[FrozenTrial], None],
    ) -> None:
        self._store, self._engine, self._candidates = store, engine, candidates
        self._board, self._on_end = board, on_end
        self._open: dict[str, Attempt] = {}
        self._ration = Ration(store, budget, self._open)
        self._look_for_surplus = True
        # Of paused runs whose states are the engine's.
        self._kept: dict[str, Sequence[Metrics]] = {}

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One write for a whole round: killed, a study has all of it or nothing."""
        with self._store.together():
            yield
        # Those that are behind are trained first, to where they have been before.
        if not any(attempt.behind for attempt in self._open.values()):
            self._store.begin_epoch([a.number for a in self._open.values()])
        self._ration.begin_round()

    def next(self) -> Run | None:
        """A trial that its worker has left, else the chosen one, if there is budget."""
        if self._look_for_surplus:
            for number in self._store.let_go():
                key = key_of(self._store, number)
                self._kept.pop(key, None)
                self._engine.forget(key)
                self._on_end(self._store.tally()[number])
            self._look_for_surplus = False
        params: Any = None

        def suggest(trial: Trial) -> None:
            nonlocal params
            params = self._candidates.suggest(trial)

        while True:
            trial = self._store.next_trial(self._ration.allows, suggest)
            if trial is None:
                return None
            run = run_of(self._store, self._candidates, trial, params)
            behind = run.state is None or run.paused_at < run.reached
            if behind or self._ration.can_pay(trial):
                return self._open_run(trial, run)
            # It would begin with an epoch that nobody can pay: a smaller budget, now.
            self._store.note(trial, {"to_epoch": run.reached})
            self._store.pause(trial, None)

    def _open_run(self, trial: Trial, run: Run) -> Run:
        shown = self._candidates.shown(run.params)
        number = self._store.run_number(trial.number)
        kept = self._kept.pop(run.key, run.state.curve if run.state else ())
        curves = self._board.open(number, shown, kept) if self._board else None
        sign = self._store.sign
        self._open[run.key] = Attempt(trial, shown, run, curves, kept, sign)
        return run

    def epochs(self, heard: Sequence[Heard]) -> list[Verdict]:
        """Record the epochs of a round, then decide who goes on."""
        self._ration.end_round(len(heard))
        # In order of number: who was opened first is not recorded.
        for each in sorted(heard, key=lambda each: self._number(each.run)):
            attempt = self._open[each.run.key]
            attempt.add(each)
            if attempt.curves is not None:
                attempt.curves.epoch(each.epoch, each.metrics)
            # A trial that is trained again has these in the storage already.
            if each.epoch > each.run.reached:
                # Infinity is the worst there is to every pruner; NaN confuses some.
                loss, worst = each.metrics.val_loss, self._store.sign * math.inf
                finite = math.isfinite(loss + each.metrics.train_loss)
                self._store.report(attempt.trial, loss if finite else worst, each.epoch)
        for each in heard:
            # What it had reported before an interruption was judged then: asked again,
            # a pruner would know of trials that have ended since.
            if each.epoch >= each.run.reached:
                new = each.epoch > each.run.reached
                self._judge(self._open[each.run.key], each, new)
        for attempt in self._ration.unpaid(heard):
            if self._store.pauses:
                attempt.pausing = True
            else:
                attempt.stopped = "budget"
        for attempt in self._open.values():
            if attempt.pausing and not attempt.late:
                # With the epoch: killed before its state is kept, it has all else.
                so_far = attempt.attributes(self._engine.name, attempt.so_far())
                told = {**so_far, "to_epoch": len(attempt.curve)}
                self._store.note(attempt.trial, told)
        return [self._verdict(self._open[each.run.key]) for each in heard]

    def paused(self, run: Run, state: State | None) -> None:
        """Keep a trial that may be promoted later."""
        # Until it is written, it is among those whose curves are closed at the end.
        attempt = self._open[run.key]
        self._store.pause(attempt.trial, state)
        del self._open[run.key]
        self._look_for_surplus = True
        if state is None:
            self._kept[run.key] = attempt.curve
        if attempt.curves is not None:
            best = attempt.so_far()
            loss, score = None, None
            if best.best_epoch:
                loss, score = best.best.val_loss, best.best.val_score
            attempt.curves.close(loss, score, ok=True)

    def end(self, run: Run, fitted: Fitted) -> None:
        """Record how a trial ended: complete, or stopped early and why."""
        if run.max_seconds is not None and self._open[run.key].late:
            self.fail(run, TookLongerError(run.max_seconds), fitted.weights)
            return
        attempt = self._open[run.key]
        epochs = len(fitted.curve)
        state, stopped = TrialState.COMPLETE, ""
        if fitted.diverged:
            state, stopped = TrialState.PRUNED, f"diverged at epoch {epochs}"
        elif attempt.stopped and epochs < run.max_epochs:
            state, stopped = TrialState.PRUNED, attempt.stopped
        elif epochs < run.max_epochs:
            tired = epochs - fitted.best_epoch >= run.patience
            stopped = "no longer improving" if tired else "at its end"
        attributes = {
            **attempt.attributes(self._engine.name, fitted),
            "stopped": stopped,
        }
        loss, score = attributes["best_val_loss"], attributes["best_val_score"]
        complete = state == TrialState.COMPLETE
        self._store.finish(attempt.trial, state, attributes, loss if complete else None)
        if fitted.weights:
            self._store.keep_weights(attempt.trial.number, fitted.weights)
        del self._open[run.key]
        if attempt.curves is not None:
            attempt.curves.close(loss, score, ok=True)
        self._on_end(self._store.tally()[attempt.trial.number])

    def fail(
        self, run: Run, error: Exception, weights: Mapping[str, Any] | None = None
    ) -> None:
        """Record a failure; too many in a row have a common cause.

        Args:
            run: The run.
            error: What it failed with.
            weights: Those of its best epoch; where None, a run that was promoted may
                still have them from before.
        """
        attempt = self._open.pop(run.key)
        so_far = attempt.so_far()
        if weights is None and run.state and run.state.best_epoch == so_far.best_epoch:
            weights = part_of(run.state, "best")
        attributes = {
            **attempt.attributes(self._engine.name, so_far),
            **described(error, self._store.tally()),
            "traceback": "".join(traceback.format_exception(error)),
        }
        self._store.finish(attempt.trial, TrialState.FAIL, attributes)
        if weights and so_far.best_epoch:
            self._store.keep_weights(attempt.trial.number, weights)
        if attempt.curves is not None:
            attempt.curves.close(None, None, ok=False)
        self._on_end(self._store.tally()[attempt.trial.number])
        failures = in_a_row(self._store.tally())
        if len(failures) >= _FAILURES_IN_A_ROW:
            raise StoppedError(
                f"{len(failures)} trials in a row failed, {common_cause(failures)}; "
                "mend that and run the same command again"
            )

    def leave(self) -> None:
        """Close the curves of trials still open: who takes them up draws them anew.

        Where their time is limited, what they took is recorded: one that hangs is not
        to hang again as long, whenever the study goes on.
        """
        # On a full disk this fails, too; the first error is the one to tell.
        with suppress(OSError, AssertionError, StoppedError), self._store.together():
            for attempt in self._open.values():
                if "trial_timeout" in self._store.settings:
                    seconds = round(attempt.unfinished(len(self._open)), 3)
                    self._store.note(attempt.trial, {BROKEN_OFF: seconds})
        for attempt in self._open.values():
            if attempt.curves is not None:
                attempt.curves.close(None, None, ok=False)
        self._open.clear()

    def _judge(self, attempt: Attempt, heard: Heard, new: bool) -> None:
        if self._store.pauses:
            at_rung = attempt.to_epoch <= heard.epoch < heard.run.max_epochs
            attempt.pausing = at_rung and not heard.over
            return
        trial = attempt.trial
        if trial.user_attrs.get("stopped") == "weak" or (new and trial.should_prune()):
            attempt.stopped = "weak"
            trial.set_user_attr("stopped", "weak")

    @staticmethod
    def _verdict(attempt: Attempt) -> Verdict:
        if attempt.stopped or attempt.late:
            return Verdict.STOP
        return Verdict.PAUSE if attempt.pausing else Verdict.GO_ON

    def _number(self, run: Run) -> int:
        return self._open[run.key].trial.number
