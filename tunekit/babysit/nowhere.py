"""A babysat model that is kept in no folder: its state is gone with the process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunekit.babysit.course import Course
from tunekit.trial import State

__all__ = ["Nowhere"]


class Nowhere:
    """What :class:`tunekit.babysit.folder.Folder` keeps, in memory."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._history: list[dict[str, Any]] = []

    def commit(
        self, course: Course, beside: Mapping[str, Any], lines: Sequence[Any]
    ) -> None:
        """Note what a round came to."""
        self._history += lines
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
        return list(self._history)

    def load(self, name: str, whose: str | None = None) -> State | None:
        """A checkpoint; None where there is none."""
        return self._states.get(name)

    def save(self, name: str, state: State, whose: str) -> None:
        """Keep a checkpoint."""
        self._states[name] = state
