"""What a person sees while a model is watched: a line now and then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from tunekit.babysit.seldom import Turns
from tunekit.babysit.sitter import Told
from tunekit.babysit.steer import said
from tunekit.screen import settings

__all__ = ["Watching"]


class Watching:
    """Prints rounds, at most one a second and later one a minute, and every edit.

    Args:
        console: Where to.
        horizon: Epochs in all; None for no end.
        maximize: Whether higher values are better.
    """

    def __init__(
        self, console: Console, horizon: int | None, *, maximize: bool = False
    ) -> None:
        self._console, self._horizon = console, horizon
        self._sign = -1.0 if maximize else 1.0
        self._turns, self._doing = Turns(), ""

    def __call__(self, told: Told) -> None:
        """Hears of a round or an edit."""
        line = told.line
        if "refused" in line:
            self.say(f"refused: {line['refused']}; it goes on as it was")
        elif "edit" in line:
            self.say(f"as you wish: {said(line['edit'])}")
        else:
            self._round(told, line)

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(Text(text), soft_wrap=True)

    def _round(self, told: Told, line: Mapping[str, Any]) -> None:
        turned = line["doing"] == "rescue" != self._doing
        self._doing = line["doing"]
        if not self._turns.is_due(at_once=turned):
            return
        course = told.course
        of = "" if self._horizon is None else f" of {self._horizon}"
        head = f"{course.spent}{of} epochs, best {self._sign * course.best:.4f}"
        if turned:
            back = f"back to epoch {_start(told).epoch} with other settings"
            self.say(f"{head}: worse, or no better for long; {back}")
            return
        here = self._sign * course.here.loss
        if line["doing"] == "rescue":
            self.say(f"{head}: {len(line['branches'])} other settings are tried")
            return
        doing = {"burst": "nudged", "train": "trained", "cool": "cooling down"}
        with_these = settings(course.settings)
        self.say(f"{head}, now {here:.4f}: {doing[line['doing']]}, {with_these}")


def _start(told: Told) -> Any:
    course = told.course
    for point in course.line:
        if point.name == course.origin:
            return point
    return course.line[0]
