"""The wall time of one call of the main job, and how a limit of it is shared out.

By a clock that nobody sets: a computer's time of day may jump, back or forward.
"""

from __future__ import annotations

import math
import time

__all__ = ["BEGAN", "Clock"]

BEGAN = time.monotonic()
"""When this was imported, before all else: a command's time limit counts from here."""
_REPORT_SECONDS = 2.0
"""Kept back from a time limit for the winner, and as much again for the report."""


class Clock:
    """One call's time.

    Args:
        began: When it began (``time.monotonic()``).
        timeout: What it may take, in seconds; no limit when None.

    Attributes:
        before: Seconds that earlier calls took on the same study.
        search_until: When the search must end; None without a limit.

    Example:
        >>> clock = Clock(time.monotonic(), 100.0)
        >>> clock.share_out()
        >>> 90 < clock.search_seconds_left < 97 < clock.seconds_left() < 99
        True
    """

    def __init__(self, began: float, timeout: float | None) -> None:
        self.began, self.before = began, 0.0
        self.search_until: float | None = None
        self._until = None if timeout is None else began + timeout
        self._final_until: float | None = None

    @property
    def total(self) -> float:
        """Seconds that all calls took, this one so far."""
        return self.before + time.monotonic() - self.began

    @property
    def search_seconds_left(self) -> float | None:
        """Until the search must end; None without a limit."""
        return (
            None if self.search_until is None else self.search_until - time.monotonic()
        )

    def seconds_left(self) -> float:
        """Until the report must be begun."""
        if self._final_until is None:
            return math.inf
        return self._final_until - time.monotonic()

    def share_out(self) -> None:
        """Keep back from the limit what evaluation, saving and the report will take.

        Starting up read the table and imported much, as the end will; on a slow or busy
        machine both take longer. The search leaves twice as much as the winner. Where
        a start was so slow that little is left, half of that is still the search's,
        and the other half goes to the winner and the report alike.
        """
        if self._until is None:
            return
        now = time.monotonic()
        spare = max(_REPORT_SECONDS, 0.75 * (now - self.began))
        spare = min(spare, max(0.0, self._until - now) / 4)
        self._final_until = self._until - spare
        self.search_until = self._until - 2 * spare
