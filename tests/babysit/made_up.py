"""A model whose losses are made up, and the rounds that are decided for it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from tunekit.babysit.course import START, Course, Outcome, Round, Rules
from tunekit.babysit.decide import after, next_round
from tunekit.babysit.nudges import Knob, Settings, recipe_knobs
from tunekit.trial import Recipe

KNOBS = recipe_knobs(Recipe(optimizer="sgd"))
BEGIN = {name: float(getattr(Recipe(), name)) for name in KNOBS}

Loss = Callable[[Settings, int, np.random.Generator], float]
"""From settings and epochs on the line to the value; infinite where it diverges."""


def falling(settings: Settings, epoch: int, rng: np.random.Generator) -> float:
    """Gains for ever, the more the nearer the rate is to a good one."""
    away = abs(math.log10(settings["lr"] / 0.003))
    return 0.1 + (1.0 + away) / (1 + epoch)


def turning(settings: Settings, epoch: int, rng: np.random.Generator) -> float:
    """Overfits after epoch 30, whatever is done."""
    return 0.1 + 1.0 / (1 + epoch) + 0.01 * max(0, epoch - 30)


def diverging(settings: Settings, epoch: int, rng: np.random.Generator) -> float:
    return math.inf


def random(settings: Settings, epoch: int, rng: np.random.Generator) -> float:
    """Anything may happen."""
    return math.inf if rng.random() < 0.05 else float(rng.exponential())


@dataclass
class Model:
    """What would be trained, and the checkpoints that would be there."""

    loss: Loss
    rules: Rules = field(default_factory=Rules)
    knobs: dict[str, Knob] = field(default_factory=lambda: dict(KNOBS))
    seed: int = 0
    course: Course = field(default_factory=lambda: Course(dict(BEGIN)))
    stored: dict[str, int] = field(default_factory=lambda: {START: 0})
    """Epochs on the line, by checkpoint."""

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def train(self, tried: Round) -> list[Outcome]:
        outcomes = []
        for i, (source, settings) in enumerate(tried.branches):
            at, values = self.stored[source], []
            while len(values) < tried.epochs:
                epoch = at + len(values) + 1
                values.append(self.loss(settings, epoch, self.rng))
                if not math.isfinite(values[-1]):
                    break
            ended = math.isfinite(values[-1])
            name = tried.checkpoint(i) if ended else None
            outcomes.append(Outcome(values, values, values, name))
            if name is not None:
                self.stored[name] = at + len(values)
        return outcomes

    def rounds(self, most: int = 10_000) -> Iterator[tuple[Course, Round]]:
        """Rounds until it is over, each with the course that it was decided from.

        What a course would not keep is gone after each.
        """
        for _ in range(most):
            before = self.course
            tried = next_round(before, self.rules, self.knobs, self.seed)
            if tried is None:
                return
            outcomes = self.train(tried)
            self.course, kept = after(before, tried, outcomes, self.rules, self.knobs)
            assert kept is None or 0 <= kept < len(outcomes)
            self.keep()
            yield before, tried

    def keep(self) -> None:
        """Only what the course names is kept, and all of it is there."""
        names = {START, *self.course.checkpoints}
        assert names <= set(self.stored)
        self.stored = {name: self.stored[name] for name in names}
        text = json.dumps(self.course.as_dict(), allow_nan=False)
        assert Course.from_dict(json.loads(text)) == self.course
