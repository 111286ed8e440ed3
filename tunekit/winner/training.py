"""Training the winner anew: several seeds and a baseline, together, as time allows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from tunekit.feed import train_together
from tunekit.trial import Engine, Fitted, Heard, Recipe, Run

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

    from tunekit.data import Table

__all__ = ["Trainer", "longest", "softmax_regression"]

_CAUTION = 1.25
"""A training is expected to take so many times what it should."""


class Trainer:
    """Trains recipes to the study's horizon, or until time is up.

    Args:
        engine: What trains.
        settings: The study's, for seed, max_epochs and patience.
        left: Seconds that remain.
        epochs: The most epochs of each training.
        seconds: What one training should take; 0 when that is not known.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Mapping[str, Any],
        left: Callable[[], float],
        epochs: int,
        seconds: float,
    ) -> None:
        self._engine, self._settings, self._left = engine, settings, left
        self._epochs, self._seconds = epochs, seconds

    def wave(self, waiting: int) -> int:
        """How many of those that wait to train together in the time that is left."""
        left, needed = self._left(), _CAUTION * self._seconds
        if left <= 0.0:
            return 1
        if needed <= 0.0 or left >= waiting * needed:
            return waiting
        return max(1, int(left / needed))

    def train(
        self, recipes: Mapping[str, Recipe], say: Callable[[int], None]
    ) -> dict[str, tuple[Fitted, bool]]:
        """The trained networks by key, and whether time sufficed for each.

        Args:
            recipes: By key of the random streams.
            say: Hears how many epochs the furthest has.
        """
        runs = [
            Run(
                recipe=recipe,
                max_epochs=self._settings["max_epochs"],
                patience=self._settings["patience"],
                seed=self._settings["seed"],
                key=key,
            )
            for key, recipe in recipes.items()
        ]
        cut: set[str] = set()

        def hear(heard: Heard) -> bool:
            say(heard.epoch)
            if heard.over or heard.epoch >= self._epochs:
                return False
            if self._left() > 0:
                return True
            cut.add(heard.run.key)
            return False

        fits = train_together(self._engine, runs, hear)
        seconds = [sum(m.seconds for m in fitted.curve) for fitted in fits]
        self._seconds = max([self._seconds, *seconds])
        return {
            run.key: (fitted, run.key not in cut)
            for run, fitted in zip(runs, fits, strict=True)
        }

    def has_time(self) -> bool:
        """Whether anything more can be begun."""
        return self._left() > 0


def longest(best: FrozenTrial, settings: Mapping[str, Any]) -> int:
    """Epochs to train anew: no more than a trial had that the budget cut short."""
    if best.user_attrs.get("stopped") == "budget":
        return max(1, len(best.intermediate_values))
    return int(settings["max_epochs"])


def softmax_regression(table: Table) -> LogisticRegression:
    """The linear model, fitted to the end by L-BFGS."""
    from sklearn.linear_model import LogisticRegression

    linear = LogisticRegression(max_iter=500)
    with warnings.catch_warnings():
        # Where it has not converged by then, it is as good as it gets.
        warnings.simplefilter("ignore")
        linear.fit(table.x_train, table.y_train)
    return linear
