"""TensorBoard's curves of a babysat model, against the epochs spent in all.

Each process writes files of its own, beside those of before: whoever looks on need not
begin anew. What a kill kept from being drawn is drawn by the next.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tunekit.babysit.way import (
    BEST,
    LINE,
    SCORE,
    TRAIN,
    TRIED,
    VAL,
    Part,
    points,
)
from tunekit.board.events import add, scalars, steps, writer

if TYPE_CHECKING:
    from tensorboard.summary.writer.record_writer import RecordWriter

__all__ = ["Curves"]

_NAME = "events.out.tfevents."
_WORDS = {
    TRAIN: ("training loss", "Of each epoch, by all epochs spent so far."),
    VAL: ("validation loss", "Of each epoch, by all epochs spent so far."),
    SCORE: ("validation score", "Of each epoch, by all epochs spent so far."),
}


class Curves:
    """The folder that TensorBoard is pointed at.

    Args:
        tb: The folder.
        metric: What the value is; the tag of one that is not tunekit's own.

    Attributes:
        drawn: The epochs spent in all up to which it is drawn.
        trouble: The first error met on writing, after which it is quiet.
    """

    def __init__(self, tb: Path, metric: str = "val_loss") -> None:
        self.trouble, self.drawn = "", -1
        self._writers: dict[str, RecordWriter] = {}
        self._described: dict[str, set[str]] = {}
        self._tag = VAL if metric == "val_loss" else metric
        with self._guarded():
            # Every round ends with its best: it tells how far rounds are drawn.
            for path in (tb / BEST).glob(f"{_NAME}*"):
                self.drawn = max(self.drawn, *steps(path))
            for run in (LINE, BEST, TRIED):
                (tb / run).mkdir(parents=True, exist_ok=True)
                self._writers[run] = writer(_new(tb / run))
                self._described[run] = set()

    def add(self, part: Part) -> None:
        """Draw a part of the model's way."""
        for run, step, values in points(part):
            if run not in self._writers:
                return
            values = {self._tag if t == VAL else t: v for t, v in values.items()}
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


def _new(folder: Path) -> Path:
    """A file that is read after those that are there: their order is that of names."""
    names = [path.name.removeprefix(_NAME) for path in folder.glob(f"{_NAME}*")]
    before = [int(name[:10]) for name in names if name[:10].isdecimal()]
    number = max(int(time.time()), *(each + 1 for each in before), 0)
    return folder / f"{_NAME}{number:010d}.tunekit"


def _meant(tag: str) -> str:
    return f"{tag.partition('/')[2]} in each epoch, by all epochs spent so far."
