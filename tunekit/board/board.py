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
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunekit.board.events import tell, writer
from tunekit.board.kinds import kind_of
from tunekit.board.tags import Tags
from tunekit.board.trial import TrialBoard

if TYPE_CHECKING:
    from tunekit.trial import Metrics

__all__ = ["Board"]

_ROOT_FILE = "events.out.tfevents.0000000000.tunekit"


class Board:
    """The ``tb/`` folder of a study.

    Args:
        tb: The folder TensorBoard is pointed at; it is made when something is written.
        monitor: What trials log that are not tunekit's own networks; see
            :class:`tunekit.board.tags.Tags`.

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

    def __init__(self, tb: Path, monitor: str = "") -> None:
        """A board below ``tb``; nothing is written yet."""
        self.tb, self.tags = tb, Tags(monitor)
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
            name: kind_of(domain) for name, domain in hyperparameters.items() if domain
        }
        self._strings = frozenset(name for name in kinds if kinds[name] is str)
        self._guarded(lambda: self._describe(hyperparameters, kinds))

    def open(
        self, number: int, params: Mapping[str, Any], curve: Sequence[Metrics] = ()
    ) -> TrialBoard:
        """Begin the run of a trial, or go on with it where it was paused.

        Args:
            number: The trial's number.
            params: Its active hyperparameters, in human values.
            curve: What it came to before. Where the run folder holds that and no more,
                it goes on; else it is made anew with this.
        """
        return TrialBoard(self, number, params, curve)

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
        for tag, (display_name, description) in self.tags.finals.items():
            experiment.metric_infos.add(
                name=api_pb2.MetricName(tag=tag),
                display_name=display_name,
                description=description,
            )
        self.tb.mkdir(parents=True, exist_ok=True)
        # Written aside, under a name TensorBoard does not read, then put in place
        # whole: several workers may come at once.
        aside = path.with_name(f".describe.{os.getpid()}")
        with contextlib.closing(writer(aside)) as made:
            tell(made, "_hparams_/experiment", experiment=experiment)
        aside.replace(path)

    def _guarded(self, write: Callable[[], None]) -> None:
        """Write, unless an earlier write failed."""
        if self.trouble is not None:
            return
        try:
            write()
        except OSError as error:
            self.trouble = f"TensorBoard files stop here: {error}"
