"""A Trainer for one run of anybody's LightningModule: the user's options, made anew.

What a person gives once serves many trials. Callbacks, loggers and plugins that are
objects are copied for each; functions of the trial are called with it, and may give
none. A run's loggers stay its own when it is promoted.
"""

from __future__ import annotations

import copy
import functools
import inspect
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunekit.errors import ConfigError, did_you_mean
from tunekit.follow import held
from tunekit.packages import part_of
from tunekit.ranks import strategy_of

__all__ = ["OpenTrial", "TrainerOptions", "Trainers", "fit_arguments"]

_OURS = (
    *("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time"),
    *("fast_dev_run", "barebones"),
)
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
        folder: Below it every trial has a ``default_root_dir`` of its own, unless an
            option says otherwise.

    Raises:
        ConfigError: An argument that is not to be given.
    """

    def __init__(self, options: TrainerOptions, folder: Path | None = None) -> None:
        if not callable(options):
            _check(options)
        self._options, self._folder = options, folder
        self._loggers: dict[int, Any] = {}

    def make(
        self,
        package: str,
        trial: OpenTrial,
        max_epochs: int,
        ours: Sequence[Sequence[Any]],
        state: Any,
    ) -> Any:
        """A Trainer that follows one run.

        Args:
            package: Whose.
            trial: The run's.
            max_epochs: The horizon, wherever the run stops.
            ours: The callbacks that stand first, and those that stand last.
            state: The checkpoint it goes on from; None to begin.

        Raises:
            ConfigError: An option that cannot be used.
        """
        options = self._options(trial) if callable(self._options) else self._options
        _check(options)
        _check_names(package, options)
        own = {name: _own(name, given, trial) for name, given in options.items()}
        made = {**_QUIET, **own}
        # A Trainer with a callback that checkpoints, such as ours, adds none.
        made.pop("enable_checkpointing", None)
        callbacks = made.get("callbacks") or []
        if state is not None:
            # It has set the learning rate already, which the optimizer's state holds.
            finder = part_of(package, "callbacks.LearningRateFinder")
            callbacks = [each for each in callbacks if not isinstance(each, finder)]
        first, last = ours
        made["callbacks"] = [*first, *callbacks, *last]
        made["logger"] = self._loggers.get(trial.number, made["logger"])
        if self._folder is not None:
            made.setdefault("default_root_dir", self._below(trial.number))
        trainer = part_of(package, "Trainer")(max_epochs=max_epochs, **made)
        if trainer.world_size > 1:
            if trainer.num_nodes > 1:
                raise ConfigError(
                    "trainer must have num_nodes 1, as one study may have many hosts "
                    f"but a trial has one, got {trainer.num_nodes}"
                )
            made["strategy"] = strategy_of(made.get("strategy", "auto"))
            trainer = part_of(package, "Trainer")(max_epochs=max_epochs, **made)
        self._loggers[trial.number] = trainer.loggers or False
        strategy = trainer.strategy
        strategy.checkpoint_io = held(package)(strategy.checkpoint_io, state)
        return trainer

    def forget(self, number: int) -> None:
        """A trial has ended: its loggers are let go."""
        self._loggers.pop(number, None)

    def tidy(self, number: int, state: Any) -> None:
        """Delete what callbacks wrote as checkpoints in a trial's folder.

        Args:
            number: The trial's.
            state: The checkpoint it goes on from, or None: what that names stays.
        """
        if self._folder is None:
            return
        named = _named(state or {})
        for path in sorted(self._below(number).rglob("*.ckpt")):
            if str(path.absolute()) in named:
                continue
            if path.is_dir():  # of a strategy that writes a file for each process
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _below(self, number: int) -> Path:
        assert self._folder is not None
        return self._folder / f"trial-{number:05d}"


def fit_arguments(package: str, data: Any) -> dict[str, Any]:
    """What ``Trainer.fit`` is given of some data.

    Args:
        package: The module's.
        data: None where the module brings its own; a LightningDataModule; a pair of
            training and validation loaders; or training loaders alone.

    Raises:
        ConfigError: If it is a LightningDataModule of the other package.
    """
    if data is None:
        return {}
    if hasattr(data, "prepare_data") and hasattr(data, "train_dataloader"):
        if not isinstance(data, part_of(package, "LightningDataModule")):
            raise ConfigError(
                f"data must be a LightningDataModule of {package}, as the module is, "
                f"got one of {type(data).__mro__[1].__module__.split('.')[0]}"
            )
        return {"datamodule": data}
    if isinstance(data, tuple) and len(data) == 2:
        return {"train_dataloaders": data[0], "val_dataloaders": data[1]}
    return {"train_dataloaders": data}


def _named(state: Mapping[str, Any]) -> set[str]:
    """The checkpoints that callbacks which wrote them may yet replace."""
    found: set[str] = set()
    for each in state.get("callbacks", {}).values():
        if isinstance(each, Mapping):
            found |= {*each.get("best_k_models", ())}
            found |= {str(each.get(f"{name}_model_path")) for name in ("best", "last")}
    return {str(Path(name).absolute()) for name in found}


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
    if options.get("check_val_every_n_epoch", 1) not in (None, 1):
        raise ConfigError(
            "trainer must have check_val_every_n_epoch 1, as trials are compared after "
            f"any epoch, got {options['check_val_every_n_epoch']}"
        )


def _check_names(package: str, options: Mapping[str, Any]) -> None:
    known = [*inspect.signature(part_of(package, "Trainer").__init__).parameters][1:]
    for name in options:
        if name not in known:
            near = did_you_mean(name, known)
            raise ConfigError(f'trainer: a Trainer has no argument "{name}"{near}')


def _own(name: str, given: Any, trial: OpenTrial) -> Any:
    """A trial's own of what was given: one or many, objects or functions.

    Raises:
        ConfigError: A class in place of an object, or an object that is not to be
            copied.
    """
    if name not in _MADE:
        return _copied(name, given)
    if given is None or isinstance(given, bool):
        return given
    found: list[Any] = []
    for each in given if isinstance(given, list | tuple) else [given]:
        if isinstance(each, type):
            raise ConfigError(
                f"trainer: {name} must hold objects or functions of the trial, got the "
                f"class {each.__name__}; write {each.__name__}(...)"
            )
        if _is_function(each):
            made = each(trial)
            found += made if isinstance(made, list | tuple) else [made]
        else:
            found.append(_copied(name, each))
    return [each for each in found if each is not None]


def _copied(name: str, given: Any) -> Any:
    try:
        return copy.deepcopy(given)
    except Exception as error:
        raise ConfigError(
            f"trainer: {name} must be copied for each trial, and "
            f"{type(given).__name__} cannot be ({error}); give a function of the trial"
        ) from error


def _is_function(given: Any) -> bool:
    return inspect.isroutine(given) or isinstance(given, functools.partial)
