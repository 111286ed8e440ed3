"""The search of one call of the main job, in this process and in others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunekit.budget import Budget
    from tunekit.screen import Screen
    from tunekit.store import Store
    from tunekit.trial import Engine
    from tunekit.workers import Setup

__all__ = ["search", "why_no_winner"]

_POLL_SECONDS = 0.2


def search(
    store: Store,
    setup: Setup,
    engine: Engine,
    budget: Budget,
    screen: Screen,
    *,
    n_workers: int,
    until: float | None,
) -> None:
    """Train until the budget is spent, in this process and in others.

    Args:
        store: The study.
        setup: Its parts.
        engine: What trains here.
        budget: When to stop.
        screen: Hears of what ends, and of trouble.
        n_workers: Processes that search.
        until: When the search must end (``time.monotonic()``), if ever.
    """
    from optuna.trial import TrialState

    from tunekit.paused import is_paused
    from tunekit.workers import end_paused, search_beside, work

    def someone_trains() -> bool:
        return any(
            t.state == TrialState.RUNNING and not is_paused(t, setup.config.max_epochs)
            for t in store.trials()
        )

    if n_workers > 1 and store.next_step(budget.allows) is not None:
        setup.board()  # before all of them write the same file
        search_beside(
            store,
            setup.config.folder,
            n_workers,
            until=until,
            on_end=screen.ended,
            say=screen.phase,
        )
    board = setup.board()
    while True:
        # With one worker this is the search; after several, whatever one of them
        # left; beside another command on this study, what that one still trains.
        work(
            store,
            engine,
            setup.space,
            budget,
            board=board,
            on_end=screen.ended,
            in_flight=setup.config.open_trials,
        )
        if not someone_trains():
            break
        time.sleep(_POLL_SECONDS)
    end_paused(store, setup.space, engine.name)
    if board.trouble is not None:
        screen.phase(f"TensorBoard's files could not be written: {board.trouble}")
    if store.trouble:
        screen.phase(store.trouble)
    if engine.trouble:
        screen.phase(f"{engine.trouble}; nothing was lost")


def why_no_winner(store: Store, timeout: float | None) -> str:
    """One line for a search without a single finite epoch.

    Args:
        store: The study.
        timeout: Seconds the command had, if they were limited.
    """
    from tunekit.tally import as_one

    trials = as_one(store.trials())
    if not trials:
        limit = "the budget" if timeout is None else f"--timeout {timeout:g}s"
        return (
            f"a winner needs at least one epoch of training, and {limit} was spent "
            "before one was done; give it more and run the same command again"
        )
    errors = [t.user_attrs["error"] for t in trials if "error" in t.user_attrs]
    if len(errors) == len(trials):
        return (
            "a winner needs at least one trial that does not fail, and all of "
            f"{len(trials)} did, the last with: {errors[-1]}; mend that and "
            "give more trials, or another space under another --name"
        )
    return (
        "a winner needs at least one epoch with a finite loss, and none of "
        f"{len(trials)} trials had one; raise the budget or narrow the learning "
        "rate (--set lr=1e-4..1e-2)"
    )
