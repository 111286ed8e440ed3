"""Where a babysat model stands: plain values, all that decisions are made from.

The model's *line* is the way it took, from checkpoint to checkpoint; what was tried
beside it and given up is in the history alone. A *round* is what is trained at once:
one or several branches, each from a checkpoint with settings of its own.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Self

from tunekit.babysit.nudges import Settings

__all__ = ["Branch", "Course", "Outcome", "Point", "Round", "Rules", "to_keep"]

START = ""
"""The checkpoint before the first epoch: the initial weights, which the seed draws."""
_NUMBER = "$float"


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How closely a model is watched.

    Attributes:
        interval: Epochs between two nudges.
        burst: Epochs for which nudges are tried.
        nudges: Nudges tried beside what is.
        patience: Intervals without a gain after which the loss counts as flat.
        rescues: Settings tried when the loss has turned bad.
        cool: Share of the budget over which the learning rate falls to zero at the end.
        horizon: Epochs in all, bursts counted; None for no end.
    """

    interval: int = 6
    burst: int = 1
    nudges: int = 2
    patience: int = 2
    rescues: int = 4
    cool: float = 0.15
    horizon: int | None = None


@dataclass(frozen=True)
class Point:
    """A checkpoint on the line.

    Attributes:
        name: The checkpoint's; empty for the start.
        epoch: Epochs on the line.
        loss: The value there.
    """

    name: str
    epoch: int
    loss: float


@dataclass
class Branch:
    """Settings that are tried from a checkpoint.

    Attributes:
        settings: The values of the knobs.
        at: The last checkpoint; None once it has diverged.
        lowest: The lowest value so far.
        path: The checkpoints it came by.
        given_up: Whether it is trained no further.
    """

    settings: Settings
    at: str | None
    lowest: float = math.inf
    path: list[Point] = field(default_factory=list)
    given_up: bool = False

    @property
    def last(self) -> float:
        """The value at its end."""
        return self.path[-1].loss if self.path and self.at is not None else math.inf


@dataclass(frozen=True)
class Outcome:
    """What became of one branch of a round.

    Attributes:
        train: Training loss of each epoch.
        val: The value of each epoch, lower is better.
        score: Validation score of each epoch; NaN where there is none.
        checkpoint: The name under which its end is kept; None if it diverged.
    """

    train: list[float]
    val: list[float]
    score: list[float]
    checkpoint: str | None

    @property
    def last(self) -> float:
        """The value at its end; infinite if it diverged."""
        return self.val[-1] if self.checkpoint is not None else math.inf

    @property
    def lowest(self) -> float:
        """The lowest value on the way."""
        return min(filter(math.isfinite, self.val), default=math.inf)


@dataclass(frozen=True)
class Round:
    """What is trained next.

    Attributes:
        number: Counted from 1; names its random stream and its checkpoints.
        doing: ``burst``, ``train``, ``rescue`` or ``cool``.
        branches: The checkpoint to begin at, and the settings, of each.
        epochs: Of each.
    """

    number: int
    doing: str
    branches: list[tuple[str, Settings]]
    epochs: int

    @property
    def stream(self) -> str:
        """All branches of a round draw the same batches and masks."""
        return f"model/round-{self.number}"

    def checkpoint(self, branch: int) -> str:
        """The name under which a branch's end is kept."""
        return f"{self.number:06d}-{branch}"

    @property
    def cost(self) -> int:
        """Epochs in all."""
        return self.epochs * len(self.branches)


@dataclass
class Course:
    """Where a babysat model stands.

    Attributes:
        settings: The values of the knobs now.
        held: Knobs that are not nudged.
        spent: Epochs trained in all.
        rounds: Rounds that were completed.
        line: Checkpoints to go back to, the start first and the newest last.
        best: The lowest value of any epoch; infinite before the first.
        best_at: The checkpoint at the end of the stretch that has it.
        best_epoch: Epochs on the line up to it.
        best_lag: Epochs of the stretch after its lowest value.
        best_settings: Those that led there.
        base: Settings that rescues begin with: the best ones, or what a rescue left.
        best_mean: The lowest mean of an interval.
        since: Intervals since either fell.
        depth: Rescues in a row that brought no gain.
        stretch: Times the interval that is trained before nudges are tried again.
        recent: Values of the last epochs on the line.
        values: Those since nudges were last tried.
        doing: ``watch``, ``train``, ``rescue``, ``cool`` or ``over``.
        to_train: Epochs to train before the next nudge.
        branches: What a rescue tries.
        origin: The checkpoint that a rescue, or cooling down, begins at.
        length: Epochs that it takes.
        done: Epochs of that which are over.
        joined: Checkpoints of earlier rounds that came onto the line just now.
    """

    settings: Settings
    held: list[str] = field(default_factory=list)
    spent: int = 0
    rounds: int = 0
    line: list[Point] = field(default_factory=lambda: [Point(START, 0, math.inf)])
    best: float = math.inf
    best_at: str = START
    best_epoch: int = 0
    best_lag: int = 0
    best_settings: Settings = field(default_factory=dict)
    base: Settings = field(default_factory=dict)
    best_mean: float = math.inf
    since: int = 0
    depth: int = 0
    stretch: int = 1
    recent: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    doing: str = "watch"
    to_train: int = 0
    branches: list[Branch] = field(default_factory=list)
    origin: str = START
    length: float = 0
    done: float = 0
    joined: list[str] = field(default_factory=list)

    @property
    def here(self) -> Point:
        """The newest checkpoint on the line."""
        return self.line[-1]

    @property
    def lowest_epoch(self) -> int:
        """Epochs on the line up to the lowest value."""
        return self.best_epoch - self.best_lag

    @property
    def checkpoints(self) -> set[str]:
        """Names of all checkpoints that may be gone on from."""
        found = {self.best_at, *(point.name for point in self.line)}
        for branch in self.branches:
            found |= {point.name for point in branch.path}
        return found - {START}

    def as_dict(self) -> dict[str, Any]:
        """As strict JSON holds it."""
        return _plain(dataclasses.asdict(self))  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Self:
        """The course that :meth:`as_dict` wrote.

        Example:
            >>> course = Course({"lr": 0.1}, spent=3)
            >>> Course.from_dict(course.as_dict()) == course
            True
        """
        found = _read(found)
        line = [Point(**point) for point in found.pop("line")]
        branches = [
            Branch(**{**branch, "path": [Point(**p) for p in branch["path"]]})
            for branch in found.pop("branches")
        ]
        return cls(**found, line=line, branches=branches)


def to_keep(course: Course, interval: int) -> list[Point]:
    """Of the line, what a rescue may go back to: more of what is new, less of the old.

    Checkpoints take room; how far apart they are doubles as their age does. What is
    kept for long is the first after each multiple of that, so that one which will be
    wanted later is not let go of before. Rescues go back from the best epoch: the age
    of what was before that counts from there.

    Args:
        course: Where the model stands.
        interval: Epochs between two nudges.
    """
    line, best = course.line, course.best_epoch
    newest = line[-1].epoch
    wanted = {0, *range(max(0, len(line) - 4), len(line))}
    for i, point in enumerate(line[1:], start=1):
        age = (best if point.epoch <= best else newest) - point.epoch
        intervals = max(1, age // interval)
        apart = interval * 2 ** (intervals.bit_length() - 1)
        is_first = point.epoch // apart > line[i - 1].epoch // apart
        if is_first or point.name in (course.best_at, course.origin):
            wanted.add(i)
    return [point for i, point in enumerate(line) if i in wanted]


def _plain(value: Any) -> Any:
    """Strict JSON knows no infinity and no NaN: texts in their place."""
    if isinstance(value, float) and not math.isfinite(value):
        return {_NUMBER: str(value)}
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_NUMBER}:
            return float(value[_NUMBER])
        return {name: _read(each) for name, each in value.items()}
    return [_read(each) for each in value] if isinstance(value, list) else value
