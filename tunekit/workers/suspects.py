"""Trials that may have ended their processes: each is tried alone, or ends.

A process that is killed takes all its open trials with it. Should one of them be the
cause, such as by the memory that it needs, it would do so again and again. So whatever
twice was among those that were killed at one and the same epoch is first trained alone,
to that epoch's end. Nothing of it is recorded; with the others it comes to the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optuna.trial import FrozenTrial, Trial, TrialState

from tunekit.errors import TunekitError
from tunekit.store import Store
from tunekit.trial import Engine, Metrics, OnEpoch, Run
from tunekit.workers.candidates import Candidates
from tunekit.workers.ending import come_to
from tunekit.workers.runs import run_of

__all__ = ["try_suspects"]


def try_suspects(
    store: Store,
    engine: Engine,
    candidates: Candidates,
    on_end: Callable[[FrozenTrial], None],
) -> None:
    """Before a search goes on: end the trials that cannot be, try those that may be.

    Args:
        store: The study.
        engine: What trains.
        candidates: What is searched.
        on_end: Hears of every trial that has ended here.
    """
    for frozen, owner in store.suspects():
        params: Any = None

        def suggest(trial: Trial) -> None:
            nonlocal params
            params = candidates.suggest(trial)

        trial = store.take_up(frozen, suggest, alone=True)
        if trial is None:
            continue
        if owner.doomed:
            error = f"its process ended {owner.deaths} times while it was trained"
            known = come_to(store, candidates, engine.name, frozen)
            store.finish(trial, TrialState.FAIL, {**known, "error": error})
            on_end(store.tally()[trial.number])
            continue
        run = run_of(store, candidates, trial, params)
        try:
            engine.train(run, _until_new(store, trial.number, run))
        except TunekitError:
            raise
        except Exception:
            # It will raise this again where failures are recorded.
            pass
        store.absolve(trial.number)


def _until_new(store: Store, number: int, run: Run) -> OnEpoch:
    """Train up to the first epoch that was never recorded, and no further.

    What comes before it has been trained once: whoever is killed then is innocent.
    """

    def on_epoch(epoch: int, metrics: Metrics) -> bool:
        if epoch == run.reached:
            store.begin_epoch([number])
        return epoch <= run.reached

    if run.paused_at >= run.reached:
        store.begin_epoch([number])
    return on_epoch
