"""An end to one run that takes longer than it may, or hangs.

Between epochs whoever trains looks at what a run has taken. A run that never comes to
the end of an epoch is broken off by a timer of the system, which raises an exception
wherever Python's main thread is: in a loop, a sleep, a lock, a read.

Should that be lost on its way, in a finalizer or a bare ``except``, it is raised again.

It cannot end what does not come back to Python, such as one long operation of a
library; nor code outside the main thread, or on a system without such timers (Windows).
"""

from __future__ import annotations

import signal
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

__all__ = ["Alarm", "TookLongerError"]

T = TypeVar("T")

_AT_ONCE = 1e-3
"""Seconds; a timer of none at all would never ring."""
_AGAIN = 1.0
"""Seconds between two rings."""
_PATIENCE = 10
"""Rings that what is cleaned up has after the first, before it is broken off, too."""


class TookLongerError(TimeoutError):
    """A run has trained for longer than it may.

    Args:
        seconds: What it had.

    Example:
        >>> print(TookLongerError(90.0))
        took longer than 90 s
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"took longer than {seconds:g} s")


class _Rang(BaseException):
    """The time is over; no ``Exception``, which training code may well catch."""


class Alarm:
    """Breaks off what takes longer than it may.

    Args:
        seconds: What a run has in all, for the message; None for no limit.

    Example:
        >>> import time
        >>> Alarm(0.05).during(0.05, lambda: time.sleep(60))
        Traceback (most recent call last):
            ...
        tunekit.limit.TookLongerError: took longer than 0.05 s
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._works = (
            seconds is not None
            and hasattr(signal, "setitimer")
            and threading.current_thread() is threading.main_thread()
        )
        self._rang: weakref.ref[_Rang] | None = None
        self._quiet = 0

    def during(self, left: float | None, work: Callable[[], T]) -> T:
        """What ``work`` returns, if it does so in time.

        Whoever else had set such a timer gets it back afterwards.

        Args:
            left: Seconds that it has.
            work: What may take too long.

        Raises:
            TookLongerError: If it did not; its cause shows where it was.
            Exception: Whatever ``work`` raises.
        """
        if self._seconds is None or not self._works:
            return work()
        handler: Any = signal.signal(signal.SIGALRM, self._ring)
        timer = signal.setitimer(signal.ITIMER_REAL, 0.0)
        hook = sys.unraisablehook

        def lost(unraisable: sys.UnraisableHookArgs) -> None:
            # A finalizer lets nothing out; it rings again soon.
            if not isinstance(unraisable.exc_value, _Rang):
                hook(unraisable)

        sys.unraisablehook = lost
        try:
            # Where it rings in the inner "finally", it is heard here.
            try:
                self.set(left)
                return work()
            finally:
                self.off()
        except _Rang as rang:
            raise TookLongerError(self._seconds) from rang
        finally:
            self.off()
            sys.unraisablehook = hook
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, *timer)

    def set(self, left: float | None) -> None:
        """Have it ring in so many seconds, and again until it is heard."""
        if self._works and left is not None:
            signal.setitimer(signal.ITIMER_REAL, max(left, _AT_ONCE), _AGAIN)

    def off(self) -> None:
        """Have it not ring, while something is done that must not be broken off."""
        if self._works:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _ring(self, signum: int, frame: FrameType | None) -> None:
        # While the last one is on its way up, whatever cleans up has time to do so.
        if self._rang is not None and self._rang() is not None and self._quiet:
            self._quiet -= 1
            return
        self._quiet = _PATIENCE
        raise self._new()

    def _new(self) -> _Rang:
        # Not in the frame that raises: its traceback would keep it once it is lost.
        rang = _Rang()
        self._rang = weakref.ref(rang)
        return rang
