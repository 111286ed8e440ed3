"""Ctrl-C and SIGTERM: at once, but never in the middle of a write.

While ``listening``, the first signal raises ``Interrupted`` wherever the program is, or
at the end of the ``shield`` it is in; a second one raises whatever is going on.
``Interrupted`` is no KeyboardInterrupt, because Lightning turns that into an exit of
its own.

A command has its process to itself. There a signal before and after that time, and a
second one at any time, ends the process on the spot: ``is_command`` and ``leave``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, ClassVar, NoReturn

__all__ = [
    "Interrupted",
    "before_the_end",
    "is_command",
    "leave",
    "listening",
    "shield",
]

_AGAIN_SECONDS = 0.01
_SHOW_CURSOR = b"\x1b[?25h"


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
    command = False
    listener: int | None = None
    """The process that listens; those it forks inherit its handlers, and are others."""
    heard = False
    depth = 0
    pending: int | None = None
    last: ClassVar[list[Callable[[], None]]] = []


def before_the_end(call: Callable[[], None]) -> None:
    """Have something called before a signal ends what is going on, whatever that is.

    Args:
        call: It takes no lock, for the process may hold it, and no time.
    """
    _State.last.append(call)


def is_command(package: str) -> None:
    """Where this process is ``python -m package``, let signals end it on the spot.

    The first thing that a package does which is also a command: before anything else is
    imported, so that who stops it in its first moment sees no traceback.

    Args:
        package: Its name.
    """
    # This is what Python has there while it looks for the module to run.
    if sys.argv[:1] != ["-m"] or package not in sys.orig_argv:
        return
    _State.command = True
    for each in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, _end)


def leave(code: int) -> NoReturn:
    """End a command.

    One that was stopped ends here and now: taking down what its libraries have set up
    takes seconds, and all of ours is closed.

    Args:
        code: The exit code.
    """
    if code <= 128:
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        # Whoever read may have gone.
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _say_last_words() -> None:
    for call in _State.last:
        # Whatever comes of it, this is the end.
        with contextlib.suppress(Exception):
            call()


def _end(signum: int, frame: FrameType | None) -> None:
    _say_last_words()
    with contextlib.suppress(OSError):
        if os.isatty(1):
            os.write(1, _SHOW_CURSOR)
        os.write(2, b"\nstopped\n")
    os._exit(128 + signum)


def _hear(signum: int, frame: FrameType | None) -> None:
    if os.getpid() != _State.listener:
        # A forked worker, as a DataLoader's: it ends as if nobody had ever listened.
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
        return
    if _State.heard:
        if _State.command:
            _end(signum, frame)
        _say_last_words()
    _State.heard = True
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
    _State.listener = os.getpid()
    before: dict[int, Any] = {}
    for each in (signal.SIGINT, signal.SIGTERM):
        # What whoever started us has us ignore (nohup, a script's "&") stays ignored.
        if signal.getsignal(each) != signal.SIG_IGN:
            before[each] = signal.signal(each, _hear)
    _State.depth, _State.pending, _State.heard = 0, None, False
    hook = sys.unraisablehook

    def not_lost(unraisable: sys.UnraisableHookArgs) -> None:
        error = unraisable.exc_value
        if isinstance(error, Interrupted):
            # It came up in a finalizer, which Python lets nothing out of: once more.
            _State.heard = False
            again = (os.getpid(), error.signum)
            threading.Timer(_AGAIN_SECONDS, os.kill, again).start()
        else:
            hook(unraisable)

    sys.unraisablehook = not_lost
    try:
        yield
    finally:
        sys.unraisablehook = hook
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
