"""What comes from outside while a model is watched.

A person's edit, a larger budget, a checkpoint that is lost: pure functions of where the
model stands.
"""

from __future__ import annotations

import copy
from collections.abc import Collection

from tunekit.babysit.course import START, Course, Rules
from tunekit.babysit.decide import cooled
from tunekit.babysit.rescue import Knobs, leave
from tunekit.babysit.steer import Edit

__all__ = ["reopened", "steered", "without"]


def steered(course: Course, edit: Edit, rules: Rules, knobs: Knobs) -> Course:
    """Where the model stands once a person has stepped in.

    What was being tried is left, and an interval is trained as the person wants it
    before anything is nudged again.

    Args:
        course: Where it stood; it stays as it is.
        edit: What the person wants.
        rules: How closely the model is watched.
        knobs: What may be nudged.
    """
    course = copy.deepcopy(course)
    changed = bool(edit.settings)
    if course.doing == "rescue" and (changed or edit.held is not None):
        # Its branches have other values, also of what is held from now on.
        leave(course)
        changed = True
    if edit.held is not None:
        falls = course.doing == "cool" and course.done
        now = cooled(course, knobs, course.done - 1) if falls else course.settings
        newly = [name for name in edit.held if name not in course.held]
        let_go = [name for name in course.held if name not in edit.held]
        course.settings |= {name: now[name] for name in newly}
        course.held = list(edit.held)
        if falls:
            # It falls on from the value it was held at, which is not lowered twice.
            now = cooled(course, knobs, course.done - 1)
            for name in let_go:
                if now[name]:
                    course.settings[name] *= course.settings[name] / now[name]
    if changed:
        course.settings |= edit.settings
        # What a rescue begins with, too: it is no whim to be undone.
        course.base = {**(course.base or course.settings), **edit.settings}
        if course.doing not in ("cool", "over"):
            course.doing, course.to_train = "train", rules.interval
            course.since = course.depth = 0
            course.stretch, course.values = 1, []
    if edit.stop:
        if course.doing == "rescue":
            leave(course)
        course.doing = "over"
    return course


def reopened(course: Course) -> Course:
    """Where a model stands that was ending, or had ended, and is to go on."""
    course = copy.deepcopy(course)
    if course.doing in ("cool", "over"):
        course.doing, course.since, course.depth = "watch", 0, 0
        course.branches, course.values = [], []
    return course


def without(course: Course, lost: Collection[str]) -> Course:
    """Where a model stands some of whose checkpoints are lost: as near as can be.

    Args:
        course: Where it stood; it stays as it is.
        lost: Names of checkpoints that are gone or damaged.
    """
    course = copy.deepcopy(course)
    for branch in course.branches:
        branch.path = [point for point in branch.path if point.name not in lost]
    if course.doing == "rescue":
        leave(course)
    if course.doing != "over" and (
        course.here.name in lost or course.doing in ("rescue", "cool")
    ):
        course.doing, course.values, course.origin = "watch", [], START
    course.line = [point for point in course.line if point.name not in lost]
    if course.best_at in lost:
        best = min(course.line, key=lambda point: point.loss)
        course.best, course.best_at = best.loss, best.name
        course.best_epoch, course.best_lag, course.base = best.epoch, 0, {}
    return course
