"""TensorBoard's curves of a babysat model, against the epochs spent in all.

The run ``line`` has the model as it trained: losses, score, and every hyperparameter
that can change. After a rollback it goes on further up, at a later step, as it was. The
run ``best`` has the best value so far, and the run ``tried`` the end of every branch
that was given up. Made from the history, so that a restart draws it anew and whole.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunekit.board.events import add, scalars, writer

if TYPE_CHECKING:
    from tensorboard.summary.writer.record_writer import RecordWriter

__all__ = ["Curves", "points"]

LINE, BEST, TRIED = "line", "best", "tried"
_TRAIN, _VAL, _SCORE = "loss/train", "loss/val", "score/val"
_WORDS = {
    _TRAIN: ("training loss", "Of each epoch, by all epochs spent so far."),
    _VAL: ("validation loss", "Of each epoch, by all epochs spent so far."),
    _SCORE: ("validation score", "Of each epoch, by all epochs spent so far."),
}

Event = tuple[str, int, dict[str, float]]
"""A run, the epochs spent in all, and values by tag."""


class Curves:
    """The folder that TensorBoard is pointed at.

    Args:
        tb: The folder.
        history: What was before; it is drawn anew.
        metric: What the value is; the tag of one that is not tunekit's own.

    Attributes:
        trouble: The first error met on writing, after which it is quiet.
    """

    def __init__(
        self,
        tb: Path,
        history: Iterable[Mapping[str, Any]] = (),
        metric: str = "val_loss",
    ) -> None:
        self.trouble = ""
        self._writers: dict[str, RecordWriter] = {}
        self._described: dict[str, set[str]] = {}
        self._tag = _VAL if metric == "val_loss" else metric
        with self._guarded():
            shutil.rmtree(tb, ignore_errors=True)
            for run in (LINE, BEST, TRIED):
                (tb / run).mkdir(parents=True)
                name = f"events.out.tfevents.{int(time.time()):010d}.tunekit"
                self._writers[run] = writer(tb / run / name)
                self._described[run] = set()
        for line in history:
            self.tell(line)

    def tell(self, line: Mapping[str, Any]) -> None:
        """Draw one line of the history."""
        for run, step, values in points(line):
            if run not in self._writers:
                return
            values = {self._tag if t == _VAL else t: v for t, v in values.items()}
            with self._guarded():
                words = {tag: _WORDS.get(tag, (tag, _meant(tag))) for tag in values}
                summary = scalars(values, words, self._described[run])
                add(self._writers[run], summary, step)

    def close(self) -> None:
        """Close the files."""
        for each in self._writers.values():
            with contextlib.suppress(OSError):
                each.close()
        self._writers = {}

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.trouble = f"TensorBoard files stop here: {error}"
            self.close()


def points(line: Mapping[str, Any]) -> Iterator[Event]:
    """What a line of the history adds to the curves.

    Example:
        >>> branch = {"settings": {"lr": 0.1}, "train": [1.0], "val": [2.0]}
        >>> branch["score"] = []
        >>> line = {"spent": 7, "epochs": 1, "kept": 0, "best": 2.0}
        >>> for event in points({**line, "branches": [branch]}):
        ...     print(event)
        ('line', 7, {'loss/train': 1.0, 'loss/val': 2.0, 'hyperparameter/lr': 0.1})
        ('best', 7, {'loss/val': 2.0})
    """
    branches = line.get("branches")
    if branches is None:
        return
    spent, kept = line["spent"], line["kept"]
    for i, branch in enumerate(branches):
        if i == kept:
            first = spent - len(branch["val"]) + 1
            losses = {_TRAIN: branch["train"], _VAL: branch["val"]}
            losses[_SCORE] = branch["score"]
            for n in range(len(branch["val"])):
                # What a module does not tell is left out.
                values = {tag: each[n] for tag, each in losses.items() if each}
                values |= {
                    f"hyperparameter/{name}": value
                    for name, value in branch["settings"].items()
                }
                yield LINE, first + n, _finite(values)
        elif branch["val"] and (last := _finite({_VAL: branch["val"][-1]})):
            yield TRIED, spent, last
    if best := _finite({_VAL: line["best"]}):
        yield BEST, spent, best


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        tag: value
        for tag, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def _meant(tag: str) -> str:
    return f"{tag.partition('/')[2]} in each epoch, by all epochs spent so far."
