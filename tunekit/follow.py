"""The callbacks that follow any LightningModule, and what keeps its checkpoint.

One callback stands first and one last. The first seeds what everybody draws, and takes
weights and checkpoint before others touch them; the last hears of what all have logged.
A run is stopped by ``should_stop`` alone; a paused one goes on from a checkpoint of
Lightning's own, which is kept in memory until somebody stores it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch

from tunekit.errors import ConfigError
from tunekit.follower import Follower
from tunekit.packages import part_of
from tunekit.plain import packed
from tunekit.quiet import hush
from tunekit.seeds import seed_for
from tunekit.states import to_bytes
from tunekit.streams import seed_data, seed_streams
from tunekit.trial import Run, Verdict

__all__ = ["HELD", "begin", "follow", "held"]

HELD = ".tunekit-held"
"""The path under which :func:`held` keeps a checkpoint in memory."""
_MADE_WITH = ("hyper_parameters", "hparams_name", "hparams_type")
"""Of a checkpoint, what a module or its data were made with: ``make`` makes them."""


@cache
def begin(package: str) -> Any:
    """The first callback's class, over ``package``'s own."""
    parent: Any = part_of(package, "callbacks.Callback")

    class Begin(parent):  # type: ignore[misc]
        """Seeds, and takes what a :class:`Follower` needs before others change it."""

        def __init__(self, follower: Follower) -> None:
            self.follower = follower

        def __reduce__(self) -> Any:
            return _revived, ("begin", package, self.follower)

        def on_fit_start(self, trainer: Any, module: Any) -> None:
            # Loaders are made after this, for every trial alike.
            seed_data(self.follower.run)

        def on_train_start(self, trainer: Any, module: Any) -> None:
            _seed_batches(trainer, self.follower.run)

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            self.follower.begin_epoch()
            seed_streams(self.follower.run, "epoch", trainer.current_epoch)

        def on_validation_start(self, trainer: Any, module: Any) -> None:
            if not trainer.sanity_checking:
                self.follower.begin_validation(trainer.callback_metrics)

        def on_validation_epoch_end(self, trainer: Any, module: Any) -> None:
            if trainer.is_global_zero and not trainer.sanity_checking:
                self.follower.judged(module)

        def on_train_end(self, trainer: Any, module: Any) -> None:
            # Here the epoch is over to the loops and schedules, too.
            if self.follower.pausing:
                with _told(self.follower):
                    trainer.save_checkpoint(HELD)

    return Begin


@cache
def follow(package: str) -> Any:
    """The last callback's class, over ``package``'s own.

    It counts as one that checkpoints: those hear of an epoch last, when all that
    modules and other callbacks log is known; and a Trainer that has one adds none.
    """
    parent: Any = part_of(package, "callbacks.Checkpoint")

    class Follow(parent):  # type: ignore[misc]
        """Tells a :class:`Follower` of a Trainer's epochs."""

        def __init__(self, follower: Follower) -> None:
            self.follower = follower

        def __reduce__(self) -> Any:
            return _revived, ("follow", package, self.follower)

        def on_train_batch_end(
            self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            self.follower.stepped(outputs)

        def on_validation_end(self, trainer: Any, module: Any) -> None:
            if not trainer.sanity_checking:
                self.follower.validated(trainer.callback_metrics)

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            follower, verdict = self.follower, None
            if trainer.is_global_zero:
                lr = math.nan
                if trainer.optimizers:
                    lr = float(trainer.optimizers[0].param_groups[0]["lr"])
                with _told(follower):
                    verdict = follower.end_epoch(
                        trainer.callback_metrics,
                        lr,
                        module,
                        stopping=trainer.should_stop,
                    )
            if trainer.world_size > 1:
                told = trainer.strategy.broadcast((verdict, follower.pausing))
                verdict, follower.pausing = told
            if verdict is not Verdict.GO_ON:
                trainer.should_stop = True

        def on_train_end(self, trainer: Any, module: Any) -> None:
            follower = self.follower
            if trainer.is_global_zero and follower.tell is not None:
                kept = trainer.strategy.checkpoint_io.kept
                state = follower.state(kept if follower.pausing else None)
                follower.tell(to_bytes(state))

    return Follow


@contextmanager
def _told(follower: Follower) -> Iterator[None]:
    """What is not the run's fault is told to whoever leads, before it is raised."""
    try:
        yield
    except ConfigError as error:
        if follower.tell is not None:
            follower.tell(str(error))
        raise


def _revived(which: str, package: str, follower: Follower) -> Any:
    """A callback, in a process of the Trainer's: as quiet and as seeded as here."""
    hush()
    seed_data(follower.run)
    made = begin(package) if which == "begin" else follow(package)
    return made(follower)


def _seed_batches(trainer: Any, run: Run) -> None:
    """Seed an epoch's batches where they are drawn, and then its steps.

    A Trainer draws the first epoch's before that begins, together with whatever else it
    does first: they are drawn anew, so that it does not matter where it begins.
    """
    loop = trainer.fit_loop.epoch_loop
    on_run_start, first = loop.on_run_start, trainer.current_epoch

    def seeded(fetcher: Any) -> None:
        epoch = trainer.current_epoch
        seed_streams(run, "batches", epoch)
        for generator in _generators(trainer.train_dataloader):
            generator.manual_seed(seed_for(run.seed, run.draws, "batches", epoch))
        if epoch == first:
            iter(fetcher)
        on_run_start(fetcher)
        seed_streams(run, "steps", epoch)

    loop.on_run_start = seeded


def _generators(loaders: Any) -> Iterable[torch.Generator]:
    """The generators that loaders, one or a tree of them, draw their order from."""
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    if isinstance(loaders, list | tuple):
        for each in loaders:
            yield from _generators(each)
        return
    batches = getattr(loaders, "batch_sampler", None)
    owners = loaders, getattr(loaders, "sampler", None), getattr(batches, "sampler", 0)
    for owner in owners:
        generator = getattr(owner, "generator", None)
        if isinstance(generator, torch.Generator):
            yield generator


@cache
def held(package: str) -> Any:
    """The class of what keeps one checkpoint in memory, and passes all others on."""
    parent: Any = part_of(package, "plugins.io.CheckpointIO")

    class Held(parent):  # type: ignore[misc]
        """Beside a Trainer's own way to write checkpoints.

        Args:
            inner: That way.
            checkpoint: What a run goes on from; None to begin.

        Attributes:
            kept: What a paused run goes on from; see :data:`tunekit.follower.Kept`.
        """

        def __init__(self, inner: Any, checkpoint: Any) -> None:
            self.inner, self.checkpoint, self.kept = inner, checkpoint, None

        def save_checkpoint(
            self, checkpoint: Any, path: Any, *given: Any, **named: Any
        ) -> None:
            if path != HELD:
                self.inner.save_checkpoint(checkpoint, path, *given, **named)
                return
            # Copied now: what comes at the end of training may change the weights.
            self.kept = _kept(checkpoint)

        def load_checkpoint(self, path: Any, *given: Any, **named: Any) -> Any:
            if path == HELD:
                # Optimizers go on in the very tensors that they are given, which
                # several processes would share.
                return copy.deepcopy(self.checkpoint)
            return self.inner.load_checkpoint(path, *given, **named)

        def remove_checkpoint(self, path: Any) -> None:
            self.inner.remove_checkpoint(path)
            # What processes hand over their weights in is left behind, empty.
            if Path(path).name == ".temp.ckpt":
                with suppress(OSError):
                    Path(path).parent.rmdir()

        def teardown(self) -> None:
            self.inner.teardown()

        def __reduce__(self) -> Any:
            return _held, (package, self.inner, self.checkpoint)

    return Held


def _held(package: str, inner: Any, checkpoint: Any) -> Any:
    return held(package)(inner, checkpoint)


def _kept(checkpoint: Mapping[str, Any]) -> Any:
    """A checkpoint as tensors and plain values.

    Raises:
        ConfigError: Something in it is neither.
    """
    needed = {
        name: part
        for name, part in checkpoint.items()
        if name.removeprefix("datamodule_") not in _MADE_WITH
    }
    try:
        return *packed(needed, "checkpoint"), checkpoint["global_step"]
    except TypeError as error:
        raise ConfigError(
            f'to pause a trial, {error}; give pruner="none", or keep it elsewhere'
        ) from None
