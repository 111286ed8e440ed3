"""What every run goes by, and the rows that it trains on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from embedded import Rows, normalised, parts
from lab import Asked, settings
from networks import network
from torch import Tensor

from tunekit import Config
from tunekit.batches import Batches
from tunekit.mlp import MLP
from tunekit.space import LogUniform, recipe_space
from tunekit.trial import Recipe

__all__ = ["Plan", "Table", "short"]

_LR = 0.1
"""Where learning rates are not what is asked."""
_PER_DECADE = 2


@dataclass(frozen=True)
class Plan:
    """What every run goes by."""

    config: Config
    recipe: Recipe
    lrs: tuple[float, ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, asked: Asked) -> Plan:
        torch.set_num_threads(1)
        config = Config.from_mapping(settings(asked.home))
        space = recipe_space(config.space, 1024)
        lr = space.scales["lr"]
        assert isinstance(lr, LogUniform)
        low, high = math.log10(lr.low), math.log10(lr.high)
        points = range(
            0, round((high - low) * _PER_DECADE) + 1, 5 if asked.quick else 1
        )
        lrs = tuple(short(10 ** (low + p / _PER_DECADE)) for p in points)
        # A claim needs two samples.
        n_seeds = 2 if asked.quick else config.final_seeds
        seeds = tuple(range(config.seed, config.seed + n_seeds))
        recipe = replace(Recipe().with_params(space.fixed), lr=_LR)
        return cls(config, recipe, lrs, seeds)


@dataclass(frozen=True)
class Table:
    """The rows of one seed as tensors, normalised."""

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    n_classes: int

    @classmethod
    def of(cls, plan: Plan, rows: Rows, seed: int, dtype: torch.dtype) -> Table:
        train_, _, test = parts(rows, plan.config.split, seed)
        train_, test = normalised(train_, test)
        x = [torch.from_numpy(part.x_NF).to(dtype) for part in (train_, test)]
        y = [torch.from_numpy(part.y_N) for part in (train_, test)]
        return cls(x[0], y[0], x[1], y[1], rows.n_classes)

    def batches(self, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Mini-batches of epoch after epoch, without end."""
        some = Batches(
            self.x_train, self.y_train, batch_size=size, seed=seed, key="all"
        )
        while True:
            yield from some

    def network(self, recipe: Recipe, seed: int) -> MLP:
        net = network(recipe, self.x_train.shape[1], self.n_classes, seed)
        return net.to(self.x_train.dtype)

    def steps(self, plan: Plan, size: int | None = None) -> int:
        """Steps of all epochs."""
        n = len(self.y_train) / (size or plan.recipe.batch_size)
        return round(plan.config.max_epochs * n)


def short(value: float) -> float:
    return float(f"{value:.6g}")
