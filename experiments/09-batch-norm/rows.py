"""The rows of one seed as tensors, and the recipe by which most is trained on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from embedded import Rows, normalised, parts
from lab import Asked
from networks import network
from plan import Plan
from torch import Tensor

from tunekit.batches import Batches
from tunekit.mlp import MLP
from tunekit.trial import Recipe

__all__ = ["Table", "begun"]

_LR = 0.1
"""Where learning rates are not what is asked."""


def begun(asked: Asked) -> Plan:
    """What every run goes by."""
    plan = Plan.of(asked)
    return replace(plan, recipe=replace(plan.recipe, lr=_LR))


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
