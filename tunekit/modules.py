"""The engine for anybody's LightningModule, of either Lightning package.

A module is made for every run, and made again when a paused run goes on: its weights,
optimizers, schedules, callbacks and progress come from a checkpoint of Lightning's own,
kept as tensors and plain values (:mod:`tunekit.plain`). Module, data and every epoch
draw from random streams of the run alone, so that a run which was paused, in this
process or another, goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset, IterableDataset

from tunekit.errors import ConfigError, one_line
from tunekit.feed import in_time, one_by_one, train_together
from tunekit.follow import HELD, begin, follow
from tunekit.follower import Follower
from tunekit.limit import Alarm
from tunekit.packages import package_of, part_of
from tunekit.plain import unpacked
from tunekit.quiet import quiet
from tunekit.ranks import Link, fit_in_processes
from tunekit.renew import renew
from tunekit.states import from_bytes
from tunekit.states import part_of as part_of_state
from tunekit.streams import seed_data, seed_module, streams_kept
from tunekit.trainers import OpenTrial, TrainerOptions, Trainers, fit_arguments
from tunekit.trial import (
    Feed,
    Fitted,
    Heard,
    Metrics,
    OnEpoch,
    Recipe,
    Run,
    State,
    Verdict,
)

__all__ = ["ModuleEngine"]


class ModuleEngine:
    """Trains runs, one at a time, in a Trainer each.

    Args:
        make: Called with a run's ``params``; returns a LightningModule, or a pair of
            one and its data.
        data: The data of all modules that bring none; see
            :func:`tunekit.trainers.fit_arguments`.
        monitor: The name under which a module logs its value.
        maximize: Whether higher values are better.
        trainer: Arguments of a Trainer, or a function of the trial that gives them.
        folder: Where a trial's own callbacks and loggers may write, each in a folder of
            its own; the working folder when None.
        shown: From a run's ``params`` to what such a function sees of them.
        renewed: Whether a run that is opened from a state may have other
            hyperparameters than it had: then optimizers have those that ``make`` gives.
            A run of a number then takes the place of earlier ones: what their callbacks
            wrote as checkpoints is deleted, but for what the state names.

    Raises:
        ConfigError: An argument of a Trainer that is not to be given.
    """

    name = "lightning"
    trouble = ""

    def __init__(
        self,
        make: Callable[[Any], Any],
        *,
        data: Any = None,
        monitor: str = "val_loss",
        maximize: bool = False,
        trainer: TrainerOptions | None = None,
        folder: Path | None = None,
        shown: Callable[[Any], Any] = lambda params: params,
        renewed: bool = False,
    ) -> None:
        self._make, self._data, self._monitor = make, data, monitor
        self._maximize, self._trainers = maximize, Trainers(trainer or {}, folder)
        self._shown, self._renewed = shown, renewed

    def train(self, run: Run, on_epoch: OnEpoch) -> Fitted:
        """Train one run to its end; see :class:`tunekit.trial.Engine`."""

        def hear(heard: Heard) -> bool:
            return on_epoch(heard.epoch, heard.metrics)

        return train_together(self, [run], hear)[0]

    def train_until(
        self, run: Run, on_epoch: Callable[[int, Metrics], Verdict]
    ) -> Fitted | State:
        """Train one run until it ends or is paused; see :data:`tunekit.feed.Train`.

        Raises:
            ConfigError: What ``make`` gives is no LightningModule, does not log the
                monitored value, or keeps what no file can hold without running code.
            TookLongerError: It trains for longer than the run may.
            Exception: Whatever the module raises.
        """
        alarm = Alarm(run.max_seconds)
        hear = in_time(run, alarm, lambda: follower.curve, on_epoch)
        follower = Follower(run, self._monitor, hear, maximize=self._maximize)
        left = run.seconds_left(follower.curve)
        try:
            with streams_kept(), quiet():
                came_to = alarm.during(left, lambda: self._fit(run, follower))
        except Exception:
            self.forget(run.key)
            raise
        if came_to.extra is not None:
            return came_to
        self.forget(run.key)
        return Fitted(
            curve=list(came_to.curve),
            best_epoch=came_to.best_epoch,
            weights=part_of_state(came_to, "best"),
            diverged=follower.diverged,
        )

    def _fit(self, run: Run, follower: Follower) -> State:
        """What a run has come to in a Trainer of its own."""
        seed_module(run)
        module, data = made(self._make(run.params), self._data)
        package = package_of(module)
        assert package is not None
        given = fit_arguments(package, data)
        trial = OpenTrial(int(run.key.rpartition("-")[2]), self._shown(run.params))
        state = None
        if run.state is not None:
            state = unpacked(run.state.tensors, run.state.extra)
        if self._renewed and not run.paused_at:
            # A round begins, and what an earlier one left is no part of it.
            self._trainers.tidy(trial.number, state)
        first, last = begin(package)(follower), follow(package)(follower)
        ours = [[first], [last]]
        if self._renewed:
            ours[0].append(renew(package)(going_on=state is not None))
        trainer = self._trainers.make(package, trial, run.max_epochs, ours, state)

        def fit() -> None:
            # What is set up before the first callback is heard draws from these.
            seed_data(run)
            try:
                trainer.fit(module, **given, ckpt_path=None if state is None else HELD)
            except RuntimeError as error:
                # What torch says of weights that do not fit, a line for each.
                if not self._renewed or "in loading state_dict" not in str(error):
                    raise
                first = one_line(str(error).splitlines()[:2][-1].strip(" \t."))
                raise ConfigError(
                    "the modules of make must have the same layers with all "
                    f"settings, got a {first}; keep what decides over layers out of "
                    "space"
                ) from None

        try:
            if trainer.world_size > 1:
                came_to = self._fit_in_processes(trainer, fit, follower, (first, last))
            else:
                fit()
                kept = trainer.strategy.checkpoint_io.kept
                came_to = follower.state(kept if follower.pausing else None)
        finally:
            if (datamodule := given.get("datamodule")) is not None:
                # It outlives the run: the module and all it holds must not.
                datamodule.trainer = None
        if not came_to.curve:
            raise ValueError(
                "training must have one batch an epoch at least, got none; the batch "
                "size may exceed the rows, or limit_train_batches be 0"
            )
        return came_to

    def _fit_in_processes(
        self,
        trainer: Any,
        fit: Callable[[], None],
        follower: Follower,
        callbacks: Sequence[Any],
    ) -> State:
        line, far = Pipe()
        link = Link(far)
        remote = Follower(
            follower.run,
            self._monitor,
            link,
            maximize=self._maximize,
            tell=link.send,
        )
        for callback in callbacks:
            callback.follower = remote
        told = fit_in_processes(trainer, fit, line, follower)
        return follower.state(None) if told is None else from_bytes(told)

    def train_all(self, feed: Feed, slots: int) -> None:
        """Train the feed's runs one after the other; a Trainer holds only one."""
        one_by_one(self.train_until, feed, maximize=self._maximize)

    def forget(self, key: str) -> None:
        """Let go of the loggers of a paused run that will not go on."""
        self._trainers.forget(int(key.rpartition("-")[2]))

    def expect(self, recipe: Recipe, epochs: int, slots: int) -> None:
        """Nothing to make ready."""

    def close(self) -> None:
        """Nothing to let go of."""


def made(given: Any, data: Any) -> tuple[Any, Any]:
    """The module and the data of what ``make`` has given.

    Args:
        given: A LightningModule, or a pair of one and its data.
        data: What all share that bring none.

    Raises:
        ConfigError: If it is neither, or there is no data in batches.
    """
    pair = isinstance(given, tuple) and len(given) == 2
    module, own = given if pair else (given, None)
    package, name = package_of(module), type(module).__name__
    if package is None:
        raise ConfigError(
            "make(params) must return a LightningModule, or a pair of one and its "
            f"data, got {name}"
        )
    data = data if own is None else own
    nobody = part_of(package, "LightningModule").train_dataloader
    if data is None and type(module).train_dataloader is nobody:
        raise ConfigError(
            f"data must be given where a module brings none, as {name}, got None; give "
            "a LightningDataModule, or a pair of training and validation loaders"
        )
    for part in data if isinstance(data, tuple | list) else (data,):
        # Lightning would take its rows, one by one, for batches.
        if isinstance(part, Dataset) and not isinstance(part, IterableDataset):
            raise ConfigError(
                f"data must be in batches, got the dataset {type(part).__name__}; give "
                "DataLoader(dataset, batch_size=...) in its place"
            )
    return module, data
