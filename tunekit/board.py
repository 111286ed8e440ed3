"""TensorBoard's files: every trial's curves, and the HPARAMS table that joins them.

One run folder a trial with one event file in it, written without threads and flushed
after every epoch, so that curves are watched while they grow. The HPARAMS tab needs one
description of the hyperparameters at the root, and in each trial its values, the final
metrics and the end of its session; torch's own ``add_hparams`` scatters these over
folders named by the time, so the messages are built here. TensorFlow is not needed.

The board only tells. When the disk is full or the folder gone, it goes quiet, keeps the
message in :attr:`Board.trouble`, and the trial goes on.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    from tunekit.trial import Metrics

__all__ = ["Board", "TrialBoard", "run_name"]

_CURVES = {
    "loss/train": ("training loss", "Mean cross-entropy a row, on training rows."),
    "loss/val": ("validation loss", "Mean cross-entropy a row, on validation rows."),
    "score/train": ("training accuracy", "Share of training rows that are right."),
    "score/val": ("validation accuracy", "Share of validation rows that are right."),
    "lr": ("learning rate", "Step size of the optimizer in this epoch."),
}
_FINALS = {
    "hparam/val_loss": (
        "lowest validation loss",
        "The lowest validation loss of the trial; its weights are the ones kept.",
    ),
    "hparam/val_score": (
        "validation accuracy at that epoch",
        "Share of validation rows that are right, at the epoch of the lowest loss.",
    ),
}
_ROOT_FILE = "events.out.tfevents.0000000000.tunekit"


def run_name(number: int) -> str:
    """The run folder of a trial; zeros in front keep runs in order.

    Example:
        >>> run_name(42)
        'trial-00042'
    """
    return f"trial-{number:05d}"


class Board:
    """The ``tb/`` folder of a study.

    Args:
        tb: The folder TensorBoard is pointed at; it is made when something is written.

    Example:
        >>> import tempfile
        >>> from tunekit.trial import Metrics
        >>> board = Board(Path(tempfile.mkdtemp()) / "tb")
        >>> board.describe({"lr": (1e-4, 1e-1), "optimizer": ["sgd", "adam"]})
        >>> trial = board.open(0, {"lr": 1e-3, "optimizer": "adam"})
        >>> trial.epoch(1, Metrics(0.9, 0.8, 0.7, 0.75, 1e-3, 0.1))
        >>> trial.close(0.8, 0.75, ok=True)
        >>> board.trouble is None
        True
    """

    trouble: str | None
    """The first error met on writing, after which the board is quiet; None so far."""

    def __init__(self, tb: Path) -> None:
        """A board below ``tb``; nothing is written yet."""
        self.tb = tb
        self.trouble = None
        self._strings: frozenset[str] = frozenset()

    def describe(
        self, hyperparameters: Mapping[str, Sequence[Any] | tuple[float, float]]
    ) -> None:
        """Tell TensorBoard what is searched; written once, at the root.

        Every process that opens trials calls this, so that all give a hyperparameter
        the same type; whoever comes first writes the file.

        Args:
            hyperparameters: By name, a list of choices or a tuple (low, high), in human
                values.
        """
        kinds = {
            name: _kind(domain) for name, domain in hyperparameters.items() if domain
        }
        self._strings = frozenset(name for name in kinds if kinds[name] is str)
        self._guarded(lambda: self._describe(hyperparameters, kinds))

    def open(self, number: int, params: Mapping[str, Any]) -> TrialBoard:
        """Begin the run of a trial; what an earlier attempt at it wrote is removed.

        Args:
            number: The trial's number.
            params: Its active hyperparameters, in human values.
        """
        return TrialBoard(self, number, params)

    def _describe(
        self, hyperparameters: Mapping[str, Sequence[Any]], kinds: Mapping[str, type]
    ) -> None:
        from tensorboard.plugins.hparams import api_pb2

        path = self.tb / _ROOT_FILE
        if path.exists():
            return
        experiment = api_pb2.Experiment(time_created_secs=time.time())
        for name, domain in hyperparameters.items():
            kind = kinds.get(name, str)
            info = experiment.hparam_infos.add(
                name=name,
                type={
                    bool: api_pb2.DATA_TYPE_BOOL,
                    float: api_pb2.DATA_TYPE_FLOAT64,
                    str: api_pb2.DATA_TYPE_STRING,
                }[kind],
            )
            if isinstance(domain, tuple):
                info.domain_interval.min_value, info.domain_interval.max_value = domain
            elif domain:
                info.domain_discrete.extend(
                    [str(item) if kind is str else item for item in domain]
                )
        for tag, (display_name, description) in _FINALS.items():
            experiment.metric_infos.add(
                name=api_pb2.MetricName(tag=tag),
                display_name=display_name,
                description=description,
            )
        self.tb.mkdir(parents=True, exist_ok=True)
        # Written aside, under a name TensorBoard does not read, then put in place
        # whole: several workers may come at once.
        aside = path.with_name(f".describe.{os.getpid()}")
        with contextlib.closing(_writer(aside)) as writer:
            _tell(writer, "_hparams_/experiment", experiment=experiment)
        aside.replace(path)

    def _guarded(self, write: Callable[[], None]) -> None:
        """Write, unless an earlier write failed."""
        if self.trouble is not None:
            return
        try:
            write()
        except OSError as error:
            self.trouble = f"TensorBoard files stop here: {error}"


class TrialBoard:
    """One trial's run folder, open for writing; made by :meth:`Board.open`."""

    def __init__(self, board: Board, number: int, params: Mapping[str, Any]) -> None:
        """The run of trial ``number``, begun with its hyperparameters."""
        self._board = board
        self._writer: RecordWriter | None = None
        self._described: set[str] = set()
        self._guarded(lambda: self._open(board.tb / run_name(number), params))

    def epoch(self, epoch: int, metrics: Metrics) -> None:
        """Add one point to every curve; it can be seen at once.

        Args:
            epoch: Epochs completed, from 1.
            metrics: What the epoch came to.
        """
        values = {
            "loss/train": metrics.train_loss,
            "loss/val": metrics.val_loss,
            "score/train": metrics.train_score,
            "score/val": metrics.val_score,
            "lr": metrics.lr,
        }
        self._guarded(lambda: self._scalars(epoch, values, _CURVES))

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

    def _open(self, folder: Path, params: Mapping[str, Any]) -> None:
        from tensorboard.plugins.hparams import plugin_data_pb2

        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        self._writer = _writer(
            folder / f"events.out.tfevents.{int(time.time()):010d}.tunekit"
        )
        start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
        for name, value in params.items():
            kind = str if name in self._board._strings else _kind([value])
            if kind is bool:
                start.hparams[name].bool_value = value
            elif kind is float:
                start.hparams[name].number_value = value
            else:
                start.hparams[name].string_value = str(value)
        tag = "_hparams_/session_start_info"
        _tell(self._writer, tag, session_start_info=start)

    def _close(self, val_loss: float | None, val_score: float | None, ok: bool) -> None:
        from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

        finals = {"hparam/val_loss": val_loss, "hparam/val_score": val_score}
        known = {
            tag: value
            for tag, value in finals.items()
            if value is not None and math.isfinite(value)
        }
        if known:
            self._scalars(0, known, _FINALS)
        end = plugin_data_pb2.SessionEndInfo(
            status=api_pb2.STATUS_SUCCESS if ok else api_pb2.STATUS_FAILURE,
            end_time_secs=time.time(),
        )
        if self._writer is not None:
            _tell(self._writer, "_hparams_/session_end_info", session_end_info=end)

    def _scalars(
        self,
        step: int,
        values: Mapping[str, float],
        words: Mapping[str, tuple[str, str]],
    ) -> None:
        """One event with all the values; the first of a tag carries what it means."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_FLOAT

        summary = Summary()
        for tag, value in values.items():
            entry = summary.value.add(
                tag=tag, tensor=TensorProto(dtype=DT_FLOAT, float_val=[value])
            )
            entry.tensor.tensor_shape.SetInParent()
            if tag not in self._described:
                self._described.add(tag)
                entry.metadata.CopyFrom(_scalar_metadata(*words[tag]))
        if self._writer is not None:
            _add(self._writer, summary, step)


def _kind(domain: Sequence[Any]) -> type:
    """The type TensorBoard gives a hyperparameter: bool, float, or else str."""
    if domain and all(isinstance(value, bool) for value in domain):
        return bool
    if domain and all(
        isinstance(value, int | float) and not isinstance(value, bool)
        for value in domain
    ):
        return float
    return str


def _scalar_metadata(display_name: str, description: str) -> Any:
    from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_SCALAR, SummaryMetadata

    return SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"),
        display_name=display_name,
        summary_description=description,
        data_class=DATA_CLASS_SCALAR,
    )


def _tell(writer: RecordWriter, tag: str, **data: Any) -> None:
    """Write one message of the HPARAMS plugin: metadata around an empty tensor."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    summary = Summary()
    summary.value.add(
        tag=tag,
        metadata=metadata.create_summary_metadata(HParamsPluginData(**data)),
        tensor=metadata.NULL_TENSOR,
    )
    _add(writer, summary)


def _writer(path: Path) -> RecordWriter:
    """A new event file, its header written."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    writer = RecordWriter(path.open("wb"))
    header = Event(wall_time=time.time(), file_version="brain.Event:2")
    writer.write(header.SerializeToString())
    return writer


def _add(writer: RecordWriter, summary: Summary, step: int = 0) -> None:
    from tensorboard.compat.proto.event_pb2 import Event

    event = Event(wall_time=time.time(), step=step, summary=summary)
    writer.write(event.SerializeToString())
    writer.flush()
