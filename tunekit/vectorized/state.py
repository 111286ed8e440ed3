"""What a run of the vectorized engine is between its epochs, outside any process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunekit.trial import Metrics

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["State"]


@dataclass
class State:
    """All that a run needs to go on; CPU tensors and plain numbers.

    Attributes:
        tensors: ``net.…``, ``first.…``, ``second.…`` (the optimizer's moments) and
            ``best.…`` (the network after its best epoch), by the network's names.
        steps: Optimizer steps taken.
        best_epoch: The epoch (from 1) with the lowest validation loss; 0 when none.
        curve: The metrics of every epoch so far.
    """

    tensors: dict[str, Tensor] = field(repr=False)
    steps: int
    best_epoch: int
    curve: list[Metrics]
