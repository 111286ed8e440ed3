"""A limit of time, and how many epochs what is left of it is good for."""

from __future__ import annotations

import math
import time

from tunekit.babysit.course import Round

__all__ = ["Pace"]

_SAFELY = 0.95
"""The share of the time that is left which is planned to be filled."""
_NEWEST = 0.5
"""The weight of the last round in what an epoch takes."""


class Pace:
    """Knows what rounds take.

    Args:
        until: When training is to have ended (``time.monotonic()``); None for no limit.
    """

    def __init__(self, until: float | None) -> None:
        self.until = math.inf if until is None else until
        self.began = time.monotonic()
        self._epochs, self._alone = 0, math.nan

    @property
    def is_late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.until

    def took(self, tried: Round, seconds: float) -> None:
        """A round was trained in so many seconds."""
        self._epochs += tried.cost
        if len(tried.branches) == 1:
            each = seconds / tried.epochs
            # Nothing is beside it, as nothing is while a rate falls to zero.
            known = not math.isnan(self._alone)
            self._alone = (
                self._alone * (1 - _NEWEST) + each * _NEWEST if known else each
            )

    def ends_soon(self, tried: Round, share: float) -> bool:
        """Whether after one more round less than a share of the time is left."""
        if math.isinf(self.until) or not self._epochs:
            return False
        now = time.monotonic()
        after = self.until - now - tried.cost * (now - self.began) / self._epochs
        return after <= share * (self.until - self.began)

    def epochs_left(self) -> int | None:
        """Epochs of one model that still fit, one at least; None where none limits."""
        if math.isinf(self.until):
            return None
        now = time.monotonic()
        each = self._alone
        if math.isnan(each):
            each = (now - self.began) / max(1, self._epochs)
        return max(1, int(_SAFELY * (self.until - now) / max(1e-9, each)))
