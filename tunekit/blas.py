"""Linear algebra by one thread.

The matrices of a search are small. OpenBLAS, which NumPy and SciPy bring, spreads even
these over all cores; its threads then wait for each other longer than they work, and
keep from working whoever trains beside them. How many there are also changes rounding,
and what a search tries must not depend on a machine's number of cores.
"""

from __future__ import annotations

import os
import threading
from contextlib import ContextDecorator
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]


@cache
def _libraries() -> list[Any]:
    """Those that this process has loaded; finding them takes milliseconds."""
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def _numbers() -> list[int]:
    return [library.get_num_threads() for library in _libraries()]


def _set(numbers: list[int]) -> None:
    for library, n in zip(_libraries(), numbers, strict=True):
        library.set_num_threads(n)


class _OneThread(ContextDecorator):
    """As often as it is entered, by whichever thread: the last to leave sets back.

    Otherwise of two threads the second would take the first's limit for what there was
    before, and leave it behind. Some builds of OpenBLAS hear the first thread alone
    that ever sets a number; what another could not set back, that one does when it
    leaves the next time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[int] = []

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = self._before or _numbers()
                _set([1] * len(self._before))
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._set_back()

    def _set_back(self) -> None:
        _set(self._before)
        if _numbers() == self._before:
            self._before = []

    def forked(self) -> None:
        """A forked process has none of the threads that were inside."""
        if self._inside:
            self._set_back()
        self._lock, self._inside = threading.Lock(), 0


one_thread = _OneThread()
"""Decorator or context: meanwhile NumPy and SciPy use one thread in this process."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=one_thread.forked)
