"""The global random streams that other people's code draws from, seeded and kept.

Whatever a run draws depends on the run, and on the epoch, alone: it does not matter
what was trained before it, in which process, or where it was paused.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

from tunekit.seeds import seed_for
from tunekit.trial import Run

__all__ = ["seed_streams", "streams_kept"]


def seed_streams(run: Run, *purpose: str | int) -> None:
    """Seed torch's, NumPy's and Python's global streams for one purpose of a run."""
    seed = seed_for(run.seed, run.key, *purpose)
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextlib.contextmanager
def streams_kept() -> Iterator[None]:
    """Whoever called us finds these streams as they were.

    Example:
        >>> run = Run(max_epochs=1, patience=1, seed=0, key="trial-0")
        >>> before = random.getstate()
        >>> with streams_kept():
        ...     seed_streams(run, "module")
        >>> random.getstate() == before
        True
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count()) if used else ()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
