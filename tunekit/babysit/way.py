"""What a history says of the model's way: what it was trained by, and what it was not.

A history is read line by line, oldest first. Which branch of a burst is gone on with,
its own line says; of a rescue, that is known only once it is over: its rounds wait
until then. Nothing else is kept, so that a history of days costs no memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["BEST", "LINE", "SCORE", "TRAIN", "TRIED", "VAL", "Part", "Way", "points"]

LINE, BEST, TRIED = "line", "best", "tried"
TRAIN, VAL, SCORE = "loss/train", "loss/val", "score/val"

Part = tuple[str, int, Mapping[str, Any]]
"""Of which of the three it tells, the epochs spent at its end, and a branch of a round
as the history has it; the best so far has ``val`` alone."""


class Way:
    """Turns lines of a history into parts of the way, in order.

    ``line`` is the model as it trained: losses, score, and every hyperparameter that
    can change. After it was taken back it goes on at a later step, as it was.
    ``best`` is the best value so far, and ``tried`` what was given up.

    Example:
        >>> branch = {"settings": {"lr": 0.1}, "train": [1.0], "val": [2.0]}
        >>> branch |= {"score": [], "to": "000007-0"}
        >>> line = {"spent": 7, "epochs": 1, "kept": 0, "best": 2.0, "doing": "train"}
        >>> for part in Way().parts({**line, "branches": [branch]}):
        ...     print(*points(part))
        ('line', 7, {'loss/train': 1.0, 'loss/val': 2.0, 'hyperparameter/lr': 0.1})
        ('best', 7, {'loss/val': 2.0})
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Mapping[str, Any]]] = []

    def parts(self, line: Mapping[str, Any]) -> Iterator[Part]:
        """What a line adds, and what it decides of lines before it."""
        joined, spent = line.get("joined", ()), line["spent"]
        branches, kept = line.get("branches"), line.get("kept")
        if joined or (branches is not None and line["doing"] != "rescue"):
            # The rescue before this line, or up to it, is over.
            for at, branch in self._waiting:
                yield LINE if branch["to"] in joined else TRIED, at, branch
            self._waiting = []
        if branches is None:
            return
        for i, branch in enumerate(branches):
            if i == kept or branch["to"] in joined:
                yield LINE, spent, branch
            elif line["doing"] == "rescue" and not joined:
                self._waiting.append((spent, branch))
            else:
                yield TRIED, spent, branch
        yield BEST, spent, {"val": [line["best"]]}


def points(part: Part) -> Iterator[tuple[str, int, dict[str, float]]]:
    """A part by epochs: of which it tells, the step, and values by tag.

    Of what was given up, and of the best, it is the last epoch.
    """
    run, spent, branch = part
    if run != LINE:
        if branch["val"] and (last := _finite({VAL: branch["val"][-1]})):
            yield run, spent, last
        return
    first = spent - len(branch["val"]) + 1
    losses = {TRAIN: branch["train"], VAL: branch["val"], SCORE: branch["score"]}
    for n in range(len(branch["val"])):
        # What a module does not tell is left out.
        values = {tag: each[n] for tag, each in losses.items() if each}
        settings = branch["settings"].items()
        values |= {f"hyperparameter/{name}": value for name, value in settings}
        yield run, first + n, _finite(values)


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        tag: value
        for tag, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
