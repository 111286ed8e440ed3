"""How the best value improved while a study went on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from optuna.trial import FrozenTrial

__all__ = ["history"]


def history(
    trials: Sequence[FrozenTrial], order: Iterable[int], *, maximize: bool = False
) -> list[tuple[int, float]]:
    """(epochs trained in all, best value so far) at each improvement.

    Args:
        trials: All trials.
        order: For each recorded epoch, in the order of the work, the id of its trial.
        maximize: Whether higher values are better.
    """
    sign = -1.0 if maximize else 1.0
    left: dict[int, Iterator[float]] = {}
    for trial in trials:
        # What it has from the one that it continues was another's work.
        before = trial.user_attrs.get("continues")
        known = 0 if before is None else len(trials[before].intermediate_values)
        values = [value for _, value in sorted(trial.intermediate_values.items())]
        left[trial._trial_id] = iter(values[known:])
    found: list[tuple[int, float]] = []
    for epochs, trial_id in enumerate(order, start=1):
        value = next(left.get(trial_id, iter(())), math.nan)
        if math.isfinite(value) and (not found or sign * value < sign * found[-1][1]):
            found.append((epochs, value))
    return found
