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
from collections.abc import Sequence

from tunekit.babysit.course import (
    START,
    Course,
    Outcome,
    Point,
    Round,
    Rules,
    to_keep,
)
from tunekit.babysit.nudges import Settings, menu
from tunekit.babysit.rescue import (
    Knobs,
    after_rescue,
    begin_rescue,
    is_bad,
    leave,
    note_best,
    rates,
    settled,
    to_best,
    unheld,
)
from tunekit.seeds import numpy_generator

__all__ = ["after", "cooled", "cooling", "next_round", "replanned"]

_RECENT = 24
"""Epochs from which it is known how much the value differs from one to the next."""
_STRETCH = 4
"""The longest interval, in intervals, where nudges have brought nothing."""
_STUCK = 5
"""Patiences without a gain after which the model is rescued though nothing is bad."""


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
        free, flat = unheld(course, knobs), course.since >= rules.patience
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
        kept = after_rescue(course, tried, outcomes, rules, knobs)
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
        begin_rescue(course, rules, knobs, diverged=True)
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
        begin_rescue(course, rules, knobs, diverged=True)
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
    turned = course.since >= rules.patience and is_bad(course, mean)
    if turned or course.since >= _STUCK * rules.patience:
        begin_rescue(course, rules, knobs)
    course.since += 1


def cooling(course: Course, rules: Rules, knobs: Knobs) -> Course:
    """Where a model stands that is to end soon, by a horizon that came up just now.

    Args:
        course: Where it stood; it stays as it is.
        rules: With that horizon, all of the rest of which goes into cooling down.
        knobs: What may be nudged.
    """
    course = copy.deepcopy(course)
    _begin_to_cool(course, rules, knobs)
    return course


def _begin_to_cool(course: Course, rules: Rules, knobs: Knobs) -> None:
    """Near the end of a budget, the rest goes into letting the rate fall to zero."""
    if rules.horizon is None or course.doing in ("cool", "over"):
        return
    left = rules.horizon - course.spent
    if left > rules.cool * rules.horizon or not rates(unheld(course, knobs), 0.0):
        return
    if left < 1 or not math.isfinite(course.best):
        return
    if course.doing == "rescue":
        leave(course)
    to_best(course)
    course.doing = "cool"
    course.origin, course.done, course.length = course.best_at, 0, left
    course.settings = settled(course)


def cooled(course: Course, knobs: Knobs, done: float) -> Settings:
    """The settings of an epoch while the rate falls to zero."""
    share = 1.0 - (done + 0.5) / course.length
    lower = rates(unheld(course, knobs), 0.5 * share)
    return {n: value * lower.get(n, 1.0) for n, value in course.settings.items()}


def replanned(course: Course, epochs: int) -> Course:
    """Where a model stands that cools down, when so many epochs are still to come.

    The rate goes on falling from where it is, straight to zero.

    Args:
        course: Where it stood; it stays as it is.
        epochs: Still to be trained, one at least.
    """
    course = copy.deepcopy(course)
    share = 1.0
    if course.done:
        share -= (course.done - 0.5) / course.length
    course.length = (epochs + 0.5) / share
    course.done = course.length - epochs
    return course


def _after_cooling(course: Course, outcome: Outcome) -> int | None:
    course.done += 1
    if outcome.checkpoint is None:
        course.doing = "over"
        return None
    epoch = course.here.epoch + len(outcome.val)
    point = Point(outcome.checkpoint, epoch, outcome.last)
    course.line.append(point)
    if outcome.lowest < course.best:
        note_best(course, outcome, point, course.settings)
    course.origin = point.name
    if course.done > course.length - 0.5:
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
        note_best(course, outcome, point, course.settings)
        course.since = 0


def _is_slower(tried: Round, course: Course, knobs: Knobs) -> bool:
    """Whether the first nudge of a burst lowers the rate."""
    nudged = tried.branches[1][1]
    return any(nudged[name] < course.settings[name] for name in rates(knobs, 0.0))
