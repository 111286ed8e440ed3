"""What a history says of the model's way: what it was trained by, and what it was not.

A history is read line by line, oldest first. Which branch of a burst is gone on with,
its own line says; of a rescue, that is known only once it is over: its rounds wait
until then. Nothing else is kept, so that a history of days costs no memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["BEST", "LINE", "SCORE", "TRAIN", "TRIED", "VAL", "Event", "Way"]

LINE, BEST, TRIED = "line", "best", "tried"
TRAIN, VAL, SCORE = "loss/train", "loss/val", "score/val"

Event = tuple[str, int, dict[str, float]]
"""Of which of the three it tells, the epochs spent in all, and values by tag."""


class Way:
    """Turns lines of a history into events, in order.

    ``line`` is the model as it trained: losses, score, and every hyperparameter that
    can change. After it was taken back it goes on at a later step, as it was.
    ``best`` is the best value so far, and ``tried`` the end of what was given up.

    Example:
        >>> branch = {"settings": {"lr": 0.1}, "train": [1.0], "val": [2.0]}
        >>> branch |= {"score": [], "to": "000007-0"}
        >>> line = {"spent": 7, "epochs": 1, "kept": 0, "best": 2.0, "doing": "train"}
        >>> for event in Way().events({**line, "branches": [branch]}):
        ...     print(event)
        ('line', 7, {'loss/train': 1.0, 'loss/val': 2.0, 'hyperparameter/lr': 0.1})
        ('best', 7, {'loss/val': 2.0})
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Mapping[str, Any]]] = []

    def events(self, line: Mapping[str, Any]) -> Iterator[Event]:
        """What a line adds, and what it decides of lines before it."""
        joined, spent = line.get("joined", ()), line["spent"]
        branches, kept = line.get("branches"), line.get("kept")
        if joined or (branches is not None and line["doing"] != "rescue"):
            # The rescue before this line, or up to it, is over.
            for at, branch in self._waiting:
                yield from _one(branch, at, on_line=branch["to"] in joined)
            self._waiting = []
        if branches is None:
            return
        for i, branch in enumerate(branches):
            if i == kept or branch["to"] in joined:
                yield from _one(branch, spent, on_line=True)
            elif line["doing"] == "rescue" and not joined:
                self._waiting.append((spent, branch))
            else:
                yield from _one(branch, spent, on_line=False)
        if best := _finite({VAL: line["best"]}):
            yield BEST, spent, best


def _one(branch: Mapping[str, Any], spent: int, *, on_line: bool) -> Iterator[Event]:
    """A branch, at the end of whose round so many epochs were spent."""
    if not on_line:
        if branch["val"] and (last := _finite({VAL: branch["val"][-1]})):
            yield TRIED, spent, last
        return
    first = spent - len(branch["val"]) + 1
    losses = {TRAIN: branch["train"], VAL: branch["val"], SCORE: branch["score"]}
    for n in range(len(branch["val"])):
        # What a module does not tell is left out.
        values = {tag: each[n] for tag, each in losses.items() if each}
        settings = branch["settings"].items()
        values |= {f"hyperparameter/{name}": value for name, value in settings}
        yield LINE, first + n, _finite(values)


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        tag: value
        for tag, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
