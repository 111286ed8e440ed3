"""One call of the main job, step by step."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

from tunekit.config import Config
from tunekit.errors import StoppedError
from tunekit.interrupt import Interrupted, listening, shield
from tunekit.study.clock import Clock
from tunekit.study.result import Result

if TYPE_CHECKING:
    from rich.console import Console

    from tunekit.budget import Budget
    from tunekit.screen import Screen
    from tunekit.store import Store
    from tunekit.trial import Engine

__all__ = ["Job", "dry_run", "run"]

_POLL_SECONDS = 0.2


def run(config: Config, *, console: Console | None = None) -> Result:
    """Run a study to its end, or go on with one that was stopped.

    Args:
        config: All options.
        console: Where to draw; standard output when None.

    Raises:
        DataError: The table cannot be used.
        ConfigError: An option does not fit the table.
        ResumeError: The folder holds another study.
        StoppedError: It had to stop, and can be resumed.
        KeyboardInterrupt: After Ctrl-C; everything is kept.
    """
    try:
        with listening():
            return Job(config, console, time.time()).run()
    except Interrupted as stop:
        raise KeyboardInterrupt(str(stop)) from None


def dry_run(config: Config, *, console: Console | None = None) -> None:
    """Show what would be done, with the expected time; write nothing."""
    Job(config, console, time.time()).dry_run()


class Job:
    """One call of the main job, step by step."""

    def __init__(self, config: Config, console: Console | None, began: float) -> None:
        from tunekit.data import load
        from tunekit.plan import Plan
        from tunekit.space import recipe_space

        self.config, self.clock = config, Clock(began, config.timeout)
        self.console = console or _quiet_when_unheard()
        table = load(**config.data_options())
        space = recipe_space(config.space, len(table.y_train))
        self.plan = Plan(self.console, config, table, space)
        # The first lines come before anything heavy is imported.
        self.plan.show()
        from tunekit.workers import Setup

        self.setup = Setup(config, table, space)
        self._engine: Engine | None = None
        self._report: dict[str, Any] | None = None

    def dry_run(self) -> None:
        """Show the whole plan and how long it may take; write nothing."""
        from tunekit.store import Store

        if not Store.exists(self.config.folder):
            Store.check_place(self.config.folder)
        self.plan.show_space()
        try:
            self.plan.show_expected_time(self.engine, self.setup.default_recipe())
        finally:
            if self._engine is not None:
                self._engine.close()

    def run(self) -> Result:
        """Search, judge, report; or say that all this is done."""
        try:
            return self._run()
        finally:
            if self._engine is not None:
                self._engine.close()

    def _run(self) -> Result:
        from tunekit.files import allow_many
        from tunekit.store import Store, check_same, settings_of, widen
        from tunekit.tally import as_one
        from tunekit.warm import KEY

        allow_many()
        folder, settings = self.config.folder, self.setup.settings
        described = self.setup.table.describe()
        before: dict[str, Any] | None = None
        if Store.exists(folder):
            before = settings_of(folder)
            if self.config.extend:
                same = settings | {"space": before.get("space", {})}
                check_same(folder, same, described)
                if widen(folder, settings, self.setup.space):
                    self.plan.say("  the space is wider now; what was tried is kept")
            check_same(folder, settings, described)
        else:
            if self.config.warm_start is not None:
                warm = self.setup.warm()
                described[KEY] = warm.configurations
                self.plan.say(f"  {warm}")
            self._expect()
            Store.create(folder, settings, described)
        store = self.setup.open()
        self.clock.before = store.study.user_attrs.get("seconds", 0.0)
        if before is not None:
            if self._is_finished(store, before):
                return self._finished(store)
            self._expect()
            if n := len(as_one(store.trials())):
                has = "one trial" if n == 1 else f"{n} trials"
                self.plan.say(f"  going on with the {has} it has")
        store.extend(settings)
        store.study.set_user_attr("finished", False)
        store.study.set_user_attr("versions", _versions())
        try:
            self._work(store)
        finally:
            # On a full disk this fails, too; the first error is the one to tell.
            with shield(), contextlib.suppress(OSError, AssertionError):
                if not store.study.user_attrs.get("finished"):
                    self._note_seconds(store)  # else the report would say another time
            store.release_all()
        return self._finished(store)

    @property
    def engine(self) -> Engine:
        """What trains; made when first asked for, because that may import torch."""
        if self._engine is None:
            self._engine = self.setup.engine()
        return self._engine

    def _expect(self) -> None:
        """Make ready to search, or refuse; before anything is written.

        And before torch is imported, so that what helps us imports it while we do.
        """
        engine = self.engine
        if self._n_workers == 1:
            self.setup.expect(engine)

    @property
    def _n_workers(self) -> int:
        """Processes that search: no more than trials may be in flight."""
        config = self.config
        return min(config.workers, config.in_flight or config.workers)

    def _work(self, store: Store) -> None:
        """Search, judge the winner, report."""
        from tunekit import report
        from tunekit.budget import best_of
        from tunekit.screen import Screen
        from tunekit.trial import Recipe
        from tunekit.winner import crown

        self.clock.share_out()
        budget = self.setup.budget(self.clock.search_until)
        left = self.clock.search_seconds_left
        values = self.setup.space.from_stored
        with Screen(self.console, budget, store.trials, values, left) as screen:
            self._search(store, budget, screen)
            best = best_of(store.trials())
            if best is None:
                raise StoppedError(self._why_no_winner(store))
            space = self.setup.space
            params = {**space.fixed, **space.from_stored(best.params)}
            crown(
                best,
                Recipe().with_params(params),
                default=self.setup.default_recipe(),
                engine=self.engine,
                table=self.setup.table,
                settings=store.settings,
                folder=self.config.folder,
                say=screen.phase,
                seconds_left=self.clock.seconds_left,
            )
            screen.phase("writing the report")
            with shield():
                self._note_seconds(store)
                store.study.set_user_attr("engine", self.engine.name)
                store.study.set_user_attr("finished", True)
                self._report = report.write(self.config.folder)

    def _why_no_winner(self, store: Store) -> str:
        """One line for a search without a single finite epoch."""
        from tunekit.tally import as_one

        trials = as_one(store.trials())
        if not trials:
            limit = (
                f"--timeout {self.config.timeout:g}s"
                if self.config.timeout is not None
                else "the budget"
            )
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

    def _search(self, store: Store, budget: Budget, screen: Screen) -> None:
        """Train until the budget is spent, in this process and in others."""
        from optuna.trial import TrialState

        from tunekit.paused import is_paused
        from tunekit.workers import end_paused, search_beside, work

        def someone_trains() -> bool:
            return any(
                t.state == TrialState.RUNNING
                and not is_paused(t, self.config.max_epochs)
                for t in store.trials()
            )

        if self._n_workers > 1 and store.next_step(budget.allows) is not None:
            self.setup.board()  # before all of them write the same file
            search_beside(
                store,
                self.config.folder,
                self._n_workers,
                until=self.clock.search_until,
                on_end=screen.ended,
                say=screen.phase,
            )
        board = self.setup.board()
        while True:
            # With one worker this is the search; after several, whatever one of them
            # left; beside another command on this study, what that one still trains.
            work(
                store,
                self.engine,
                self.setup.space,
                budget,
                board=board,
                on_end=screen.ended,
                in_flight=self.config.in_flight or 1,
            )
            if not someone_trains():
                break
            time.sleep(_POLL_SECONDS)
        end_paused(store, self.setup.space, self.engine.name)
        if board.trouble is not None:
            screen.phase(f"TensorBoard's files could not be written: {board.trouble}")
        if self.engine.trouble:
            screen.phase(f"{self.engine.trouble}; nothing was lost")

    def _note_seconds(self, store: Store) -> None:
        """Record the wall time spent on this study, in all its runs."""
        store.study.set_user_attr("seconds", round(self.clock.total, 3))

    def _is_finished(self, store: Store, before: dict[str, Any]) -> bool:
        """Whether the folder already holds the result of this budget."""
        from optuna.trial import TrialState

        if not store.study.user_attrs.get("finished"):
            return False
        if any(trial.state == TrialState.RUNNING for trial in store.trials()):
            return False
        if before.get("final_seeds") != self.config.final_seeds:
            return False
        if store.next_step(self.setup.budget(None).allows) is None:
            return True
        old, new = before.get("timeout"), self.config.timeout
        return old is not None and new is not None and new <= old

    def _finished(self, store: Store) -> Result:
        """The closing table, and everything as Python objects."""
        from tunekit import report
        from tunekit.closing import show_result, trials_frame
        from tunekit.tally import as_one

        folder = self.config.folder
        # A process killed at the very end may have left all but the report.
        tell = report.build if (folder / "report.json").exists() else report.write
        found = self._report or tell(folder)
        show_result(self.console, self.config, found)
        return Result(folder, found, store.study, trials_frame(as_one(store.trials())))


def _versions() -> dict[str, str]:
    """What the study is made with; recorded, so that a report can say so later."""
    packages = ("torch", "pytorch-lightning", "optuna", "numpy", "pandas")
    found = {name: metadata.version(name) for name in packages}
    return {"python": platform.python_version(), **found}


def _quiet_when_unheard() -> Console:
    """A console that falls silent when whoever read it has gone (``| head``)."""
    from rich.console import Console

    class Quiet(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True
            # What Python flushes at exit must go somewhere, too.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    return Quiet(highlight=False)
