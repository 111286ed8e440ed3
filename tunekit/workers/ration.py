"""Sharing out what is left of a budget among the trials that are open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunekit.trial import Heard
from tunekit.workers.attempt import Attempt

__all__ = ["unpaid"]


def unpaid(
    attempts: Mapping[str, Attempt],
    heard: Sequence[Heard],
    left: float,
    rounds: float,
) -> list[Attempt]:
    """Those for whom no epoch is left; the earlier trials come first.

    Args:
        attempts: All that are open, by key of their run.
        heard: The epochs of this round.
        left: Epochs that may still begin.
        rounds: Epochs of a single trial for which there is time.
    """
    now = {each.run.key: each for each in heard}
    stopped = []
    for key, attempt in sorted(attempts.items(), key=lambda item: item[1].number):
        each = now.get(key)
        done = attempt.stopped or attempt.pausing
        if done or (each is not None and each.over):
            continue
        # One that is behind is only trained again: it costs nothing, and those that
        # wait for it have been given their next epoch already.
        paid = each is None or each.epoch >= each.run.reached
        if each is not None and (rounds < 1 or (paid and left < 1)):
            stopped.append(attempt)
        else:
            left -= 1
            rounds -= 1
    return stopped
