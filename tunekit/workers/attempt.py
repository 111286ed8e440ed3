"""One trial being trained, and what is recorded of it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from optuna.trial import Trial

from tunekit.board import TrialBoard
from tunekit.trial import Fitted, Heard, Metrics, Run

__all__ = ["Attempt"]


class Attempt:
    """One trial being trained.

    Args:
        trial: The trial.
        params: Its hyperparameters, as people read them.
        run: What its engine was given.
        curves: Where its curves are drawn.
        curve: What it had come to when it was paused.
        sign: -1 where higher values are better.

    Attributes:
        to_epoch: How far it is to be trained now.
        curve: The metrics of every epoch so far.
        stopped: Why it ends, or "".
        pausing: Whether it is being paused.
        late: Whether it ends because it has trained for longer than it may.
    """

    def __init__(
        self,
        trial: Trial,
        params: dict[str, Any],
        run: Run,
        curves: TrialBoard | None,
        curve: Sequence[Metrics] = (),
        sign: float = 1.0,
    ) -> None:
        self.trial, self.params, self.curves = trial, params, curves
        self.to_epoch: int = trial.user_attrs.get("to_epoch", run.max_epochs)
        self.curve = [*curve]
        self._reached, self._sign = run.reached, sign
        self.stopped = ""
        self.pausing = self.late = False
        self._run, self._since = run, time.perf_counter()

    @property
    def number(self) -> int:
        """The trial's number."""
        return self.trial.number

    @property
    def to_go(self) -> int:
        """Epochs to be paid until it is there; one, should it be there already."""
        return max(1, self.to_epoch - max(self._reached, len(self.curve)))

    @property
    def behind(self) -> bool:
        """Whether its next epoch is one that is recorded already."""
        return len(self.curve) < self._reached

    def add(self, heard: Heard) -> None:
        """One more epoch, or one that is trained again."""
        self.curve[heard.epoch - 1 :] = [heard.metrics]
        self._since = time.perf_counter()
        left = self._run.seconds_left(self.curve)
        # One that has come to its end all the same has not failed.
        self.late = left is not None and left <= 0 and not heard.over

    def unfinished(self, n_open: int) -> float:
        """Seconds that went, in this process or before, into epochs not completed.

        Args:
            n_open: Trials that are open: they share the time.
        """
        return self._run.spent + (time.perf_counter() - self._since) / n_open

    def so_far(self) -> Fitted:
        """What it has come to, should it end now."""
        losses = {
            self._sign * m.val_loss: epoch
            for epoch, m in reversed([*enumerate(self.curve, start=1)])
            if math.isfinite(m.val_loss + m.train_loss)
        }
        best_epoch = losses[min(losses)] if losses else 0
        return Fitted(
            curve=self.curve, best_epoch=best_epoch, weights={}, diverged=False
        )

    def attributes(self, engine: str, fitted: Fitted) -> dict[str, Any]:
        """What every trial carries that has ended or is paused."""
        best = fitted.best if fitted.best_epoch else None
        return {
            "best_val_loss": best.val_loss if best else None,
            "best_val_score": best.val_score if best and best.scored else None,
            "best_epoch": fitted.best_epoch,
            "epochs": len(fitted.curve),
            "engine": engine,
            "seconds": round(sum(m.seconds for m in fitted.curve), 4),
            "params": dict(self.params),
        }
