"""A Trainer for one run of anybody's LightningModule: the user's options, made anew.

What a person gives once serves many trials. Callbacks, loggers and plugins that are
objects are copied for each; functions of the trial are called with it, and may give
none. A run's loggers stay its own when it is promoted.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tunekit.errors import ConfigError
from tunekit.follow import held
from tunekit.packages import part_of
from tunekit.ranks import strategy_of

__all__ = ["OpenTrial", "TrainerOptions", "Trainers", "fit_arguments"]

_OURS = ("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time")
"""What decides how long a run trains is the search's to say."""
_QUIET: Mapping[str, Any] = {
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}
_MADE = ("callbacks", "logger", "plugins")


@dataclass(frozen=True)
class OpenTrial:
    """The trial that a function among the Trainer's options is called with.

    Attributes:
        number: Its number; one that goes on with an earlier one has that one's.
        params: Its hyperparameters, as people read them.

    Example:
        >>> OpenTrial(7, {"lr": 0.1}).number
        7
    """

    number: int
    params: Any


TrainerOptions = Mapping[str, Any] | Callable[[OpenTrial], Mapping[str, Any]]
"""Arguments of a Trainer, or a function of the trial that gives them."""


class Trainers:
    """Makes a Trainer a run.

    Args:
        options: Arguments of a Trainer, or a function of the trial that gives them.

    Raises:
        ConfigError: An argument that is not to be given.
    """

    def __init__(self, options: TrainerOptions) -> None:
        if not callable(options):
            _check(options)
        self._options = options
        self._loggers: dict[int, Any] = {}

    def make(
        self, package: str, trial: OpenTrial, max_epochs: int, follow: Any, state: Any
    ) -> Any:
        """A Trainer that follows one run.

        Args:
            package: Whose.
            trial: The run's.
            max_epochs: The horizon, wherever the run stops.
            follow: The callback that tells its epochs.
            state: The checkpoint it goes on from; None to begin.
        """
        options = self._options(trial) if callable(self._options) else self._options
        _check(options)
        made = {**_QUIET, **options}
        # A Trainer with a callback that checkpoints, such as ours, adds none.
        made.pop("enable_checkpointing", None)
        for name in _MADE:
            if name in made and name != "logger":
                made[name] = _anew(made[name], trial)
        if trial.number not in self._loggers:
            self._loggers[trial.number] = _logger(made["logger"], trial)
        made["logger"] = self._loggers[trial.number]
        made["callbacks"] = [*(made.get("callbacks") or []), follow]
        trainer = part_of(package, "Trainer")(max_epochs=max_epochs, **made)
        if trainer.world_size > 1:
            if trainer.num_nodes > 1:
                raise ConfigError(
                    "trainer must have num_nodes 1, as one study may have many hosts "
                    f"but a trial has one, got {trainer.num_nodes}"
                )
            made["strategy"] = strategy_of(made.get("strategy", "auto"))
            trainer = part_of(package, "Trainer")(max_epochs=max_epochs, **made)
        strategy = trainer.strategy
        strategy.checkpoint_io = held(package)(strategy.checkpoint_io, state)
        return trainer

    def forget(self, number: int) -> None:
        """A trial has ended: its loggers are let go."""
        self._loggers.pop(number, None)


def fit_arguments(data: Any) -> dict[str, Any]:
    """What ``Trainer.fit`` is given of some data.

    Args:
        data: None where the module brings its own; a LightningDataModule; a pair of
            training and validation loaders; or training loaders alone.
    """
    if data is None:
        return {}
    if hasattr(data, "prepare_data") and hasattr(data, "train_dataloader"):
        return {"datamodule": data}
    if isinstance(data, tuple | list) and len(data) == 2:
        return {"train_dataloaders": data[0], "val_dataloaders": data[1]}
    return {"train_dataloaders": data}


def _check(options: Any) -> None:
    if not isinstance(options, Mapping):
        raise ConfigError(
            "trainer must be a dict of a Trainer's arguments, or a function of the "
            f"trial that gives one, got {type(options).__name__}"
        )
    for name in _OURS:
        if name in options:
            raise ConfigError(
                f"trainer must leave {name} to the search, got {options[name]!r}; "
                "give max_epochs, budget_epochs or timeout to tune"
            )


def _anew(given: Any, trial: OpenTrial) -> list[Any]:
    """A trial's own of what was given: one or many, objects or functions."""
    found: list[Any] = []
    for each in given if isinstance(given, list | tuple) else [given]:
        if _is_function(each):
            made = each(trial)
            found += made if isinstance(made, list | tuple) else [made]
        else:
            found.append(copy.deepcopy(each))
    return [each for each in found if each is not None]


def _logger(given: Any, trial: OpenTrial) -> Any:
    return given if isinstance(given, bool) or given is None else _anew(given, trial)


def _is_function(given: Any) -> bool:
    return inspect.isroutine(given) or isinstance(given, functools.partial)
