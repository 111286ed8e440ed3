"""What one training run is: a recipe, a key for its random streams, and what it tells.

A *recipe* holds all that trains one model. A *run* is a recipe with its horizon and its
seeds. An *engine* trains the runs that a *feed* gives it, one or many at once, and
tells it of every epoch; the feed answers whether a run goes on, so nothing has to be
raised through a training loop. No torch, no Optuna and no TensorBoard here: these are
the words that floors share.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, Protocol

__all__ = [
    "ACTIVATIONS",
    "OPTIMIZERS",
    "SCHEDULES",
    "SHAPES",
    "Engine",
    "Feed",
    "Fitted",
    "Heard",
    "Metrics",
    "OnEpoch",
    "Recipe",
    "Run",
    "State",
    "Verdict",
]

Activation = Literal["relu", "silu", "gelu", "tanh"]
Optimizer = Literal["sgd", "adam", "adamw", "rmsprop"]
Schedule = Literal["constant", "inverse", "exponential", "step", "cosine"]
Shape = Literal["block", "funnel"]

ACTIVATIONS: tuple[str, ...] = ("relu", "silu", "gelu", "tanh")
OPTIMIZERS: tuple[str, ...] = ("sgd", "adam", "adamw", "rmsprop")
SCHEDULES: tuple[str, ...] = ("constant", "inverse", "exponential", "step", "cosine")
SHAPES: tuple[str, ...] = ("block", "funnel")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that trains one model; every field can be tuned, listed or fixed.

    Example:
        >>> Recipe(lr=1e-2).with_params({"width": 64}).width
        64
    """

    n_layers: int = 2
    """Hidden layers; 0 is softmax regression."""
    width: int = 128
    """Units of the (first) hidden layer."""
    shape: Shape = "block"
    """``block``: all layers equally wide; ``funnel``: each half as wide as the last."""
    activation: Activation = "relu"
    dropout: float = 0.1
    """Probability that a hidden unit is left out, in training."""
    optimizer: Optimizer = "adamw"
    lr: float = 3e-3
    momentum: float = 0.9
    """SGD's momentum."""
    nesterov: bool = True
    """SGD looks ahead (Nesterov's momentum)."""
    beta1: float = 0.9
    """Adam's decay of the mean of gradients."""
    beta2: float = 0.999
    """Adam's decay of the mean of squared gradients."""
    eps: float = 1e-8
    """Adam's guard against division by zero."""
    weight_decay: float = 1e-4
    """Decoupled under AdamW (a factor of lr), an L2 term of the gradient elsewhere."""
    batch_size: int = 64
    schedule: Schedule = "cosine"
    """How the learning rate decays over epochs."""
    lr_decay: float = 0.03
    """Relative decay an epoch, for schedules inverse, exponential and step."""
    label_smoothing: float = 0.0

    def with_params(self, params: Mapping[str, Any]) -> Recipe:
        """This recipe with the named fields replaced."""
        return dataclasses.replace(self, **params)

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, plain values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Metrics:
    """What an epoch came to; losses are mean cross-entropy, scores accuracies."""

    train_loss: float
    val_loss: float
    train_score: float
    val_score: float
    lr: float
    seconds: float
    """Time of the epoch with its validation; its share, where runs train at once."""

    @property
    def scored(self) -> bool:
        """Whether there is a score beside the loss."""
        return not math.isnan(self.val_score)


OnEpoch = Callable[[int, Metrics], bool]
"""Hears of a completed epoch (counted from 1); answers whether training goes on."""


@dataclass(frozen=True, kw_only=True)
class State:
    """All that a run needs to go on, in any process and in either engine."""

    tensors: Mapping[str, Any] = field(repr=False)
    """CPU tensors: ``net.…``, ``first.…``, ``second.…`` (the optimizer's moments) and
    ``best.…`` (the network after its best epoch), by the network's names."""
    steps: int
    """Optimizer steps taken."""
    best_epoch: int
    """The epoch (from 1) with the lowest validation loss; 0 when none."""
    curve: Sequence[Metrics]
    """The metrics of every epoch so far."""
    extra: Any = field(default=None, repr=False)
    """What else an engine keeps, as JSON holds it."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One model to be trained: a recipe, its horizon, and the key of its randomness."""

    recipe: Recipe = Recipe()
    params: Any = None
    """What an engine trains that goes by no recipe."""
    max_epochs: int
    patience: int
    """Epochs without a better validation loss after which training stops."""
    seed: int
    """The study's seed."""
    key: str
    """What tells this run from others of its study, such as ``trial-7``."""
    stream: str = ""
    """What its randomness goes by: runs of one stream draw the same batches and masks;
    those of one name before a slash, the same initial weights. Its key when empty."""
    reached: int = 0
    """Epochs that were recorded before an interruption. Where several runs are open,
    one that is behind this is trained to it before the others go on."""
    state: State | None = field(default=None, repr=False)
    """Where it was paused, to go on from there; None to begin."""
    max_seconds: float | None = None
    """The longest it may train over its life; None for no limit."""
    spent: float = 0.0
    """Seconds that went, before, into epochs that were not completed."""

    @property
    def draws(self) -> str:
        """What names its batches and masks, beside the seed."""
        return self.stream or self.key

    @property
    def origin(self) -> str:
        """What names its initial weights: the part of that before a slash.

        Example:
            >>> run = Run(max_epochs=1, patience=1, seed=0, key="a", stream="m/7")
            >>> run.origin, run.draws
            ('m', 'm/7')
        """
        return self.draws.partition("/")[0]

    @property
    def paused_at(self) -> int:
        """Epochs that it has behind it when it is opened; 0 to begin."""
        return len(self.state.curve) if self.state else 0

    def seconds_left(self, curve: Sequence[Metrics]) -> float | None:
        """What it may still train; None where there is no limit.

        Args:
            curve: Every epoch so far.

        Example:
            >>> run = Run(max_epochs=3, patience=3, seed=0, key="a", max_seconds=60.0)
            >>> run.seconds_left([Metrics(0.7, 0.8, 0.5, 0.5, 1e-3, seconds=25.0)])
            35.0
        """
        if self.max_seconds is None:
            return None
        return self.max_seconds - self.spent - sum(each.seconds for each in curve)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What training a run left: the curve, and the weights of its best epoch."""

    curve: list[Metrics]
    best_epoch: int
    """The epoch (from 1) with the lowest validation loss; 0 when none was finite."""
    weights: dict[str, Any] = field(repr=False)
    """State dict of the network (CPU tensors) after ``best_epoch``."""
    diverged: bool
    """Whether a loss stopped being finite."""

    @property
    def best(self) -> Metrics:
        """The metrics of the best epoch."""
        return self.curve[self.best_epoch - 1]


class Verdict(Enum):
    """What becomes of a run after an epoch."""

    GO_ON = "go on"
    PAUSE = "pause"
    """It stops here, and may be opened again from the state it had."""
    STOP = "stop"


@dataclass(frozen=True)
class Heard:
    """An epoch that a run has completed."""

    run: Run
    epoch: int
    """Counted from 1."""
    metrics: Metrics
    over: bool
    """Whether the run ends here of itself: horizon, patience, or a loss not finite."""


class Feed(Protocol):
    """Where an engine takes its runs from, and whom it tells what became of them.

    Within one ``turn`` an engine first tells the epochs that all open runs have
    completed, then the ends of runs, and then asks for new ones.
    """

    def turn(self) -> AbstractContextManager[None]:
        """What is told and asked within belongs together, and is written down once."""
        ...

    def next(self) -> Run | None:
        """One more run to open; None when there is none now."""
        ...

    def epochs(self, heard: Sequence[Heard]) -> list[Verdict]:
        """Hears of epochs; for each, what becomes of its run."""
        ...

    def paused(self, run: Run, state: State | None) -> None:
        """Hears of a run that was paused; None where its engine keeps its state."""
        ...

    def end(self, run: Run, fitted: Fitted) -> None:
        """Hears of a run that has ended."""
        ...

    def fail(self, run: Run, error: Exception) -> None:
        """Hears of a run that ended with an error."""
        ...


class Engine(Protocol):
    """What trains runs."""

    @property
    def name(self) -> str:
        """What is recorded with every trial that it trains."""

    @property
    def trouble(self) -> str:
        """What went wrong though nothing was lost, as a process that ended; or ""."""

    def train(self, run: Run, on_epoch: OnEpoch) -> Fitted:
        """Train until the horizon, the patience, a non-finite loss or a "no"."""
        ...

    def train_all(self, feed: Feed, slots: int) -> None:
        """Train runs until the feed has no more, with at most ``slots`` open."""
        ...

    def forget(self, key: str) -> None:
        """Hears of a paused run that will not go on."""
        ...

    def expect(self, recipe: Recipe, epochs: int, slots: int) -> None:
        """Hears what is to come: epochs in all, of recipes like this one."""
        ...

    def close(self) -> None:
        """Let go of processes and memory; called again, it does nothing."""
        ...
