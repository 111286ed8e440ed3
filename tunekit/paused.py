"""Which trials are paused, and which of two trials are one.

A trial that begins or is promoted carries in its user attribute ``to_epoch`` how far it
is to be trained now; no other flag says that it is paused. Once a search has ended, its
paused trials are told PRUNED, with ``stopped`` "paused". Should a larger budget promote
one of these, a new trial goes on in its stead: it has the same hyperparameters and
reports, and the user attribute ``continues`` with the number of the old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from optuna.trial import FrozenTrial, TrialState

__all__ = ["chain_of", "is_paused", "may_go_on", "reached", "waiting"]


def reached(trial: FrozenTrial) -> int:
    """Epochs that a trial has reported.

    Example:
        >>> from optuna.trial import create_trial
        >>> reached(create_trial(value=1.0, intermediate_values={1: 2.0, 2: 1.0}))
        2
    """
    return max(trial.intermediate_values, default=0)


def is_paused(trial: FrozenTrial, max_epochs: float) -> bool:
    """Whether a trial waits to be promoted, while its search goes on.

    Example:
        >>> from optuna.trial import create_trial
        >>> trial = create_trial(
        ...     state=TrialState.RUNNING,
        ...     intermediate_values={1: 0.7, 2: 0.5},
        ...     user_attrs={"to_epoch": 2},
        ... )
        >>> is_paused(trial, 6), is_paused(trial, 2)
        (True, False)
    """
    if trial.state != TrialState.RUNNING:
        return False
    to_epoch = trial.user_attrs.get("to_epoch")
    return to_epoch is not None and to_epoch < max_epochs and reached(trial) >= to_epoch


def may_go_on(trial: FrozenTrial, max_epochs: float) -> bool:
    """Whether a trial is paused, or was when its search ended.

    Args:
        trial: One that no other continues.
        max_epochs: The longest a trial trains.
    """
    if trial.state == TrialState.PRUNED:
        return trial.user_attrs.get("stopped") == "paused"
    return is_paused(trial, max_epochs)


def waiting(trials: Iterable[FrozenTrial], max_epochs: float) -> list[int]:
    """Numbers of the trials that could be promoted, in their order.

    Args:
        trials: Without those that another one continues.
        max_epochs: The longest a trial trains.

    Example:
        >>> from optuna.trial import create_trial
        >>> reports, aim = {1: 0.7, 2: 0.5}, {"to_epoch": 2}
        >>> running = TrialState.RUNNING
        >>> trial = create_trial(
        ...     state=running, intermediate_values=reports, user_attrs=aim
        ... )
        >>> trial.number = 4
        >>> waiting([trial], 6), waiting([trial], 2)
        ([4], [])
    """
    return [
        t.number for t in trials if may_go_on(t, max_epochs) and reached(t) < max_epochs
    ]


def chain_of(trials: Sequence[FrozenTrial], number: int) -> list[int]:
    """A trial's number and those it continues, the first of them first.

    Args:
        trials: All trials, in order of number.
        number: The trial.

    Example:
        >>> from optuna.trial import create_trial
        >>> trials = [create_trial(value=1.0) for _ in range(3)]
        >>> trials[2].user_attrs = {"continues": 0}
        >>> chain_of(trials, 2), chain_of(trials, 1)
        ([0, 2], [1])
    """
    chain = [number]
    while (before := trials[chain[0]].user_attrs.get("continues")) is not None:
        chain.insert(0, before)
    return chain
