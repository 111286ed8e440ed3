"""What a babysat module came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunekit.babysit.course import Course
from tunekit.babysit.folder import Folder
from tunekit.babysit.nowhere import Nowhere
from tunekit.babysit.nudges import Settings
from tunekit.babysit.schedule import Stretch
from tunekit.babysit.steer import FILE
from tunekit.errors import StoppedError
from tunekit.states import part_of
from tunekit.streams import streams_kept
from tunekit.trial import State

__all__ = ["Babysat", "best_weights"]


@dataclass(frozen=True)
class Babysat:
    """What a babysat module came to.

    Attributes:
        best_value: The lowest value of any epoch (the highest, where that is better).
        best_epoch: The epoch that has it, of those that were kept.
        epochs: Epochs trained in all, what was tried included.
        settings: The hyperparameters of the best epoch.
        schedule: The way to it, to be trained again.
        folder: Where it is kept; None where that is nowhere.
    """

    best_value: float
    best_epoch: int
    epochs: int
    settings: Settings
    schedule: list[Stretch]
    folder: Path | None
    _keep: Folder | Nowhere = field(repr=False)
    _weights: Mapping[str, Any] = field(repr=False)
    _make: Callable[[Settings], Any] = field(repr=False)
    _replay: Callable[[int], list[float]] = field(repr=False)

    @property
    def history(self) -> list[dict[str, Any]]:
        """Every round and edit; that of days takes room."""
        return self._keep.history()

    def best_module(self) -> Any:
        """The module, made with the last settings, with the weights of the best epoch.

        It is in evaluation mode, on the CPU.
        """
        with streams_kept():
            given = self._make(self.settings)
            module = given[0] if isinstance(given, tuple) else given
            if hasattr(module, "configure_model"):
                module.configure_model()
        module.load_state_dict(self._weights, strict=False)
        return module.eval()

    def replay(self, seed: int = 0) -> list[float]:
        """Train the schedule again without watching; the value of each epoch.

        Args:
            seed: With the seed it had, it comes to the same values.
        """
        return self._replay(seed)


def best_weights(
    keep: Folder | Nowhere, course: Course, *, stopped: bool
) -> dict[str, Any]:
    """The weights of the best epoch.

    Args:
        keep: Where the checkpoints are.
        course: Where the model stands.
        stopped: Whether the person's file says that training is to end.

    Raises:
        StoppedError: There is none.
    """
    if not course.best_at and not course.rounds:
        got = "no time for it; give the same call a longer timeout"
        if stopped:
            got = f"stop = true in {FILE}; take it out, and the same call goes on"
        raise StoppedError(f"training must come to the end of a first round, got {got}")
    state: State | None = keep.load(course.best_at) if course.best_at else None
    if state is None:
        raise StoppedError(
            "training must come to a finite value, got none with any setting tried; "
            "begin with a lower learning rate"
        )
    return part_of(state, "best")
