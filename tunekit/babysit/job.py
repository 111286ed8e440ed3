"""One call of the command: tunekit's own network on a table, watched to its end."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from tunekit.babysit.course import Course
from tunekit.babysit.folder import Folder
from tunekit.babysit.nudges import Settings
from tunekit.babysit.options import Options
from tunekit.babysit.pages import described, write_pages
from tunekit.babysit.schedule import schedule_of
from tunekit.babysit.seldom import Seldom
from tunekit.babysit.sitter import Sitter, Told
from tunekit.babysit.steer import FILE
from tunekit.babysit.telling import Telling
from tunekit.babysit.watching import Watching
from tunekit.errors import StoppedError
from tunekit.interrupt import shield
from tunekit.predict import save
from tunekit.states import part_of
from tunekit.store import Store
from tunekit.trial import Fitted, Recipe

if TYPE_CHECKING:
    from rich.console import Console

    from tunekit.data import Table
    from tunekit.trial import State

__all__ = ["Job", "judged", "run_of"]

_NEVER = 10**9
_KEPT_BACK = 3.0
"""Seconds of a time limit for the model's evaluation and the report."""
_LONG = 10 * 2**20
"""Bytes of a history that takes a while to be read."""
_RENEW_SECONDS = 30.0
"""``model/`` and the report are renewed at most so often while training goes on."""


class Job:
    """One call.

    Args:
        options: All of them.
        console: Where to print.
        began: When the command began (``time.monotonic()``).
    """

    def __init__(self, options: Options, console: Console, began: float) -> None:
        from tunekit.workers.setup import Setup

        self.options, self.console = options, console
        self.setup = Setup.of(dataclasses.replace(options.config, space={}))
        self.table: Table = self.setup.table
        self.folder = Folder(options.folder)
        timeout = options.config.timeout
        self._until = None if timeout is None else began + timeout - _KEPT_BACK
        self._stale, self._known = True, math.inf
        self._seldom = Seldom(_RENEW_SECONDS)
        self._watching = Watching(console, options.config.budget_epochs)

    def run(self) -> dict[str, Any]:
        """Train, or go on; judge and report.

        Returns:
            What ``report.json`` holds.
        """
        folder, options, settings = (
            self.folder,
            self.options,
            self.options.as_settings(),
        )
        if folder.exists:
            options.check_same(folder.settings())
            folder.check_data(self.table.describe())
        else:
            Store.check_place(folder.path)
            folder.create(settings, self.table.describe())
        with folder.alone(), closing(self.setup.engine()) as engine:
            folder.widen(settings)
            self._sitter = sitter = Sitter(
                engine,
                run_of(options.recipe),
                folder,
                options.knobs,
                options.start,
                options.rules,
                seed=options.config.seed,
                held=list(options.hold),
                until=self._until,
                tell=self._hear,
            )
            for line in self._first(sitter.course, sitter.trouble):
                self._watching.say(line)
            if folder.lines.size > _LONG:
                self._watching.say("reading its history, which is long")
            say = self._watching.say
            self._telling = Telling(folder.lines, folder.path / "tb", hear=say)
            with closing(self._telling):
                course = sitter.sit()
            return self._end(course)

    def _first(self, course: Course, trouble: str) -> list[str]:
        folder, table = self.folder.path, self.table
        lines = [
            f"{table.source}: {len(table.y_train):,} rows to train on, "
            f"{len(table.y_valid):,} to watch the loss on, {len(table.classes)} "
            "classes",
            f"to step in, edit {folder / FILE}; to watch, tensorboard --logdir "
            f"{folder / 'tb'}",
        ]
        config = self.options.config
        if config.budget_epochs is None and config.timeout is None:
            lines.append(
                f"it trains until stop = true is in {FILE}, which judges the model and "
                "writes its report; Ctrl-C pauses"
            )
        if trouble:
            lines.append(trouble)
        if course.rounds:
            lines.append(f"going on after {course.spent} epochs")
        return lines

    def _hear(self, told: Told) -> None:
        self._telling(told.line)
        self._watching(told)
        course = told.course
        # A gain soon after the last is saved, too, with a later round.
        self._stale |= course.best < self._known
        self._known = min(self._known, course.best)
        if course.best_at:
            self._seldom(lambda: self._renew(course))

    def _renew(self, course: Course) -> None:
        """Bring ``model/`` and the report up to where training is."""
        if self._stale:
            self._save(course)
            self._stale = False
        self._write_pages(course, ended=False)

    def _save(self, course: Course) -> State:
        """Bring ``model/`` up to date with the best epoch."""
        state = self.folder.load(course.best_at)
        if state is None:
            raise StoppedError(
                f"{self.folder.path} must hold the checkpoint of the best epoch, got "
                "none that can be read; run the same command again"
            )
        with shield():
            # What is told of an earlier model does not stand beside this one.
            for name in ("report.json", "report.html"):
                (self.folder.path / name).unlink(missing_ok=True)
            save(
                self.folder.path,
                network_state=part_of(state, "best"),
                recipe=self.options.recipe,
                n_inputs=self.table.n_inputs,
                classes=self.table.classes,
                preprocessor=self.table.preprocessor,
                info={"val_loss": course.best, "epoch": course.lowest_epoch},
            )
        return state

    def _end(self, course: Course) -> dict[str, Any]:
        """Save, judge on the test rows, report."""
        if not course.best_at and not course.rounds:
            got = "no time for it; run the same command again, with more"
            if self._sitter.stopped:
                got = f"stop = true in {FILE}; take it out and run the command again"
            raise StoppedError(
                f"training must come to the end of a first round, got {got}"
            )
        if not course.best_at:
            raise StoppedError(
                "training must come to a finite loss, got none with any setting tried; "
                "begin with a lower learning rate (--set lr=1e-4) and another --name"
            )
        state = self._save(course)
        test = judged(self.table, self.options.recipe, state)
        report = self._write_pages(course, ended=True, test=test)
        self._tell_end(course, report)
        return report

    def _write_pages(
        self, course: Course, *, ended: bool, test: Any = None
    ) -> dict[str, Any]:
        account = self._telling.account
        report = described(
            self.options.config.name,
            course,
            account,
            schedule_of(self.folder.lines.backwards(), course.best_at),
            metric="val_loss",
            seconds=self._sitter.seconds,
            ended=ended,
        )
        report["test"], report["kind"] = test, "table"
        write_pages(self.folder.path, report, account, self.options.knobs)
        return report

    def _tell_end(self, course: Course, report: Mapping[str, Any]) -> None:
        test, folder = report["test"], self.folder.path
        low, high = test["error_interval"]
        say = self._watching.say
        say("")
        say(
            f"after {course.spent} epochs: lowest validation loss {course.best:.4f}, "
            f"at epoch {course.lowest_epoch} of those that were kept"
        )
        say(
            f"test accuracy {1 - test['error']:.2%} on {test['rows']:,} rows that "
            f"nothing had seen (error {low:.2%} to {high:.2%})"
        )
        say(f"report {folder / 'report.html'}, model {folder / 'model'}")
        say(f"to go on, {self._way_on(course)}")

    def _way_on(self, course: Course) -> str:
        """What is to be done for more training."""
        budget = self.options.config.budget_epochs
        if budget is not None and course.spent >= budget:
            return "run the same command with a larger --budget-epochs"
        if self._sitter.stopped:
            return f"take stop = true out of {FILE} and run the same command"
        return "run the same command"


def run_of(recipe: Recipe) -> Callable[[Settings], Mapping[str, Any]]:
    """The arguments of a run of tunekit's own network with some settings."""

    def with_settings(settings: Settings) -> Mapping[str, Any]:
        return {"recipe": recipe.with_params(settings), "max_epochs": _NEVER}

    return with_settings


def judged(table: Table, recipe: Recipe, state: State) -> dict[str, Any]:
    """Loss and error on the test rows, with intervals."""
    from tunekit.winner.judge import Judge, test_figures

    fitted = Fitted(
        curve=[], best_epoch=1, weights=part_of(state, "best"), diverged=False
    )
    judge = Judge(table)
    figures = judge.figures(judge.probabilities(recipe, fitted))
    return test_figures([figures])
