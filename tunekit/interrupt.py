"""Ctrl-C and SIGTERM: at once, but never in the middle of a write.

While ``listening``, the first signal raises ``Interrupted`` wherever the program is, or
at the end of the ``shield`` it is in; a second one raises whatever is going on.
``Interrupted`` is no KeyboardInterrupt, because Lightning turns that into an exit of
its own.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["Interrupted", "listening", "shield"]


class Interrupted(BaseException):
    """The person or the system asked to stop.

    Attributes:
        signum: ``signal.SIGINT`` or ``signal.SIGTERM``.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, as shells count."""
        return 128 + self.signum


class _State:
    depth = 0
    pending: int | None = None


def _hear(signum: int, frame: FrameType | None) -> None:
    if _State.depth and _State.pending is None:
        _State.pending = signum
        return
    raise Interrupted(signum)


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Turn both signals into ``Interrupted``; outside the main thread, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {}
    for each in (signal.SIGINT, signal.SIGTERM):
        # What whoever started us has us ignore (nohup, a script's "&") stays ignored.
        if signal.getsignal(each) != signal.SIG_IGN:
            before[each] = signal.signal(each, _hear)
    _State.depth, _State.pending = 0, None
    try:
        yield
    finally:
        # After a second signal the first is still put off: nobody is to hear it later.
        _State.pending = None
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def shield() -> Iterator[None]:
    """Put off ``Interrupted`` to the end of the block, so that a write is finished.

    Example:
        >>> with shield():
        ...     pass
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.depth += 1
    try:
        yield
    finally:
        _State.depth -= 1
    if _State.depth == 0 and _State.pending is not None:
        signum, _State.pending = _State.pending, None
        raise Interrupted(signum)
