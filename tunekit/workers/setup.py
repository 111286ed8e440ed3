"""From options to what a worker needs: table, space, engine, the open study."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from tunekit.board import Board
from tunekit.budget import Budget, final_seconds
from tunekit.config import Config
from tunekit.data import Table, load
from tunekit.flat import Remaining
from tunekit.search import chooser, pruner, rungs_of, sampler
from tunekit.space import Space, recipe_space
from tunekit.store import MemoryStore, Store
from tunekit.tally import ended
from tunekit.trial import Recipe
from tunekit.warm import Params, Warm, earlier, matched, recorded, warm

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from tunekit.trial import Engine

__all__ = ["Setup"]

_FEW_TRIALS = 100
"""Below this many, the estimate of the winner's time is made anew each epoch."""


@dataclass(frozen=True)
class Setup:
    """The table and the space that options name, and what is built from them."""

    config: Config
    table: Table
    space: Space

    @classmethod
    def of(cls, config: Config) -> Self:
        """Read the table, and fit the space to it.

        Raises:
            DataError: The table cannot be used.
            SpaceError: A hyperparameter does not fit the table.
        """
        table = load(**config.data_options())
        return cls(config, table, recipe_space(config.space, len(table.y_train)))

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting, resolved, as ``study.toml`` holds it."""
        return {**self.config.as_settings(), "space": self.space.as_settings()}

    def engine(self, threads: int | None = None) -> Engine:
        """What trains on this table.

        Args:
            threads: The most that it may use on a CPU.

        Raises:
            ConfigError: If the accelerator is not to be had.
        """
        table, config = self.table, self.config
        data = (table.x_train, table.y_train, table.x_valid, table.y_valid)
        if config.engine == "lightning":
            from tunekit.fit import LightningEngine

            return LightningEngine(
                *data, len(table.classes), config.accelerator, threads
            )
        from tunekit.vectorized import VectorizedEngine

        return VectorizedEngine(*data, len(table.classes), config.accelerator, threads)

    def expect(self, engine: Engine, in_flight: int | None = None) -> None:
        """Tell an engine how much is to come, so that it can make ready.

        Args:
            engine: What will train.
            in_flight: Trials that it will have open; as the settings say when None.
        """
        config = self.config
        most = [config.epochs] if config.epochs else []
        most += [config.n_trials * config.max_epochs] if config.n_trials else []
        # A half of them, because weak trials are stopped early; a limit of time alone
        # is filled, however much that takes.
        epochs = min(most) // 2 if most else 10**9
        slots = min(in_flight or config.open_trials, config.n_trials or 10**9)
        engine.expect(self.default_recipe(), epochs, slots)

    def open(self, *, in_memory: bool = False) -> Store:
        """The study in its folder, with the sampler and pruner that options name.

        Args:
            in_memory: A new one that is kept nowhere instead.
        """
        config = self.config
        rungs = rungs_of(config.pruner, config.max_epochs)
        common: dict[str, Any] = {
            "seed": config.seed,
            "n_trials": config.n_trials,
            "rungs": rungs,
            "epochs": config.epochs,
        }
        known = [] if in_memory else recorded(config.folder)
        first = [self._fits(params) for params in known]
        proposes = sampler(
            config.sampler,
            self.space,
            defaults=Recipe().as_dict(),
            first=[stored for stored, _ in filter(None, first)],
            distributions=[asked for _, asked in filter(None, first)],
            **common,
        )
        flat = Remaining(config.max_epochs, config.n_trials, config.epochs)
        decides = chooser(
            proposes,
            self.space,
            max_epochs=config.max_epochs,
            flat=flat if config.stop_when_flat else None,
            **common,
        )
        prunes = pruner(config.pruner, config.max_epochs)
        if in_memory:
            return MemoryStore(config.name, self.settings, proposes, prunes, decides)
        return Store(config.folder, proposes, prunes, decides)

    def warm(self) -> Warm:
        """What is taken from the earlier study that options name.

        Raises:
            ConfigError: If it cannot be used.
        """
        found = warm(earlier(self.config.warm_start), self._fits)
        plain = [matched(params, self.space) or {} for params in found.configurations]
        return replace(found, configurations=plain)

    def _fits(self, params: Params) -> tuple[Params, dict[str, Any]] | None:
        """A configuration as Optuna stores it, if it is one of this space."""
        inside = matched(params, self.space)
        if inside is None:
            return None
        return self.space.to_stored(inside), self.space.distributions(inside)

    def board(self) -> Board:
        """TensorBoard's files, described."""
        board = Board(self.config.folder / "tb")
        board.describe(self.space.domains())
        return board

    def default_recipe(self) -> Recipe:
        """The default recipe as this space has it: that of trial 0."""
        default = Recipe()
        near = self.space.nearest(default.as_dict())
        return default.with_params({**self.space.fixed, **near})

    def budget(self, until: float | None) -> Budget:
        """What the search may spend.

        Args:
            until: When the winner's evaluation must be begun (``time.monotonic()``),
                if ever.
        """
        config = self.config
        after: dict[int, float] = {}
        # When time is short, half of it still goes to the search: a winner trained anew
        # with fewer seeds is worth more than five seeds of the first guess.
        most = 0.0 if until is None else 0.5 * max(0.0, until - time.monotonic())

        def seconds_left(trials: Sequence[FrozenTrial]) -> float:
            assert until is not None
            # Many trials: what the winner will take changes little from epoch to epoch.
            known = ended(trials)
            if known < _FEW_TRIALS or known not in after:
                needed = final_seconds(trials, config.final_seeds, config.max_epochs)
                after[known] = min(needed, most)
            return until - time.monotonic() - after[known]

        return Budget(
            n_trials=config.n_trials,
            epochs=config.epochs,
            max_epochs=config.max_epochs,
            seconds_left=None if until is None else seconds_left,
        )
