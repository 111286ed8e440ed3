"""Work that is done now and then while a model trains, and may cost little of it."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Seldom"]

_SHARE = 0.01
"""Of the time since, the most that it may take."""


class Seldom:
    """Does something at most so often, and the less often the longer it takes.

    Args:
        pause: Seconds between two times, at least.

    Example:
        >>> seldom, done = Seldom(60.0), []
        >>> for n in range(3):
        ...     seldom(lambda: done.append(n))
        >>> done
        [0]
    """

    def __init__(self, pause: float) -> None:
        self._pause, self._next = pause, -float("inf")

    def __call__(self, work: Callable[[], object]) -> None:
        """Do it, if it is time."""
        began = time.monotonic()
        if began < self._next:
            return
        work()
        ended = time.monotonic()
        self._next = ended + max(self._pause, (ended - began) / _SHARE)
