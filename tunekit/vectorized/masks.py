"""Dropout masks of a whole stack: a chunk of steps at a time, for one layer.

The masks are those of :func:`tunekit.seeds.keep_mask`, hashed from the same words, as
floats: 0 where a unit is left out, 1 / (1 - p) where it is kept. On the CPU NumPy's
unsigned integers do it in place, two to three times faster than torch's wider ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tunekit.seeds import (
    drop_limit,
    keep_on_device,
    row_words,
    scramble,
    unit_words,
)
from tunekit.vectorized.layout import Columns
from tunekit.vectorized.member import Member

__all__ = ["Masks"]


class Masks:
    """Masks of a stack's layers.

    Args:
        members: The runs.
        layers: Their columns.
        n_steps: Mini-batches of an epoch.
        n_rows: The most rows of one.
        like: A tensor of the device and precision.
    """

    def __init__(
        self,
        members: Sequence[Member],
        layers: Sequence[Columns],
        n_steps: int,
        n_rows: int,
        like: Tensor,
    ) -> None:
        self._members, self._layers, self._like = members, layers, like
        self._rows = row_words(0, n_steps, n_rows)
        self._limits: list[np.ndarray[tuple[int], np.dtype[np.uint16]] | None] = []
        self._scales: list[Tensor] = []
        for columns in layers:
            limits = np.zeros(columns.total, np.uint16)
            scales = np.ones(columns.total)
            for k, start, width in zip(
                columns.members, columns.starts, columns.widths, strict=True
            ):
                drop = members[k].run.recipe.dropout
                limits[start : start + width] = drop_limit(drop)
                if drop_limit(drop):
                    scales[start : start + width] = 1.0 / (1.0 - drop)
            self._limits.append(limits if limits.any() else None)
            self._scales.append(torch.from_numpy(scales).to(like))
        self._words: list[np.ndarray[tuple[int], np.dtype[np.uint32]]] = []

    def begin(self) -> None:
        """Make ready for the epoch that each run is in."""
        self._words = []
        for layer, columns in enumerate(self._layers):
            words = np.zeros(columns.total // 2, np.uint32)
            if self._limits[layer] is not None:
                for k, start, width in zip(
                    columns.members, columns.starts, columns.widths, strict=True
                ):
                    member = self._members[k]
                    if member.run.recipe.dropout:
                        own = unit_words(member.dropout_key, member.epoch, layer, width)
                        words[start // 2 : start // 2 + len(own)] = own
            self._words.append(words)

    def of(self, layer: int, first: int, n_steps: int, n_rows: int) -> list[Tensor]:
        """Factors for some steps, (n_rows, R) each; empty where none drops units."""
        limits = self._limits[layer]
        if limits is None:
            return []
        rows = self._rows[first : first + n_steps, :n_rows].reshape(-1)
        words, like = self._words[layer], self._like
        if like.device.type != "cpu":
            kept = keep_on_device(
                torch.from_numpy(rows.astype(np.int64)).to(like.device),
                torch.from_numpy(words.astype(np.int64)).to(like.device),
                torch.from_numpy(limits.astype(np.int64)).to(like.device),
            )
            factors = kept * self._scales[layer]
        else:
            # Signed products wrap to the same bits, and torch's are the faster ones.
            signed = torch.mul(
                torch.from_numpy(rows.view(np.int32))[:, None],
                torch.from_numpy(words.view(np.int32)),
            )
            hashes = signed.numpy().view(np.uint32)
            scramble(hashes, np.empty_like(hashes))
            factors = torch.empty(
                (len(rows), self._layers[layer].total), dtype=like.dtype
            )
            factors.numpy()[...] = hashes.view(np.uint16) >= limits
            factors *= self._scales[layer]
        return list(factors.view(n_steps, n_rows, -1).unbind(0))
