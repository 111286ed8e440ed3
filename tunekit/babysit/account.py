"""What reports and pictures tell of a history, kept up line by line.

Its size is bounded but for what people write, whatever the history's: of a curve that
grows beyond some thousand points every other one is let go of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tunekit.babysit.steer import said
from tunekit.babysit.way import LINE, Part

__all__ = ["Account", "Thinned"]

_MOST = 3000


class Thinned:
    """Points of a curve, evenly thinned; the last is always there.

    Args:
        changes: Whether a point counts only where its value is another.

    Example:
        >>> found = Thinned()
        >>> for step in range(10_000):
        ...     found.add(step, 0.5)
        >>> points = found.points
        >>> len(points) <= 3001, points[0], points[-1]
        (True, (0, 0.5), (9999, 0.5))
    """

    def __init__(self, *, changes: bool = False) -> None:
        self._changes, self._every, self._seen = changes, 1, 0
        self._kept: list[tuple[int, float]] = []
        self._last: tuple[int, float] | None = None
        self.low, self.high = float("inf"), -float("inf")

    def add(self, step: int, value: float) -> None:
        """One more."""
        same = self._last is not None and self._last[1] == value
        self._last = (step, value)
        self.low, self.high = min(self.low, value), max(self.high, value)
        if self._changes and same:
            return
        if self._seen % self._every == 0:
            self._kept.append(self._last)
        self._seen += 1
        if len(self._kept) > _MOST:
            self._kept, self._every = self._kept[::2], 2 * self._every

    @property
    def points(self) -> list[tuple[int, float]]:
        """Steps and values."""
        if self._last is None or self._kept[-1] == self._last:
            return list(self._kept)
        return [*self._kept, self._last]


class Account:
    """The history so far.

    Attributes:
        rounds: How many there were of each kind.
        rescues: How often the model was taken back; rescues in a row are one.
        edits: What people asked for, in order.
        losses: The value of every epoch of the line, the best so far, and what was
            tried and given up, by the names that :mod:`tunekit.babysit.way` gives them.
        knobs: Every hyperparameter as it changed.
    """

    def __init__(self) -> None:
        self.rounds: Counter[str] = Counter()
        self.rescues = 0
        self.edits: list[dict[str, Any]] = []
        self.losses: dict[str, Thinned] = {}
        self.knobs: dict[str, Thinned] = {}
        self._doing = ""

    def add(self, line: Mapping[str, Any]) -> None:
        """One more line of the history."""
        if "edit" in line or "refused" in line:
            self.edits.append(
                {
                    "spent": line["spent"],
                    "text": _text(line),
                    "refused": "refused" in line,
                }
            )
        if "doing" in line:
            self.rounds[line["doing"]] += 1
            self.rescues += line["doing"] == "rescue" != self._doing
            self._doing = line["doing"]

    def take(self, part: Part) -> None:
        """What it means for the model's way."""
        run, spent, branch = part
        values = branch["val"]
        losses = self.losses.setdefault(run, Thinned())
        for n, value in enumerate(values if run == LINE else values[-1:]):
            # Strict JSON has a text for what is not finite.
            if not isinstance(value, str):
                losses.add(spent + n + 1 - (len(values) if run == LINE else 1), value)
        if run == LINE and values:
            for name, value in branch["settings"].items():
                knob = self.knobs.setdefault(name, Thinned(changes=True))
                knob.add(spent - len(values) + 1, value)
                knob.add(spent, value)


def _text(line: Mapping[str, Any]) -> str:
    if "refused" in line:
        return f"refused: {line['refused']}"
    return said(line["edit"])
