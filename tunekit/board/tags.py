"""What is drawn of a trial: its curves, and its last values in the HPARAMS table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunekit.trial import Metrics

__all__ = ["Tags"]

_LR = ("learning rate", "Step size of the optimizer in this epoch.")
_CURVES = {
    "loss/train": ("training loss", "Mean cross-entropy a row, on training rows."),
    "loss/val": ("validation loss", "Mean cross-entropy a row, on validation rows."),
    "score/train": ("training accuracy", "Share of training rows that are right."),
    "score/val": ("validation accuracy", "Share of validation rows that are right."),
    "lr": _LR,
}
_FINALS = {
    "hparam/val_loss": (
        "lowest validation loss",
        "The lowest validation loss of the trial; its weights are the ones kept.",
    ),
    "hparam/val_score": (
        "validation accuracy at that epoch",
        "Share of validation rows that are right, at the epoch of the lowest loss.",
    ),
}


class Tags:
    """Tags by name, each with a title and what it means.

    Args:
        monitor: The one value an epoch of trials that are not tunekit's own networks;
            those when empty.

    Attributes:
        curves: Of every epoch.
        finals: At the end of a trial.

    Example:
        >>> sorted(Tags("acc").curves), sorted(Tags("acc").finals)
        (['acc', 'lr'], ['hparam/acc'])
    """

    def __init__(self, monitor: str = "") -> None:
        self._monitor = monitor
        self.curves: Mapping[str, tuple[str, str]] = _CURVES
        self.finals: Mapping[str, tuple[str, str]] = _FINALS
        if monitor:
            self.curves = {monitor: (monitor, "The value of an epoch."), "lr": _LR}
            best = "The trial's best value; its weights are the ones kept."
            self.finals = {f"hparam/{monitor}": (f"best {monitor}", best)}

    def of_epoch(self, metrics: Metrics) -> dict[str, float]:
        """The points of an epoch, by tag."""
        if not self._monitor:
            values = metrics.train_loss, metrics.val_loss
            scores = metrics.train_score, metrics.val_score
            return dict(zip(_CURVES, (*values, *scores, metrics.lr), strict=True))
        # A loop of one's own may have no learning rate that anybody knows.
        rate = {"lr": metrics.lr} if math.isfinite(metrics.lr) and metrics.lr else {}
        return {self._monitor: metrics.val_loss, **rate}

    def at_end(self, loss: float | None, score: float | None) -> dict[str, float]:
        """The last values, by tag; those that there are.

        Args:
            loss: The best of the value that trials are compared by.
            score: The score at that epoch.
        """
        pairs = zip(self.finals, (loss, score), strict=False)
        return {
            tag: value
            for tag, value in pairs
            if value is not None and math.isfinite(value)
        }
