"""Configurations trained side by side, from which searches are then drawn.

What a configuration comes to does not depend on who asked for it: so those of many
searches are trained together, as one network, and each search is told its own. All draw
the same initial weights and mini-batches: what differs is the configuration alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch

from tunekit import Config
from tunekit.data import Table
from tunekit.draws import at
from tunekit.feed import train_together
from tunekit.space import Scale, Space
from tunekit.trial import Fitted, Recipe, Run
from tunekit.vectorized import VectorizedEngine
from tunekit.winner import Judge
from tunekit.workers.setup import Setup

__all__ = ["Pool", "value"]

_SLOTS = 128
"""Configurations that are open at once; more save no time."""


@dataclass(frozen=True)
class Pool:
    """A table with what trains on it.

    Attributes:
        config: The settings all configurations share.
        table: Its rows.
        space: What may be searched.
        recipe: What all have that is not searched.
    """

    config: Config
    table: Table
    space: Space
    recipe: Recipe
    _engine: VectorizedEngine
    _judge: Judge

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """From the keys of a ``study.toml``; one thread."""
        torch.set_num_threads(1)
        config = Config.from_mapping(settings)
        setup = Setup.of(config)
        table, space = setup.table, setup.space
        data = (table.x_train, table.y_train, table.x_valid, table.y_valid)
        engine = VectorizedEngine(*data, len(table.classes), "cpu", processes=1)
        recipe = Recipe().with_params(space.fixed)
        return cls(config, table, space, recipe, engine, Judge(table))

    @property
    def scales(self) -> Mapping[str, Scale]:
        """The scale of each hyperparameter that may be searched."""
        return self.space.scales

    @property
    def chance(self) -> float:
        """The loss of whoever thinks all classes equally likely."""
        return math.log(len(self.table.classes))

    def train(
        self, params: Sequence[Mapping[str, Any]], until: int | None = None
    ) -> list[Fitted]:
        """Each of these configurations, trained to the end.

        Args:
            params: What of the recipe is another than that of all.
            until: The epoch after which training is broken off, if any; schedules still
                go by the whole.
        """
        runs = [
            Run(
                recipe=self.recipe.with_params(each),
                max_epochs=self.config.max_epochs,
                patience=self.config.patience,
                seed=self.config.seed,
                key=f"configuration-{n}",
                stream="all",
            )
            for n, each in enumerate(params)
        ]
        fits: list[Fitted] = []
        for begin in range(0, len(runs), _SLOTS):
            some = runs[begin : begin + _SLOTS]
            fits += train_together(
                self._engine, some, lambda heard: until is None or heard.epoch < until
            )
        return fits

    def loss(self, fitted: Fitted) -> float:
        """The lowest validation loss of any epoch, nats a row; at most chance's.

        One that diverges at once is worth no more than to know nothing.
        """
        if not fitted.best_epoch:
            return self.chance
        return min(self.chance, fitted.best.val_loss)

    def test_loss(self, params: Mapping[str, Any], fitted: Fitted) -> float:
        """The loss on test rows of the weights that were best on validation rows."""
        if not fitted.best_epoch:
            return self.chance
        recipe = self.recipe.with_params(params)
        loss_N, _ = self._judge.figures(self._judge.probabilities(recipe, fitted))
        return min(self.chance, float(loss_N.mean()))


def value(scale: Scale, share: float) -> Any:
    """The value of a scale below which a share of it lies; in [0, 1)."""
    return scale.from_stored(at(scale.distribution(), share))
