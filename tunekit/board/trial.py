"""One trial's run folder: its curves, and its line in the HPARAMS table."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunekit.board.events import add, last_step, scalars, tell, writer
from tunekit.board.kinds import kind_of

if TYPE_CHECKING:
    from tensorboard.summary.writer.record_writer import RecordWriter

    from tunekit.board.board import Board
    from tunekit.trial import Metrics

__all__ = ["TrialBoard", "run_name"]


def run_name(number: int) -> str:
    """The run folder of a trial; zeros in front keep runs in order.

    Example:
        >>> run_name(42)
        'trial-00042'
    """
    return f"trial-{number:05d}"


class TrialBoard:
    """One trial's run folder, open for writing; made by :meth:`Board.open`."""

    def __init__(
        self,
        board: Board,
        number: int,
        params: Mapping[str, Any],
        curve: Sequence[Metrics] = (),
    ) -> None:
        """The run of trial ``number``, with its hyperparameters and its curve."""
        self._board = board
        self._writer: RecordWriter | None = None
        self._described: set[str] = set()
        folder = board.tb / run_name(number)
        self._guarded(lambda: self._open(folder, params, curve))

    def epoch(self, epoch: int, metrics: Metrics) -> None:
        """Add one point to every curve; it can be seen at once.

        Args:
            epoch: Epochs completed, from 1.
            metrics: What the epoch came to.
        """
        tags = self._board.tags
        values = tags.of_epoch(metrics)
        self._guarded(lambda: self._scalars(epoch, values, tags.curves))

    def close(self, val_loss: float | None, val_score: float | None, ok: bool) -> None:
        """Write the final metrics and the end of the session.

        Args:
            val_loss: The lowest validation loss, if there was one.
            val_score: The validation accuracy at that epoch.
            ok: Whether the trial ended without an error.
        """
        self._guarded(lambda: self._close(val_loss, val_score, ok))
        self._release()

    def _guarded(self, write: Callable[[], None]) -> None:
        self._board._guarded(write)
        if self._board.trouble is not None:
            self._release()

    def _release(self) -> None:
        """Close the file; what a full disk left in its buffer is lost in silence."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()
            self._writer = None

    def _open(
        self, folder: Path, params: Mapping[str, Any], curve: Sequence[Metrics]
    ) -> None:
        if curve and folder.exists():
            files = [*folder.iterdir()]
            if len(files) == 1 and last_step(files[0]) == len(curve):
                self._writer = writer(files[0])
                return
        self._begin(folder, params)
        for epoch, metrics in enumerate(curve, start=1):
            self.epoch(epoch, metrics)

    def _begin(self, folder: Path, params: Mapping[str, Any]) -> None:
        """A new run; what an earlier attempt at it wrote is removed."""
        from tensorboard.plugins.hparams import plugin_data_pb2

        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        self._writer = writer(
            folder / f"events.out.tfevents.{int(time.time()):010d}.tunekit"
        )
        start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
        for name, value in params.items():
            kind = str if name in self._board._strings else kind_of([value])
            if kind is bool:
                start.hparams[name].bool_value = value
            elif kind is float:
                start.hparams[name].number_value = value
            else:
                start.hparams[name].string_value = str(value)
        tag = "_hparams_/session_start_info"
        tell(self._writer, tag, session_start_info=start)

    def _close(self, val_loss: float | None, val_score: float | None, ok: bool) -> None:
        from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

        tags = self._board.tags
        if known := tags.at_end(val_loss, val_score):
            self._scalars(0, known, tags.finals)
        end = plugin_data_pb2.SessionEndInfo(
            status=api_pb2.STATUS_SUCCESS if ok else api_pb2.STATUS_FAILURE,
            end_time_secs=time.time(),
        )
        if self._writer is not None:
            tell(self._writer, "_hparams_/session_end_info", session_end_info=end)

    def _scalars(
        self,
        step: int,
        values: Mapping[str, float],
        words: Mapping[str, tuple[str, str]],
    ) -> None:
        """One event with all the values; the first of a tag carries what it means."""
        summary = scalars(values, words, self._described)
        if self._writer is not None:
            add(self._writer, summary, step)
