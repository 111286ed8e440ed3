"""What is told of a model as it trains: curves for TensorBoard, and its account."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tunekit.babysit.account import Account
from tunekit.babysit.curves import Curves
from tunekit.babysit.way import Way

__all__ = ["Telling"]


class Telling:
    """Hears of every line of the history, once.

    Args:
        before: The lines that are there already, the oldest first.
        tb: Where TensorBoard looks; None for no curves.
        metric: What the value is.
        hear: Hears, once, that curves cannot be drawn.

    Attributes:
        account: What the report tells.
    """

    def __init__(
        self,
        before: Iterable[Mapping[str, Any]],
        tb: Path | None,
        metric: str = "val_loss",
        *,
        hear: Callable[[str], None] = lambda trouble: None,
    ) -> None:
        self.account, self._way, self._hear = Account(), Way(), hear
        self._trouble = ""
        self._curves = None if tb is None else Curves(tb, metric)
        drawn = -1 if self._curves is None else self._curves.drawn
        for line in before:
            # An edit that ends a rescue spends nothing: better drawn twice than never.
            spent = line["spent"]
            is_new = spent > drawn or (spent == drawn and "joined" in line)
            self._add(line, draw=is_new)

    def __call__(self, line: Mapping[str, Any]) -> None:
        """One more line."""
        self._add(line, draw=True)

    def close(self) -> None:
        """Close TensorBoard's files."""
        if self._curves is not None:
            self._curves.close()

    def _add(self, line: Mapping[str, Any], *, draw: bool) -> None:
        self.account.add(line)
        for part in self._way.parts(line):
            self.account.take(part)
            if draw and self._curves is not None:
                self._curves.add(part)
        if self._curves is not None and self._curves.trouble != self._trouble:
            self._trouble = self._curves.trouble
            self._hear(self._trouble)
