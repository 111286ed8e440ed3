"""Rungs: epoch counts at which trials are compared, and who goes on from one.

A trial stops at a rung and is paused; the best of those that reached it are promoted to
the next. The plain rule is asynchronous successive halving (ASHA, Li et al. 2020): it
waits for nobody, so that it suits several trials in flight. No Optuna and no torch
here: pure functions of what is recorded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = [
    "Begin",
    "Chooser",
    "Promote",
    "Seen",
    "epochs_for",
    "halving",
    "ladder",
    "next_rung",
]


@dataclass(frozen=True)
class Promote:
    """A paused trial goes on."""

    number: int
    to_epoch: int
    """Counted from the trial's beginning."""


@dataclass(frozen=True)
class Begin:
    """A new trial begins."""

    to_epoch: int


class Chooser(Protocol):
    """Decides what is trained next; a pure function of the trials."""

    @property
    def begin(self) -> Begin:
        """A new trial, should nothing else be possible."""
        ...

    def choose(self, trials: Sequence[Any]) -> Promote | Begin | None:
        """What to do next, given all trials; None when there is nothing now."""
        ...

    def surplus(self, trials: Sequence[Any]) -> list[int]:
        """Paused trials to let go for good, so that what is kept stays bounded."""
        ...


@dataclass(frozen=True)
class Seen:
    """What is known of one trial at the rungs."""

    number: int
    losses: tuple[float, ...]
    """The lowest loss up to each rung that it has reached, in their order."""
    paused: bool
    """Whether it can go on from the last of them."""


def ladder(max_epochs: int, *, eta: int = 3, first: int = 1) -> tuple[int, ...]:
    """The rungs: ``max_epochs`` divided by powers of ``eta``, rounded up, ascending.

    Args:
        max_epochs: The longest a trial trains; the last rung.
        eta: Of so many at a rung one goes on.
        first: No rung is below this many epochs.

    Raises:
        ValueError: If there can be no such rungs.

    Example:
        >>> ladder(50), ladder(50, first=5), ladder(1)
        ((1, 2, 6, 17, 50), (6, 17, 50), (1,))
    """
    if max_epochs < 1 or eta < 2:
        raise ValueError(
            "rungs need max_epochs of at least 1 and eta of at least 2, got "
            f"{max_epochs} and {eta}"
        )
    rungs = [max_epochs]
    divisor = eta
    while rungs[-1] > 1 and (rung := math.ceil(max_epochs / divisor)) >= first:
        rungs.append(rung)
        divisor *= eta
    return tuple(sorted(set(rungs)))


def epochs_for(n_trials: int, max_epochs: int) -> int:
    """Epochs for so many trials, of which the best are promoted.

    A quarter of what all would take is about what halving spends: every trial has its
    first rung, and each rung above has a third of the trials. One at least gets to its
    end.

    Example:
        >>> epochs_for(30, 50), epochs_for(1, 50)
        (375, 50)
    """
    least = max_epochs + (n_trials - 1) * ladder(max_epochs)[0]
    return max(least, math.ceil(n_trials * max_epochs / 4))


def next_rung(rungs: Sequence[int], epoch: int) -> int:
    """The first rung above ``epoch``.

    Raises:
        ValueError: If there is none.

    Example:
        >>> next_rung((1, 2, 6, 17, 50), 6), next_rung((1, 2, 6, 17, 50), 7)
        (17, 17)
    """
    for rung in rungs:
        if rung > epoch:
            return rung
    raise ValueError(f"a rung above {epoch} is wanted, and {rungs[-1]} is the last")


def halving(seen: Sequence[Seen], rungs: Sequence[int], eta: int = 3) -> Promote | None:
    """Asynchronous successive halving: whom to promote, if anyone.

    From the highest rung down: the best paused trial there, if it is among the best one
    in ``eta`` of all that ever reached that rung.

    Args:
        seen: All trials, in any order.
        rungs: As :func:`ladder` gives them.
        eta: Of so many at a rung one goes on.

    Example:
        >>> trials = [Seen(n, (loss,), True) for n, loss in enumerate([0.5, 0.2, 0.9])]
        >>> halving(trials, (1, 3)), halving(trials[:2], (1, 3))
        (Promote(number=1, to_epoch=3), None)
    """
    for place in range(len(rungs) - 2, -1, -1):
        here = [each for each in seen if len(each.losses) > place]
        here.sort(key=lambda each: (each.losses[place], each.number))
        for each in here[: len(here) // eta]:
            if each.paused and len(each.losses) == place + 1:
                return Promote(each.number, rungs[place + 1])
    return None
