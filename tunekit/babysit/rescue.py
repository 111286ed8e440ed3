"""A babysat model whose loss has turned bad: taken back, and tried otherwise.

A rescue begins at a checkpoint from before, with several settings side by side, and
lasts for as long as it took to turn; the worse half is given up at a time. Where none
gains, the next begins further back, at last from the start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from tunekit.babysit.course import (
    START,
    Branch,
    Course,
    Outcome,
    Point,
    Round,
    Rules,
)
from tunekit.babysit.nudges import Knob, Settings, moved, rescues

__all__ = [
    "Knobs",
    "after_rescue",
    "begin_rescue",
    "is_bad",
    "leave",
    "note_best",
    "rates",
    "settled",
    "to_best",
    "unheld",
]

Knobs = Mapping[str, Knob]

_BAD = 0.02
"""Above the lowest value by this share, and by luck, the loss counts as bad."""
_LUCK = 2.0
"""Times the usual difference of two epochs."""
_FROM_START = 5
"""Rescues in a row without a gain, the last from the start, after which the best one is
gone on from: with other batches and nudges it may yet be bettered."""
_HOPELESS = 12
"""Rescues without any finite value after which there is nothing left to try."""


def begin_rescue(
    course: Course, rules: Rules, knobs: Knobs, *, diverged: bool = False
) -> None:
    """Go back to before it turned bad, and try other settings from there.

    Args:
        course: Where the model stands; it is changed.
        rules: How closely it is watched.
        knobs: What may be nudged.
        diverged: Whether what is has no finite value.
    """
    course.depth += 1
    if course.depth > _HOPELESS and not math.isfinite(course.best):
        course.doing = "over"
        return
    back = 0 if course.depth == 1 else 2 ** (course.depth - 1) * rules.interval
    newest = course.best_epoch if math.isfinite(course.best) else course.here.epoch
    before = [p for p in course.line if p.epoch <= max(0, newest - back)]
    point = before[-1] if before else course.line[0]
    base, free = settled(course), unheld(course, knobs)
    if diverged and not course.base:
        # Nothing is known but that this was too much.
        base = moved(base, free, rates(knobs, -2))
    course.branches = [
        Branch(settings, point.name)
        for settings in rescues(base, free, rules.rescues, course.depth)
    ]
    course.origin, course.done, course.doing = point.name, 0, "rescue"
    course.length = max(2 * rules.interval, course.here.epoch - point.epoch)


def after_rescue(
    course: Course,
    tried: Round,
    outcomes: Sequence[Outcome],
    rules: Rules,
    knobs: Knobs,
) -> int | None:
    """Take in a round of a rescue.

    Args:
        course: Where the model stands; it is changed.
        tried: The round.
        outcomes: What became of each branch.
        rules: How closely the model is watched.
        knobs: What may be nudged.

    Returns:
        Which branch is on the line now; None where that is open.
    """
    alive = [each for each in course.branches if not each.given_up]
    start = next(p for p in course.line if p.name == course.origin)
    for branch, outcome in zip(alive, outcomes, strict=False):
        branch.at = outcome.checkpoint
        if outcome.checkpoint is None:
            branch.given_up = True
            continue
        branch.lowest = min(branch.lowest, outcome.lowest)
        epoch = (branch.path or [start])[-1].epoch + len(outcome.val)
        branch.path.append(Point(outcome.checkpoint, epoch, outcome.last))
        if outcome.lowest < course.best:
            note_best(course, outcome, branch.path[-1], branch.settings)
            course.since = 0
        worse = len(branch.path) > 1 and branch.last > branch.lowest
        branch.given_up = worse and is_bad(course, branch.last)
    course.done += tried.epochs
    left = sorted((b for b in alive if not b.given_up), key=lambda b: b.lowest)
    for branch in left[(len(left) + 1) // 2 :]:
        branch.given_up = True
    falling = left and left[0].last <= left[0].lowest
    if left and (course.done < course.length or falling):
        return None
    return _adopt(course, rules, knobs, alive)


def _adopt(
    course: Course, rules: Rules, knobs: Knobs, alive: Sequence[Branch]
) -> int | None:
    """A rescue is over: its best branch is the line now."""
    best = min(course.branches, key=lambda branch: branch.lowest)
    at = next(i for i, p in enumerate(course.line) if p.name == course.origin)
    if not best.path:  # all of them diverged at once
        course.line = course.line[: at + 1]
        course.settings = dict(best.settings)
        course.branches = []
        begin_rescue(course, rules, knobs, diverged=True)
        return None
    gained = course.best_at in {point.name for point in best.path}
    kept = next((i for i, branch in enumerate(alive) if branch is best), None)
    course.line = [*course.line[: at + 1], *best.path]
    course.joined = [point.name for point in best.path]
    course.settings = dict(best.settings)
    course.branches, course.stretch = [], 1
    course.doing, course.values = "watch", []
    if gained:
        course.depth, course.since = 0, 0
        return kept
    course.since = rules.patience
    if course.depth < 3:
        course.base = dict(best.settings)
    if course.depth >= _FROM_START and course.origin == START:
        # There is nothing further back: on from the best, nudged otherwise.
        to_best(course)
        course.joined = []
        course.base, course.depth, course.since = dict(course.best_settings), 0, 0
        course.settings = settled(course)
        return None
    if is_bad(course, best.path[-1].loss):
        begin_rescue(course, rules, knobs)
    return kept


def leave(course: Course) -> None:
    """Leave a rescue that is not over: what it has gained is on the line."""
    at = next(i for i, p in enumerate(course.line) if p.name == course.origin)
    course.line = course.line[: at + 1]
    for branch in course.branches:
        names = [point.name for point in branch.path]
        if course.best_at in names:
            gained = branch.path[: names.index(course.best_at) + 1]
            course.line += gained
            course.joined = [point.name for point in gained]
    course.settings = settled(course)
    course.branches, course.values, course.doing = [], [], "watch"


def to_best(course: Course) -> None:
    """Cut the line behind the best; where that is not on it, begin there."""
    names = [point.name for point in course.line]
    if course.best_at in names:
        course.line = course.line[: names.index(course.best_at) + 1]
    else:
        best = Point(course.best_at, course.best_epoch, course.best)
        course.line = [course.line[0], best]


def settled(course: Course) -> Settings:
    """What a rescue and cooling begin with: the best settings, but for what is held."""
    held = {n: value for n, value in course.settings.items() if n in course.held}
    return {**(course.base or course.settings), **held}


def note_best(
    course: Course, outcome: Outcome, point: Point, settings: Mapping[str, float]
) -> None:
    """The lowest value so far is in the stretch that ends at a point."""
    course.best, course.best_at, course.best_epoch = (
        outcome.lowest,
        point.name,
        point.epoch,
    )
    course.best_lag = len(outcome.val) - 1 - outcome.val.index(outcome.lowest)
    course.base, course.best_settings = dict(settings), dict(settings)


def is_bad(course: Course, value: float) -> bool:
    """Whether a value is above the lowest by more than luck."""
    pairs = zip(course.recent, course.recent[1:], strict=False)
    luck = median([abs(b - a) for a, b in pairs] or [0.0])
    best = course.best
    return value > best + _BAD * abs(best) + _LUCK * luck


def unheld(course: Course, knobs: Knobs) -> dict[str, Knob]:
    """The knobs that may be nudged."""
    return {name: knob for name, knob in knobs.items() if name not in course.held}


def rates(knobs: Knobs, value: float) -> dict[str, float]:
    """The value for each knob that is a learning rate."""
    return {name: value for name, knob in knobs.items() if knob.part == "rate"}
