"""A babysat model that is kept in no folder: its state is gone with the process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunekit.babysit.course import Course
from tunekit.trial import State

__all__ = ["Nowhere"]


class Remembered:
    """The history, as :class:`tunekit.babysit.history.History` has it."""

    def __init__(self) -> None:
        self._lines: list[dict[str, Any]] = []

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._lines)

    def backwards(self) -> Iterator[dict[str, Any]]:
        """The lines, the newest first."""
        return iter(self._lines[::-1])

    def append(self, lines: Sequence[Any]) -> None:
        """Some more."""
        self._lines += lines


class Nowhere:
    """What :class:`tunekit.babysit.folder.Folder` keeps, in memory."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self.lines = Remembered()

    def commit(
        self, course: Course, beside: Mapping[str, Any], lines: Sequence[Any]
    ) -> None:
        """Note what a round came to."""
        self.lines.append(lines)
        self._states = {
            name: state
            for name, state in self._states.items()
            if name in course.checkpoints
        }

    def forget_all_but(self, name: str) -> None:
        """Let go of every other checkpoint."""
        self._states = {name: self._states[name]}

    def history(self) -> list[dict[str, Any]]:
        """Every round and edit so far."""
        return list(self.lines)

    def load(self, name: str, whose: str | None = None) -> State | None:
        """A checkpoint; None where there is none."""
        return self._states.get(name)

    def save(self, name: str, state: State, whose: str) -> None:
        """Keep a checkpoint."""
        self._states[name] = state
