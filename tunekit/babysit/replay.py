"""A babysat model's schedule, trained once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tunekit.babysit.course import START
from tunekit.babysit.folder import Folder
from tunekit.babysit.nowhere import Nowhere
from tunekit.babysit.nudges import Settings
from tunekit.babysit.rounds import Keep, train_round
from tunekit.babysit.schedule import Stretch, as_rounds
from tunekit.errors import StoppedError
from tunekit.trial import Engine, State

__all__ = ["KeepOne", "best_of", "replayed"]

RunOf = Callable[[int | None], Callable[[Settings], Mapping[str, object]]]
"""From a stretch's horizon, and then its settings, to the arguments of a run."""


class KeepOne(Keep, Protocol):
    """Where a replay has its checkpoint."""

    def forget_all_but(self, name: str) -> None:
        """Let go of every other checkpoint."""


def best_of(folder: Folder) -> str:
    """The checkpoint of the best epoch of a model that is kept in a folder.

    Raises:
        ResumeError: The folder is damaged.
        StoppedError: It has not come to its first finite value.
    """
    found = folder.stand()
    if found is None or found[0].best_at == START:
        raise StoppedError(
            f"{folder.path} must have come to a first finite loss, and has not; run "
            "its command again first"
        )
    return found[0].best_at


def replayed(
    schedule: Sequence[Stretch],
    engine: Engine,
    run_of: RunOf,
    *,
    seed: int,
    maximize: bool = False,
    keep: KeepOne | None = None,
    before: Sequence[float] = (),
    begin: Callable[[list[float]], None] = lambda curve: None,
    hear: Callable[[int, float], None] = lambda epoch, value: None,
) -> tuple[list[float], State]:
    """Train a schedule without watching.

    Args:
        schedule: What :func:`tunekit.babysit.schedule.schedule_of` gives.
        engine: What trains.
        run_of: The arguments of a run; each stretch has the horizon that it had.
        seed: With the model's own seed it comes to its weights, to the last bit.
        maximize: Whether higher values are better; those returned are negative then.
        keep: Where the checkpoint is; in memory when None.
        before: The values of whole stretches that were trained before, whose end, or a
            later state, is in ``keep``.
        begin: Hears, before every stretch, of the values so far.
        hear: Hears of every epoch, from 1, and its value.

    Returns:
        The value of each epoch, and the state after the last.

    Raises:
        StoppedError: It diverges.
    """
    keep = Nowhere() if keep is None else keep
    sign = -1.0 if maximize else 1.0
    curve, epochs, name = list(before), 0, START

    def counted(already: int) -> Callable[[int, float], None]:
        return lambda epoch, value: hear(already + epoch, sign * value)

    for stretch, each in zip(schedule, as_rounds(schedule), strict=True):
        epochs, name = epochs + stretch.epochs, each.checkpoint(0)
        if epochs <= len(before):
            continue
        begin(curve)
        found = train_round(
            engine,
            each,
            run_of(stretch.horizon),
            keep,
            seed=seed,
            maximize=maximize,
            hear=counted(len(curve)),
        )
        assert found is not None  # there is no limit of time
        (outcome,) = found
        curve += outcome.val
        if outcome.checkpoint is None:
            raise StoppedError(
                f"the schedule must train to a finite loss with seed {seed}, too, and "
                f"diverged after {len(curve)} epochs; choose another seed"
            )
        keep.forget_all_but(name)
    state = keep.load(name)
    assert state is not None
    return curve, state
