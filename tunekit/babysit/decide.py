"""What a babysat model does next: pure functions of where it stands.

    watch    nudges are tried for a short burst beside what is; the best is kept
    train    and trained on, for the rest of the interval
    rescue   the loss has turned bad: back to a checkpoint before it did, and other
             settings from there, for as long as it took to turn; the worse half is
             given up at a time. Where none gains, the next rescue goes back further.
    cool     at the end of a budget, from the best checkpoint: the rate falls to zero

The idea of trying changes on a running model and copying the best is that of population
based training (Jaderberg et al. 2017). There is one model here, and bursts are short,
so that two of its assumptions do not hold. A short burst favours a low rate (Wu et al.
2018): the rate is lowered on a plateau alone. And it favours less regularization, whose
price is paid later: it is tightened when that price is seen, from before.
"""

from __future__ import annotations

import copy
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
    to_keep,
)
from tunekit.babysit.nudges import Knob, Settings, menu, moved, rescues
from tunekit.seeds import numpy_generator

__all__ = ["after", "cooled", "leave", "next_round"]

Knobs = Mapping[str, Knob]

_BAD = 0.02
"""Above the lowest value by this share, and by luck, the loss counts as bad."""
_LUCK = 2.0
"""Times the usual difference of two epochs."""
_RECENT = 24
"""Epochs from which that is known."""
_STRETCH = 4
"""The longest interval, in intervals, where nudges have brought nothing."""
_STUCK = 5
"""Patiences without a gain after which the model is rescued though nothing is bad."""
_FROM_START = 5
"""Rescues in a row without a gain, the last from the start, after which the best one is
gone on from: with other batches and nudges it may yet be bettered."""
_HOPELESS = 12
"""Rescues without any finite value after which there is nothing left to try."""


def next_round(course: Course, rules: Rules, knobs: Knobs, seed: int) -> Round | None:
    """What is trained next; None when it is over.

    Args:
        course: Where the model stands.
        rules: How closely it is watched.
        knobs: What may be nudged.
        seed: Draws what is tried.

    Example:
        >>> from tunekit.babysit.nudges import recipe_knobs
        >>> from tunekit.trial import Recipe
        >>> course = Course({"lr": 0.01, "weight_decay": 1e-4, "dropout": 0.1})
        >>> knobs = recipe_knobs(Recipe(optimizer="sgd", momentum=0.0))
        >>> del knobs["momentum"]
        >>> [s["lr"] for _, s in next_round(course, Rules(), knobs, 0).branches]
        [0.01, 0.02, 0.01]
    """
    left = math.inf if rules.horizon is None else rules.horizon - course.spent
    if course.doing == "over" or left < 1:
        return None
    number, here = course.rounds + 1, course.here.name
    if course.doing == "rescue":
        alive = [each for each in course.branches if not each.given_up]
        epochs = int(max(1, min(rules.interval, left // len(alive))))
        alive = alive[: int(min(len(alive), left // epochs))]
        branches = [(each.at or START, each.settings) for each in alive]
        return Round(number, "rescue", branches, epochs)
    if course.doing == "cool":
        settings = cooled(course, knobs, course.done)
        return Round(number, "cool", [(course.origin, settings)], 1)
    if course.doing == "train":
        epochs = int(min(course.to_train, rules.interval, left))
        return Round(number, "train", [(here, course.settings)], epochs)
    burst = min(rules.burst, rules.interval)
    n = int(min(rules.nudges, left // burst - 1))
    tried = []
    if n > 0:
        rng = numpy_generator(seed, "nudges", number)
        free, flat = _free(course, knobs), course.since >= rules.patience
        tried = menu(course.settings, free, n, rng, flat=flat)
    branches = [(here, settings) for settings in (course.settings, *tried)]
    return Round(number, "burst", branches, int(min(burst, left)))


def after(
    course: Course,
    tried: Round,
    outcomes: Sequence[Outcome],
    rules: Rules,
    knobs: Knobs,
) -> tuple[Course, int | None]:
    """Where the model stands after a round.

    Args:
        course: Where it stood; it stays as it is.
        tried: The round.
        outcomes: What became of each branch.
        rules: How closely the model is watched.
        knobs: What may be nudged.

    Returns:
        The new course, and which branch is on the line now; None where that is open.
    """
    course = copy.deepcopy(course)
    course.rounds = tried.number
    course.spent += sum(len(each.val) for each in outcomes)
    if tried.doing == "rescue":
        kept = _after_rescue(course, tried, outcomes, rules, knobs)
    elif tried.doing == "cool":
        kept = _after_cooling(course, outcomes[0])
    elif tried.doing == "train":
        kept = _after_training(course, tried, outcomes[0], rules, knobs)
    else:
        kept = _after_burst(course, tried, outcomes, rules, knobs)
    _begin_to_cool(course, rules, knobs)
    course.line = to_keep(course, rules.interval)
    return course, kept


def _after_burst(
    course: Course,
    tried: Round,
    outcomes: Sequence[Outcome],
    rules: Rules,
    knobs: Knobs,
) -> int | None:
    lasts = [each.last for each in outcomes]
    kept = min(range(len(lasts)), key=lasts.__getitem__)
    if not math.isfinite(lasts[kept]):
        _rescue(course, rules, knobs, diverged=True)
        return None
    down = len(lasts) > 1 and _is_slower(tried, course, knobs)
    tired = course.since >= 2 * rules.patience
    if kept == 0 and tired and down and math.isfinite(lasts[1]):
        # A plateau that goes on: the rate goes down, whatever one burst says.
        kept = 1
    course.stretch = 1 if kept else min(_STRETCH, 2 * course.stretch)
    course.settings = dict(tried.branches[kept][1])
    course.values = []
    _walk(course, outcomes[kept])
    course.to_train = course.stretch * rules.interval - tried.epochs
    course.doing = "train"
    if course.to_train < 1:
        _judge(course, rules, knobs)
    return kept


def _after_training(
    course: Course, tried: Round, outcome: Outcome, rules: Rules, knobs: Knobs
) -> int | None:
    if outcome.checkpoint is None:
        _rescue(course, rules, knobs, diverged=True)
        return None
    _walk(course, outcome)
    course.to_train -= tried.epochs
    if course.to_train < 1:
        _judge(course, rules, knobs)
    return 0


def _judge(course: Course, rules: Rules, knobs: Knobs) -> None:
    """An interval is over: does the model gain, stand still, or get worse?"""
    course.doing = "watch"
    if course.since == 0:
        course.depth = 0
    mean = math.fsum(course.values) / len(course.values)
    if mean < course.best_mean:
        # Lower on the whole, though luck has kept the lowest epoch where it was.
        course.best_mean, course.since = mean, 0
    turned = course.since >= rules.patience and _is_bad(course, mean)
    if turned or course.since >= _STUCK * rules.patience:
        _rescue(course, rules, knobs)
    course.since += 1


def _rescue(
    course: Course, rules: Rules, knobs: Knobs, *, diverged: bool = False
) -> None:
    """Go back to before it turned bad, and try other settings from there."""
    course.depth += 1
    if course.depth > _HOPELESS and not math.isfinite(course.best):
        course.doing = "over"
        return
    back = 0 if course.depth == 1 else 2 ** (course.depth - 1) * rules.interval
    newest = course.best_epoch if math.isfinite(course.best) else course.here.epoch
    before = [p for p in course.line if p.epoch <= max(0, newest - back)]
    point = before[-1] if before else course.line[0]
    base = settled(course)
    if diverged and not course.base:
        # Nothing is known but that this was too much.
        base = moved(base, _free(course, knobs), _all(knobs, "rate", -2))
    free = _free(course, knobs)
    course.branches = [
        Branch(settings, point.name)
        for settings in rescues(base, free, rules.rescues, course.depth)
    ]
    course.origin, course.done, course.doing = point.name, 0, "rescue"
    course.length = max(2 * rules.interval, course.here.epoch - point.epoch)


def _after_rescue(
    course: Course,
    tried: Round,
    outcomes: Sequence[Outcome],
    rules: Rules,
    knobs: Knobs,
) -> int | None:
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
            _is_best(course, outcome.lowest, branch.path[-1], branch.settings)
            course.since = 0
        worse = len(branch.path) > 1 and branch.last > branch.lowest
        branch.given_up = worse and _is_bad(course, branch.last)
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
        _rescue(course, rules, knobs, diverged=True)
        return None
    gained = course.best_at in {point.name for point in best.path}
    kept = next((i for i, branch in enumerate(alive) if branch is best), None)
    course.line = [*course.line[: at + 1], *best.path]
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
        course.base, course.depth, course.since = dict(course.best_settings), 0, 0
        course.settings = settled(course)
        return None
    if _is_bad(course, best.path[-1].loss):
        _rescue(course, rules, knobs)
    return kept


def leave(course: Course) -> None:
    """Leave a rescue that is not over: what it has gained is on the line."""
    at = next(i for i, p in enumerate(course.line) if p.name == course.origin)
    course.line = course.line[: at + 1]
    for branch in course.branches:
        names = [point.name for point in branch.path]
        if course.best_at in names:
            course.line += branch.path[: names.index(course.best_at) + 1]
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


def _begin_to_cool(course: Course, rules: Rules, knobs: Knobs) -> None:
    """Near the end of a budget, the rest goes into letting the rate fall to zero."""
    if rules.horizon is None or course.doing in ("cool", "over"):
        return
    left = rules.horizon - course.spent
    free = _free(course, knobs)
    if left > rules.cool * rules.horizon or not any(
        knob.part == "rate" for knob in free.values()
    ):
        return
    if left < 1 or not math.isfinite(course.best):
        return
    if course.doing == "rescue":
        leave(course)
    to_best(course)
    course.doing = "cool"
    course.origin, course.done, course.length = course.best_at, 0, left
    course.settings = settled(course)


def cooled(course: Course, knobs: Knobs, done: int) -> Settings:
    """The settings of an epoch while the rate falls to zero."""
    share = 1.0 - (done + 0.5) / course.length
    rates = _all(_free(course, knobs), "rate", 0.5 * share)
    return {n: value * rates.get(n, 1.0) for n, value in course.settings.items()}


def settled(course: Course) -> Settings:
    """What a rescue and cooling begin with: the best settings, but for what is held."""
    held = {n: value for n, value in course.settings.items() if n in course.held}
    return {**(course.base or course.settings), **held}


def _after_cooling(course: Course, outcome: Outcome) -> int | None:
    course.done += 1
    if outcome.checkpoint is None:
        course.doing = "over"
        return None
    epoch = course.here.epoch + len(outcome.val)
    point = Point(outcome.checkpoint, epoch, outcome.last)
    course.line.append(point)
    if outcome.lowest < course.best:
        _is_best(course, outcome.lowest, point, course.settings)
    course.origin = point.name
    if course.done >= course.length:
        course.doing = "over"
    return 0


def _walk(course: Course, outcome: Outcome) -> None:
    """The line goes on by one stretch."""
    assert outcome.checkpoint is not None
    epoch = course.here.epoch + len(outcome.val)
    point = Point(outcome.checkpoint, epoch, outcome.last)
    course.line.append(point)
    course.values += outcome.val
    course.recent = [*course.recent, *outcome.val][-_RECENT:]
    if outcome.lowest < course.best:
        _is_best(course, outcome.lowest, point, course.settings)
        course.since = 0


def _is_best(
    course: Course, value: float, point: Point, settings: Mapping[str, float]
) -> None:
    course.best, course.best_at, course.best_epoch = value, point.name, point.epoch
    course.base, course.best_settings = dict(settings), dict(settings)


def _is_bad(course: Course, value: float) -> bool:
    """Whether a value is above the lowest by more than luck."""
    pairs = zip(course.recent, course.recent[1:], strict=False)
    luck = median([abs(b - a) for a, b in pairs] or [0.0])
    best = course.best
    return value > best + _BAD * abs(best) + _LUCK * luck


def _is_slower(tried: Round, course: Course, knobs: Knobs) -> bool:
    """Whether the first nudge of a burst lowers the rate."""
    rates = [name for name, knob in knobs.items() if knob.part == "rate"]
    nudged = tried.branches[1][1]
    return any(nudged[name] < course.settings[name] for name in rates)


def _free(course: Course, knobs: Knobs) -> dict[str, Knob]:
    return {name: knob for name, knob in knobs.items() if name not in course.held}


def _all(knobs: Knobs, part: str, value: float) -> dict[str, float]:
    return {name: value for name, knob in knobs.items() if knob.part == part}
