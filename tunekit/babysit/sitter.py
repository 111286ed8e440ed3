"""One model watched over: round by round, until its budget is spent.

The sitter decides nothing itself (:mod:`tunekit.babysit.decide` does) and trains
nothing (an engine does): it brings what the person wrote, has a round trained, writes
down what came of it, and tells whoever watches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunekit.babysit.course import Course, Outcome, Round, Rules
from tunekit.babysit.decide import after, next_round
from tunekit.babysit.folder import Folder
from tunekit.babysit.nowhere import Nowhere
from tunekit.babysit.nudges import Knob, Settings
from tunekit.babysit.outside import reopened, steered, without
from tunekit.babysit.pace import Pace
from tunekit.babysit.rounds import train_round
from tunekit.babysit.schedule import check_known
from tunekit.babysit.steer import FILE, Edit, content, edit_of, parsed, template
from tunekit.errors import ConfigError
from tunekit.interrupt import shield
from tunekit.trial import Engine

__all__ = ["Sitter", "Told"]

_UNREADABLE = "\0"
"""Stands for what the person's file says where it is no text."""


@dataclass(frozen=True)
class Told:
    """What whoever watches hears.

    Attributes:
        course: Where the model stands.
        line: A line of the history: a round, an edit, or an edit that was refused.
    """

    course: Course
    line: Mapping[str, Any]


class Sitter:
    """Watches over one model.

    Args:
        engine: What trains.
        run_of: The arguments of a run with some settings.
        keep: Where all is kept.
        knobs: Hyperparameters that can change.
        start: Their values at the start.
        rules: How closely it is watched.
        seed: The seed of everything random.
        held: Knobs that are not nudged.
        maximize: Whether higher values are better.
        until: When to have ended (``time.monotonic()``); None for no limit.
        tell: Hears of every round and edit.

    Attributes:
        course: Where the model stands.
        trouble: A line on what was damaged and what was done; empty when nothing was.
    """

    def __init__(
        self,
        engine: Engine,
        run_of: Callable[[Settings], Mapping[str, Any]],
        keep: Folder | Nowhere,
        knobs: Mapping[str, Knob],
        start: Settings,
        rules: Rules,
        *,
        seed: int = 0,
        held: list[str] | None = None,
        maximize: bool = False,
        until: float | None = None,
        tell: Callable[[Told], None] = lambda told: None,
    ) -> None:
        self._engine, self._run_of, self._keep = engine, run_of, keep
        self._knobs, self._rules, self._seed = knobs, rules, seed
        self._maximize, self._pace, self._tell = maximize, Pace(until), tell
        self._held = list(held or ())
        self.course, self.trouble = Course(start, held=self._held), ""
        self._said: dict[str, Any] = {}
        self._text = ""
        self._before, self._opened = 0.0, time.monotonic()
        self._asked = Edit()
        self._steer: Path | None = None
        if isinstance(keep, Folder):
            self._steer = keep.path / FILE
            self._resume(keep)

    @property
    def seconds(self) -> float:
        """Seconds that this model was trained for, in all processes."""
        return self._before + time.monotonic() - self._opened

    @property
    def stopped(self) -> bool:
        """Whether the person's file says that training is to end."""
        return bool(self._said.get("stop"))

    def sit(self) -> Course:
        """Train until the budget is spent, the time is up, or a person says stop."""
        if self._steer is not None and not self._steer.exists():
            self._steer.write_text(template(self.course.settings), "utf-8")
        if self._asked:
            self._take(self._asked, {})
        self._pace.begin()
        while True:
            self._heed()
            tried = next_round(self.course, self._rules, self._knobs, self._seed)
            if tried is not None:
                planned = self._pace.planned(
                    self.course, tried, self._rules, self._knobs
                )
                if planned is not self.course:
                    self.course = planned
                    tried = next_round(planned, self._rules, self._knobs, self._seed)
            if tried is None or self._pace.is_late or not self._round(tried):
                return self.course
            self._pace.took(tried)

    def _round(self, tried: Round) -> bool:
        """Train a round; whether there was time for all of it."""
        outcomes = train_round(
            self._engine,
            tried,
            self._run_of,
            self._keep,
            seed=self._seed,
            maximize=self._maximize,
            until=self._pace.until,
        )
        if outcomes is None:
            return False
        course, kept = after(self.course, tried, outcomes, self._rules, self._knobs)
        self._write(course, self._line(tried, outcomes, course, kept))
        return True

    def _line(
        self,
        tried: Round,
        outcomes: list[Outcome],
        course: Course,
        kept: int | None,
    ) -> dict[str, Any]:
        """A round as a line of the history: values as they are, not as they compare."""
        sign = -1.0 if self._maximize else 1.0
        return {
            "round": tried.number,
            "doing": tried.doing,
            "spent": course.spent,
            "epochs": tried.epochs,
            "kept": kept,
            "best": _json(sign * course.best),
            "line": course.here.name,
            "horizon": self._rules.horizon,
            "branches": [
                {
                    "from": source,
                    "to": outcome.checkpoint,
                    "settings": settings,
                    "train": _told(outcome.train, outcome),
                    "val": [_json(sign * value) for value in outcome.val],
                    "score": _told(outcome.score, outcome),
                }
                for (source, settings), outcome in zip(
                    tried.branches, outcomes, strict=True
                )
            ],
        }

    def _heed(self) -> None:
        """Take what the person wrote since, or say in a line why not."""
        if self._steer is None:
            return
        before = self._text
        try:
            self._text = _UNREADABLE
            self._text = text = content(self._steer, before)
            if text == before:
                return
            said = parsed(text, self._knobs)
        except ConfigError as error:
            if self._text != before:
                self._write(self.course, {"refused": str(error), **self._when()})
            return
        edit = edit_of(said, self._said)
        opens = self._said.get("stop") and not said.get("stop")
        self._said = said
        if edit.held is not None:
            edit = replace(edit, held=self._all_held())
        if edit or opens:
            self._take(edit, {"stop": False} if opens else {})

    def _take(self, edit: Edit, told: Mapping[str, Any]) -> None:
        """Do as a person wants from here on."""
        course = steered(self.course, edit, self._rules, self._knobs)
        if told:
            course = reopened(course)
        self._write(course, {"edit": {**_edit(edit), **told}, **self._when()})

    def _all_held(self) -> list[str]:
        """What the options and the person's file hold."""
        return list(dict.fromkeys([*self._held, *self._said.get("hold", [])]))

    def _when(self) -> dict[str, Any]:
        return {"spent": self.course.spent, "after_round": self.course.rounds}

    def _write(self, course: Course, line: dict[str, Any]) -> None:
        """Write down a course and the line that led to it, and tell of both."""
        if course.joined:
            line["joined"], course = course.joined, replace(course, joined=[])
        beside = {
            "said": self._said,
            "text": self._text,
            "seconds": round(self.seconds, 3),
            "held": self._held,
        }
        with shield():
            self._keep.commit(course, beside, [line])
            self.course = course
        self._tell(Told(course, line))

    def _resume(self, folder: Folder) -> None:
        """Go on where an earlier process stopped."""
        found = folder.stand()
        if found is None:
            folder.lines.cut(0)
            return
        course, beside, self.trouble = found
        folder.lines.cut(beside["history"])
        # Where that cannot be told, a report could not be written in the end.
        check_known(folder.lines.backwards(), course.checkpoints)
        self._said, self._text = beside["said"], beside["text"]
        self._before = beside["seconds"]
        lost = folder.lost(course.checkpoints)
        if lost:
            course = without(course, lost)
            self.trouble = (
                f"{len(lost)} checkpoints are gone or damaged: goes on from epoch "
                f"{course.here.epoch} of the line"
            )
        if beside.get("held", self._held) != self._held:
            self._asked = Edit(held=self._all_held())
        self.course = self._with_more(course)

    def _with_more(self, course: Course) -> Course:
        """With a larger budget than it had, a model that was ending goes on."""
        horizon = self._rules.horizon
        left = math.inf if horizon is None else horizon - course.spent
        planned = 0.0
        if course.doing == "cool":
            planned = course.length - course.done
        elif course.doing != "over" or self._said.get("stop"):
            return course
        return reopened(course) if left > planned else course


def _edit(edit: Edit) -> dict[str, Any]:
    found: dict[str, Any] = dict(edit.settings)
    if edit.held is not None:
        found["hold"] = edit.held
    return {**found, **({"stop": True} if edit.stop else {})}


def _told(values: list[float], outcome: Outcome) -> list[float | str]:
    """What a run told of itself; a module tells its value alone."""
    if all(math.isnan(score) for score in outcome.score):
        return []
    return [_json(value) for value in values]


def _json(value: float) -> float | str:
    """A number of strict JSON, which knows no NaN and no infinity."""
    return float(value) if math.isfinite(value) else str(float(value))
