"""What is done now and then while a model trains: work that costs little, and words."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Seldom", "Turns"]

_SHARE = 0.01
"""Of the time since, the most that it may take."""
_EVERY_SECONDS, _SELDOM_SECONDS = 1.0, 60.0


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


class Turns:
    """When to say a line: every second at first, and every minute after hours.

    So that somebody who looks on sees it move, and days do not fill a terminal.

    Example:
        >>> turns = Turns()
        >>> turns.is_due(), turns.is_due(), turns.is_due(at_once=True)
        (True, False, True)
    """

    def __init__(self) -> None:
        self._said, self._began = -float("inf"), time.monotonic()

    def is_due(self, *, at_once: bool = False) -> bool:
        """Whether a line is to be said now; then the next is due later.

        Args:
            at_once: Whether it is, however short the time since the last.
        """
        now = time.monotonic()
        pause = max(_EVERY_SECONDS, _SHARE * (now - self._began))
        if now - self._said < min(pause, _SELDOM_SECONDS) and not at_once:
            return False
        self._said = now
        return True
