"""The global random streams that other people's code draws from, seeded and kept.

Whatever a run draws depends on the run, and on the epoch, alone: it does not matter
what was trained before it, in which process, or where it was paused.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from tunekit.seeds import seed_for
from tunekit.trial import Run

__all__ = [
    "LoopStreams",
    "seed_data",
    "seed_module",
    "seed_streams",
    "streams_kept",
]


def seed_streams(run: Run, *purpose: str | int) -> None:
    """Seed torch's, NumPy's and Python's global streams for one purpose of a run."""
    _seed(seed_for(run.seed, run.draws, *purpose))


def seed_module(run: Run) -> None:
    """Seed them for what is made once for a model, as its weights."""
    _seed(seed_for(run.seed, run.origin, "module"))


def seed_data(run: Run) -> None:
    """Seed them for what all runs of a study share, as a split of the rows."""
    _seed(seed_for(run.seed, "data"))


def _seed(seed: int) -> None:
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
    before = _states()
    try:
        yield
    finally:
        _set(before)


class LoopStreams:
    """The global streams of a loop that waits while others go on, apart from theirs.

    So is torch's gradient mode: a loop that waits within ``torch.no_grad()`` switches
    nothing off for anybody else.

    Example:
        >>> run = Run(max_epochs=2, patience=2, seed=0, key="trial-0")
        >>> one, same = LoopStreams(run), LoopStreams(run)
        >>> drawn = []
        >>> for streams in (one, one, same, same):
        ...     with streams.entered():
        ...         drawn.append(random.random())
        >>> drawn[:2] == drawn[2:], drawn[0] != drawn[1]
        (True, True)
    """

    def __init__(self, run: Run) -> None:
        self._run, self._grad = run, True
        self._now: _States | None = None

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Draw from this loop's streams, from where it stopped; seeded at first."""
        with streams_kept(), torch.set_grad_enabled(self._grad):
            if self._now is None:
                seed_streams(self._run, "loop")
            else:
                _set(self._now)
            try:
                yield
            finally:
                self._now, self._grad = _states(), torch.is_grad_enabled()


_States = tuple[Any, Any, torch.Tensor, list[torch.Tensor]]


def _states() -> _States:
    """Where Python's, NumPy's and torch's streams are, of every GPU if any is used."""
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = torch.cuda.get_rng_state_all() if used else []
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), devices


def _set(states: _States) -> None:
    python_state, numpy_state, state, devices = states
    random.setstate(python_state)
    np.random.set_state(numpy_state)
    torch.set_rng_state(state)
    if devices:
        torch.cuda.set_rng_state_all(devices)
