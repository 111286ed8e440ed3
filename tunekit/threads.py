"""How many threads torch's operations may use on a CPU."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

__all__ = ["MANY_THREADS_FLOPS", "cores", "threads"]

MANY_THREADS_FLOPS = 3e8
"""Arithmetic of a training step from which more than one thread pays.

Below it, threads wait for each other longer than they work; on a busy machine, far
longer.
"""


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """So many threads for torch's operations, and as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
