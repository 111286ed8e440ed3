"""Engines whose losses are made up: a few lines each, and no network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from optuna.trial import FrozenTrial

from tunekit.budget import Budget
from tunekit.choosers import Halving
from tunekit.config import Config
from tunekit.errors import DataError
from tunekit.feed import one_by_one
from tunekit.search import pruner, sampler
from tunekit.seeds import seed_for
from tunekit.space import Space, recipe_space
from tunekit.store import Store, settings_of
from tunekit.trial import (
    Feed,
    Fitted,
    Heard,
    Metrics,
    Recipe,
    Run,
    State,
    Verdict,
)
from tunekit.workers import end_paused, work

ATTRIBUTES = {
    "best_val_loss",
    "best_val_score",
    "best_epoch",
    "engine",
    "epochs",
    "seconds",
    "params",
    "to_epoch",
}
VARIED = {"lr": "1e-4..1e-1", "optimizer": "sgd,adam", "width": "16..64"}


def narrow() -> Space:
    """Five hyperparameters, one of them conditional and stored as a gap."""
    fixed = {
        name: getattr(Recipe(), name)
        for name in recipe_space({}).scales
        if name not in {*VARIED, "momentum"}
    }
    return recipe_space({**fixed, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, **VARIED})


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Opened:
    """A run while its losses are made up."""

    run: Run
    curve: list[Metrics] = field(default_factory=list)
    best_epoch: int = 0

    def __post_init__(self) -> None:
        if self.run.state is not None:
            self.curve = [*self.run.state.curve]
            self.best_epoch = self.run.state.best_epoch

    def state(self) -> State:
        return State(
            tensors={"net.weight": torch.full((2,), float(len(self.curve)))},
            steps=len(self.curve),
            best_epoch=self.best_epoch,
            curve=[*self.curve],
        )

    def add(self, loss: float) -> bool:
        """One more epoch; whether the run is over."""
        best = self.curve[self.best_epoch - 1].val_loss if self.best_epoch else math.inf
        self.curve.append(Metrics(loss, loss, 0.5, 1 / (1 + loss), 1e-3, 0.25))
        if math.isfinite(loss) and loss < best:
            self.best_epoch = len(self.curve)
        tired = len(self.curve) - self.best_epoch >= self.run.patience
        return self.diverged or tired or len(self.curve) >= self.run.max_epochs

    @property
    def diverged(self) -> bool:
        return not math.isfinite(self.curve[-1].val_loss)

    def fitted(self) -> Fitted:
        return Fitted(
            curve=[*self.curve],
            best_epoch=self.best_epoch,
            weights={},
            diverged=self.diverged,
        )


class Curves:
    """An engine whose losses are a formula of recipe, key and epoch."""

    name = "curves"

    def __init__(self, loss: Callable[[Run, int], float] | None = None) -> None:
        self.loss = loss or self.smooth
        self.epochs = 0
        """Epochs trained, again or not."""

    @staticmethod
    def smooth(run: Run, epoch: int) -> float:
        noise = seed_for(run.seed, run.key, epoch) / 2**63
        away = abs(math.log10(run.recipe.lr) + 2) + abs(run.recipe.momentum - 0.9)
        return 0.1 + away + 2.0 / epoch + 0.2 * noise + run.recipe.width / 1000

    def event(self, run: Run, epoch: int, before: bool) -> None:
        """For those who want to be there."""

    def train(
        self, run: Run, on_epoch: Callable[[int, Metrics], Verdict]
    ) -> Fitted | State:
        made = Opened(run)
        while True:
            epoch = len(made.curve) + 1
            self.event(run, epoch, before=True)
            self.epochs += 1
            over = made.add(self.loss(run, epoch))
            verdict = on_epoch(epoch, made.curve[-1])
            self.event(run, epoch, before=False)
            if over or verdict is Verdict.STOP:
                return made.fitted()
            if verdict is Verdict.PAUSE:
                return made.state()

    def train_all(self, feed: Feed, slots: int) -> None:
        one_by_one(self.train, feed)

    def forget(self, key: str) -> None:
        """States are the feed's."""

    def close(self) -> None:
        """Nothing to let go of."""


class Rounds(Curves):
    """Really keeps several runs open: rounds of one epoch of every open run."""

    def turned(self, *, inside: bool) -> None:
        """For those who want to be there: within a turn, or after it."""

    def train_all(self, feed: Feed, slots: int) -> None:
        opened: list[Opened] = []
        ends: list[tuple[Opened, bool | Exception]] = []
        while True:
            with feed.turn():
                self._tell(feed, opened, ends)
                while len(opened) < slots and (run := feed.next()) is not None:
                    opened.append(Opened(run))
                    self.turned(inside=True)
            self.turned(inside=False)
            if not opened:
                return
            behind = [o for o in opened if len(o.curve) < o.run.reached]
            ends = [(o, self._advance(o)) for o in behind or opened]

    def _advance(self, o: Opened) -> bool | Exception:
        epoch = len(o.curve) + 1
        self.event(o.run, epoch, before=True)
        self.epochs += 1
        try:
            return o.add(self.loss(o.run, epoch))
        except DataError:
            raise
        except Exception as error:
            return error
        finally:
            self.event(o.run, epoch, before=False)

    def _tell(
        self,
        feed: Feed,
        opened: list[Opened],
        ends: list[tuple[Opened, bool | Exception]],
    ) -> None:
        heard: list[tuple[Opened, Heard]] = []
        for o, end in ends:
            if isinstance(end, Exception):
                opened.remove(o)
                feed.fail(o.run, end)
            else:
                heard.append((o, Heard(o.run, len(o.curve), o.curve[-1], end)))
            self.turned(inside=True)
        verdicts = feed.epochs([each for _, each in heard]) if heard else []
        self.turned(inside=True)
        for (o, each), verdict in zip(heard, verdicts, strict=True):
            if verdict is Verdict.GO_ON and not each.over:
                continue
            opened.remove(o)
            if verdict is Verdict.PAUSE and not each.over:
                feed.paused(o.run, o.state())
            else:
                feed.end(o.run, o.fitted())
            self.turned(inside=True)


def create(folder: Path, **options: Any) -> Path:
    config = Config(
        **{"sampler": "random", "pruner": "none", "max_epochs": 6, **options}
    )
    settings = {**config.as_settings(), "space": narrow().as_settings()}
    Store.create(folder, settings, {"fingerprint": "x", "source": "x"})
    return folder


def reopen(folder: Path) -> Store:
    """As a new process would."""
    settings = settings_of(folder)
    return Store(
        folder,
        sampler(
            settings["sampler"],
            narrow(),
            defaults=Recipe().as_dict(),
            seed=settings["seed"],
            n_trials=settings.get("n_trials"),
        ),
        pruner(settings["pruner"], settings["max_epochs"]),
        halving(settings) if settings["pruner"] == "promote" else None,
    )


def halving(settings: dict[str, Any]) -> Callable[[Any], Halving]:
    """A rule that promotes by values alone: what it does can be told beforehand."""
    rule = Halving(settings["max_epochs"], settings.get("n_trials"))
    return lambda study: rule


def search(store: Store, engine: Curves, budget: Budget, **extra: Any) -> None:
    work(store, engine, narrow(), budget, **extra)
    end_paused(store, narrow(), engine.name)


def leases(store: Store) -> list[str]:
    return [path.name for path in (store.folder / "leases").glob("trial-*")]


def timeless(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "value": trial.value,
        "params": trial.params,
        "curve": trial.intermediate_values,
        "rungs": {k: v for k, v in trial.system_attrs.items() if "rung" in k},
        "attrs": trial.user_attrs,
    }


def budget_of(folder: Path) -> Budget:
    """As a study's settings say."""
    config = Config.from_mapping(settings_of(folder) | {"space": {}})
    return Budget(config.n_trials, config.epochs, max_epochs=config.max_epochs)
