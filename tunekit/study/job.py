"""One call of the main job, step by step."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Any

from tunekit.config import Config
from tunekit.errors import StoppedError
from tunekit.interrupt import Interrupted, listening, shield
from tunekit.study.clock import Clock
from tunekit.study.ending import one_judge, read_only, unjudged
from tunekit.study.result import Result
from tunekit.study.search import search, why_no_winner

if TYPE_CHECKING:
    import optuna
    from rich.console import Console

    from tunekit.store import Store
    from tunekit.trial import Engine

__all__ = ["Job", "dry_run", "run"]


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
            return Job(config, console, time.monotonic()).run()
    except Interrupted as stop:
        raise KeyboardInterrupt(str(stop)) from None


def dry_run(config: Config, *, console: Console | None = None) -> None:
    """Show what would be done, with the expected time; write nothing."""
    Job(config, console, time.monotonic()).dry_run()


class Job:
    """One call of the main job, step by step."""

    def __init__(self, config: Config, console: Console | None, began: float) -> None:
        from tunekit.data import load
        from tunekit.plan import Plan
        from tunekit.space import recipe_space

        self.clock = Clock(began, config.timeout)
        self.console = console or _quiet_when_unheard()
        table = load(**config.data_options())
        space = recipe_space(config.space, len(table.y_train))
        self.plan = Plan(self.console, config, table, space)
        # The first lines come before anything heavy is imported.
        self.plan.show()
        from tunekit.store import Store, settings_of
        from tunekit.workers import Setup

        if Store.exists(config.folder):
            config = config.as_begun_with(settings_of(config.folder))
        self.config, self.setup = config, Setup(config, table, space)
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
        from tunekit.budget import best_of
        from tunekit.files import allow_many
        from tunekit.store import Store, check_same, settings_of, widen
        from tunekit.tally import as_one
        from tunekit.warm import KEY

        allow_many()
        folder, settings = self.config.folder, self.setup.settings
        described = self.setup.table.describe()
        before: dict[str, Any] | None = None
        searched = False
        if Store.exists(folder) and not os.access(folder, os.W_OK):
            check_same(folder, settings, described)
            self._report, study = read_only(folder, settings)
            return self._show(self._report, study)
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
            searched = self._is_finished(store, before)
            lost = unjudged(folder, best_of(store.trials())) if searched else ""
            if searched and not lost:
                return self._finished(store)
            self._expect()
            if searched:
                self.plan.say(f"  {lost}: made again from the trials that are recorded")
            elif n := len(as_one(store.trials())):
                has = "one trial" if n == 1 else f"{n} trials"
                self.plan.say(f"  going on with the {has} it has")
        store.extend(settings)
        store.study.set_user_attr("finished", False)
        store.study.set_user_attr("versions", _versions())
        try:
            self._work(store, search_on=not searched)
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
        from tunekit.workers.room import check_room

        if short := check_room(self.setup):
            self.plan.say(f"  {short}")
        engine = self.engine
        if self._n_workers == 1:
            self.setup.expect(engine)

    @property
    def _n_workers(self) -> int:
        """Processes that search: no more than trials may be in flight."""
        return min(self.config.workers, self.config.open_trials)

    def _work(self, store: Store, *, search_on: bool) -> None:
        """Search, judge the winner, report; without searching, only the rest."""
        from tunekit.screen import Screen

        self.clock.share_out()
        budget = self.setup.budget(self.clock.search_until)
        left = self.clock.search_seconds_left
        values = self.setup.space.from_stored
        with Screen(self.console, budget, store.trials, values, left) as screen:
            if search_on:
                search(
                    store,
                    self.setup,
                    self.engine,
                    budget,
                    screen,
                    n_workers=self._n_workers,
                    until=self.clock.search_until,
                )
            with one_judge(self.config.folder, screen.phase):
                self._end(store, screen.phase)

    def _end(self, store: Store, say: Callable[[str], None]) -> None:
        """Judge the winner and report, unless another process has just done so."""
        from tunekit import report
        from tunekit.budget import best_of, epochs_of
        from tunekit.trial import Recipe
        from tunekit.winner import crown

        trials = store.trials()
        best = best_of(trials)
        if best is None:
            raise StoppedError(why_no_winner(store, self.config.timeout))
        attrs = store.study.user_attrs
        ended = [len(trials), epochs_of(trials), self.config.final_seeds]
        same = attrs.get("finished") and attrs.get("ended") == ended
        if same and not unjudged(self.config.folder, best):
            return
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
            say=say,
            seconds_left=self.clock.seconds_left,
        )
        say("writing the report")
        with shield():
            self._note_seconds(store)
            store.study.set_user_attr("engine", self.engine.name)
            store.study.set_user_attr("ended", ended)
            store.study.set_user_attr("finished", True)
            self._report = report.write(self.config.folder)

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

        found = self._report
        if found is None:
            # A process killed at the very end may have left all but the report.
            found, again = report.renew(self.config.folder)
            if again:
                self.plan.say("  the report is missing or damaged: made again")
        return self._show(found, store.study)

    def _show(self, found: dict[str, Any], study: optuna.Study) -> Result:
        from tunekit.closing import show_result, trials_frame
        from tunekit.tally import as_one

        show_result(self.console, self.config, found)
        trials = as_one(study.get_trials(deepcopy=False))
        return Result(self.config.folder, found, study, trials_frame(trials))


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
