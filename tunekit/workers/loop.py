"""The loop of a search: take a trial, train it, write down what happened.

next trial ── train, epoch by epoch ── report, prune? ── end ── next trial …
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from optuna.trial import FrozenTrial, Trial, TrialState

from tunekit.board import Board, TrialBoard
from tunekit.budget import Budget
from tunekit.errors import StoppedError, TunekitError
from tunekit.interrupt import shield
from tunekit.space import Space
from tunekit.store import Store
from tunekit.trial import Engine, Fitted, Metrics, Recipe, Run

__all__ = ["work"]

_FAILURES_IN_A_ROW = 5


def work(
    store: Store,
    engine: Engine,
    space: Space,
    budget: Budget,
    *,
    board: Board | None = None,
    on_end: Callable[[FrozenTrial], None] = lambda trial: None,
    alive: Callable[[], bool] = lambda: True,
) -> None:
    """Train trials until the budget is spent.

    Args:
        store: The study; its sampler and pruner decide.
        engine: What trains.
        space: What is searched.
        budget: When to stop.
        board: Where curves are drawn.
        on_end: Hears of every trial that has ended here.
        alive: Whether to take one more trial; a worker whose driver is gone stops.

    Raises:
        StoppedError: After five failed trials in a row, with what they had in common.
    """
    failures: list[str] = []
    while alive():
        trial = store.next_trial(budget.may_start, space.suggest)
        if trial is None:
            return
        failure = _Attempt(store, engine, space, budget, board).train(trial)
        failures = [*failures, failure] if failure else []
        on_end(store.trials()[trial.number])
        if len(failures) >= _FAILURES_IN_A_ROW:
            raise StoppedError(
                f"{len(failures)} trials in a row failed, the last with: "
                f"{failures[-1]}; mend that and run the same command again"
            )


class _Attempt:
    """One trial being trained."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        space: Space,
        budget: Budget,
        board: Board | None,
    ) -> None:
        self._store, self._engine, self._space = store, engine, space
        self._budget, self._board = budget, board
        self._stopped = ""
        self._curve: list[Metrics] = []

    def train(self, trial: Trial) -> str:
        """Train it to its end; the one-line reason if it failed."""
        settings = self._store.settings
        params = self._space.from_stored(trial.params)
        run = Run(
            recipe=Recipe().with_params({**self._space.fixed, **params}),
            max_epochs=settings["max_epochs"],
            patience=settings["patience"],
            seed=settings["seed"],
            key=f"trial-{trial.number}",
        )
        curves = self._board.open(trial.number, params) if self._board else None
        began = time.perf_counter()
        known = self._store.trials()[trial.number].intermediate_values
        try:
            fitted = self._engine.train(run, self._listener(trial, curves, dict(known)))
        except TunekitError:
            # Not the trial's fault: the study stops, and the trial can be taken up.
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            attributes = {
                **_attributes(params, self._engine.name, self._so_far(), began),
                "error": reason,
                "traceback": traceback.format_exc(),
            }
            with shield():
                self._store.finish(trial, TrialState.FAIL, attributes)
                if curves is not None:
                    curves.close(None, None, ok=False)
            return reason
        except BaseException:
            # Interrupted: whoever takes the trial up draws its curves anew.
            if curves is not None:
                curves.close(None, None, ok=False)
            raise
        self._end(trial, params, fitted, curves, began)
        return ""

    def _listener(
        self, trial: Trial, curves: TrialBoard | None, known: Mapping[int, float]
    ) -> Callable[[int, Metrics], bool]:
        """What hears of every epoch: storage, curves, and the decision to go on.

        A trial that is trained again was already judged at the epochs it had reported.
        """
        reported = max(known, default=0)

        def on_epoch(epoch: int, metrics: Metrics) -> bool:
            with shield():
                self._curve.append(metrics)
                if curves is not None:
                    curves.epoch(epoch, metrics)
                if epoch > reported:
                    # Infinity is the worst there is to every pruner; NaN confuses some.
                    finite = math.isfinite(metrics.val_loss + metrics.train_loss)
                    loss = metrics.val_loss if finite else math.inf
                    self._store.report(trial, loss, epoch)
                if epoch >= max(1, reported):
                    self._judge(trial)
                elif not self._budget.has_time(self._store.trials()):
                    self._stopped = "budget"
            return not self._stopped

        return on_epoch

    def _so_far(self) -> Fitted:
        """What a trial that failed had come to."""
        losses = {
            m.val_loss: epoch
            for epoch, m in reversed([*enumerate(self._curve, start=1)])
            if math.isfinite(m.val_loss + m.train_loss)
        }
        best_epoch = losses[min(losses)] if losses else 0
        return Fitted(
            curve=self._curve, best_epoch=best_epoch, weights={}, diverged=False
        )

    def _judge(self, trial: Trial) -> None:
        # A verdict is written down at once: asked again about the same epoch, after an
        # interruption, successive halving takes its own note of it for a promotion.
        if trial.user_attrs.get("stopped") == "weak" or trial.should_prune():
            self._stopped = "weak"
            trial.set_user_attr("stopped", "weak")
        elif not self._budget.may_go_on(self._store.trials(), trial.number):
            self._stopped = "budget"

    def _end(
        self,
        trial: Trial,
        params: Mapping[str, Any],
        fitted: Fitted,
        curves: TrialBoard | None,
        began: float,
    ) -> None:
        """Record how it ended: complete, or stopped early and why."""
        epochs, horizon = len(fitted.curve), self._store.settings["max_epochs"]
        state, stopped = TrialState.COMPLETE, ""
        if fitted.diverged:
            state, stopped = TrialState.PRUNED, f"diverged at epoch {epochs}"
        elif self._stopped and epochs < horizon:
            state, stopped = TrialState.PRUNED, self._stopped
        elif epochs < horizon:
            stopped = "no longer improving"
        attributes = {
            **_attributes(params, self._engine.name, fitted, began),
            "stopped": stopped,
        }
        loss, score = attributes["best_val_loss"], attributes["best_val_score"]
        with shield():
            complete = state == TrialState.COMPLETE
            self._store.finish(trial, state, attributes, loss if complete else None)
            if fitted.weights:
                self._store.keep_weights(trial.number, fitted.weights)
            if curves is not None:
                curves.close(loss, score, ok=True)


def _attributes(
    params: Mapping[str, Any], engine: str, fitted: Fitted, began: float
) -> dict[str, Any]:
    """What every ended trial carries."""
    return {
        "best_val_loss": fitted.best.val_loss if fitted.best_epoch else None,
        "best_val_score": fitted.best.val_score if fitted.best_epoch else None,
        "best_epoch": fitted.best_epoch,
        "epochs": len(fitted.curve),
        "engine": engine,
        "seconds": round(time.perf_counter() - began, 3),
        "params": dict(params),
    }
