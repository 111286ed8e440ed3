"""A limit of time, and how many epochs what is left of it is good for."""

from __future__ import annotations

import math
import time
from dataclasses import replace

from tunekit.babysit.course import Course, Round, Rules
from tunekit.babysit.decide import cooling, replanned
from tunekit.babysit.rescue import Knobs

__all__ = ["Pace"]

_SAFELY = 0.95
"""The share of the time that is left which is planned to be filled."""
_NEWEST = 0.5
"""The weight of the last round in what an epoch takes."""


class Pace:
    """Knows what rounds take: training them, writing them down and telling of them.

    Args:
        until: When training is to have ended (``time.monotonic()``); None for no limit.
    """

    def __init__(self, until: float | None) -> None:
        self.until = math.inf if until is None else until
        self._began = self._mark = time.monotonic()
        self._rounds = self._epochs = 0
        self._seconds, self._alone = 0.0, math.nan

    @property
    def is_late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.until

    def begin(self) -> None:
        """Rounds are trained from now on."""
        self._began = self._mark = time.monotonic()

    def took(self, tried: Round) -> None:
        """A round is over, and what was done since the one before it.

        The first tells nothing: it may have been half done by an earlier process, and
        pays for what is made once.
        """
        now = time.monotonic()
        seconds, self._mark = now - self._mark, now
        self._rounds += 1
        if self._rounds == 1:
            return
        self._seconds, self._epochs = self._seconds + seconds, self._epochs + tried.cost
        if len(tried.branches) == 1:
            # Nothing is beside it, as nothing is while a rate falls to zero.
            each, before = seconds / tried.epochs, self._alone
            if not math.isnan(before):
                each = before * (1 - _NEWEST) + each * _NEWEST
            self._alone = each

    def planned(
        self, course: Course, tried: Round, rules: Rules, knobs: Knobs
    ) -> Course:
        """Where a model stands whose rate is to have fallen to zero by the limit.

        Args:
            course: Where it stood; it stays as it is.
            tried: The next round, which takes time, too.
            rules: How closely the model is watched.
            knobs: What may be nudged.
        """
        if math.isinf(self.until) or not self._epochs:
            return course
        fit, spent = self._epochs_left(), course.spent
        if course.doing != "cool" and self._ends_soon(tried, rules.cool):
            soon = replace(rules, horizon=spent + fit, cool=1.0)
            course = cooling(course, soon, knobs)
        if course.doing == "cool":
            if rules.horizon is not None:
                fit = min(fit, rules.horizon - spent)
            if fit != round(course.length - course.done):
                course = replanned(course, fit)
        return course

    def _ends_soon(self, tried: Round, share: float) -> bool:
        """Whether after one more round less than a share of the time is left."""
        each = self._seconds / self._epochs
        after = self.until - time.monotonic() - tried.cost * each
        return after <= share * (self.until - self._began)

    def _epochs_left(self) -> int:
        """Epochs of one model that still fit, one at least."""
        each = self._alone
        if math.isnan(each):
            each = self._seconds / self._epochs
        left = self.until - time.monotonic()
        return max(1, int(_SAFELY * left / max(1e-9, each)))
