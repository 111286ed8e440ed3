"""Batches of a table that fits in memory: slices of tensors, shuffled or in order.

Rows are never collated one by one, so that an epoch costs no more than its steps.

Shapes: N rows, F inputs, B rows of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from tunekit.seeds import torch_generator

__all__ = ["Batches", "Rows"]

_VALIDATION_ROWS = 8192
"""Rows of a validation batch: bounds memory; the result does not depend on it."""


class Batches:
    """Shuffled mini-batches of tensors; the order depends on seed, key and epoch.

    A last batch of a single row joins the one before it, because batch norm has no
    variance of one row; every other last batch stays as short as it is.

    Example:
        >>> x, y = torch.arange(5.0)[:, None], torch.zeros(5, dtype=torch.long)
        >>> [len(y_B) for x_BF, y_B in Batches(x, y, batch_size=2, seed=0, key="a")]
        [2, 3]
    """

    def __init__(
        self, x_NF: Tensor, y_N: Tensor, *, batch_size: int, seed: int, key: str
    ) -> None:
        self.x_NF, self.y_N = x_NF, y_N
        self.batch_size, self.seed, self.key = batch_size, seed, key
        self.epoch = 0

    def __len__(self) -> int:
        """Batches an epoch."""
        full, rest = divmod(len(self.y_N), self.batch_size)
        return max(1, full + (rest > 1))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch's batches; the next iteration is the next epoch's."""
        generator = torch_generator(self.seed, self.key, "batches", self.epoch)
        self.epoch += 1
        order_N = torch.randperm(len(self.y_N), generator=generator)
        order_N = order_N.to(self.x_NF.device)
        n_batches = len(self)
        for i in range(n_batches):
            start = i * self.batch_size
            end = None if i == n_batches - 1 else start + self.batch_size
            chosen_B = order_N[start:end]
            yield self.x_NF[chosen_B], self.y_N[chosen_B]


class Rows:
    """Rows in their own order, in large batches, for evaluation."""

    def __init__(self, x_NF: Tensor, y_N: Tensor) -> None:
        self.x_NF, self.y_N = x_NF, y_N

    def __len__(self) -> int:
        """Batches."""
        return math.ceil(len(self.y_N) / _VALIDATION_ROWS)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of rows."""
        yield from zip(
            torch.split(self.x_NF, _VALIDATION_ROWS),
            torch.split(self.y_N, _VALIDATION_ROWS),
            strict=True,
        )
