"""Which run a trial is to an engine."""

from __future__ import annotations

from typing import Any

from optuna.trial import Trial

from tunekit.paused import reached
from tunekit.store import Store
from tunekit.trial import Run
from tunekit.workers.candidates import Candidates

__all__ = ["BROKEN_OFF", "key_of", "run_of"]

BROKEN_OFF = "unfinished_seconds"
"""User attribute: training time of a trial that went into no epoch it completed."""


def key_of(store: Store, number: int) -> str:
    """The key of a trial's run."""
    return f"trial-{store.run_number(number)}"


def run_of(store: Store, candidates: Candidates, trial: Trial, params: Any) -> Run:
    """The run of a trial that is ours, from its latest checkpoint on.

    Args:
        store: The study.
        candidates: What is searched.
        trial: The trial.
        params: What was suggested to it.
    """
    settings = store.settings
    return Run(
        recipe=candidates.recipe(params),
        params=params,
        max_epochs=settings["max_epochs"],
        patience=settings["patience"],
        seed=settings["seed"],
        key=key_of(store, trial.number),
        reached=reached(store.tally()[trial.number]),
        state=store.state(trial),
        max_seconds=settings.get("trial_timeout"),
        spent=trial.user_attrs.get(BROKEN_OFF, 0.0),
    )
