"""``TrialCallback``: a Lightning Trainer that reports to an Optuna trial and is pruned.

For an objective of one's own, in any study and storage; nothing else of tunekit is
needed. Training ends by ``trainer.should_stop`` and never by an exception, because a
Trainer that is left by one keeps DataLoader workers and files, and runs no teardown.

Several processes: rank zero reports and asks, and tells all others what became of it.
Where Lightning starts the processes itself (``ddp_spawn``, ``ddp_fork``), they work on
copies of the callback; what rank zero reports is also noted in a file, from which the
real trial hears, after ``fit``, whatever its storage does not have by then. Where each
process runs the whole script (``ddp``, torchrun), each has a study of its own, and it
is made sure that all of them train one trial.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import pickle
import sys
import tempfile
import uuid
import weakref
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import optuna
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from tunekit.errors import ConfigError

__all__ = ["TrialCallback"]

_PACKAGES = ("pytorch_lightning", "lightning.pytorch")


class _Heard(NamedTuple):
    """What an epoch came to: what rank zero tells the others, and a line of notes."""

    step: int
    value: float | None
    """The monitored value; None where the epoch had no new one."""
    pruned: bool = False
    unknown: bool = False
    """Whether the monitor should have been there by now."""
    logged: tuple[str, ...] = ()
    error: str = ""


class TrialCallback:
    """Reports a monitored value to an Optuna trial, and stops training when pruned.

    The value is reported once an epoch, its step the number of completed epochs, from
    1: the last one where validation runs several times an epoch, none where it does not
    run. A value that is not finite is reported as the worst infinity of the study's
    direction. Ctrl-C and SIGTERM, which Lightning turns into an exit that Optuna does
    not hear of, end the trial as FAIL: with ask and tell, tell with
    ``skip_if_finished``.

    It works in Trainers of ``pytorch_lightning`` and of ``lightning.pytorch``,
    whichever is imported when it is made, and hears values that the module logs in its
    own ``on_train_epoch_end``, too. Under DDP rank zero decides for all; log with
    ``sync_dist=True`` for the mean over processes. A ``FixedTrial`` or ``FrozenTrial``
    trains to the end.

    Args:
        trial: The objective's argument.
        monitor: The name under which the module logs the value, ``self.log(name, …)``.

    Raises:
        ConfigError: If the study has more than one objective. In ``fit``, before any
            training: if processes that each run the script have different trials, or a
            process cannot reach the storage.

    Example:
        >>> import optuna
        >>> study = optuna.create_study()
        >>> callback = TrialCallback(study.ask(), monitor="val_loss")
        >>> callback.check_pruned()
        Traceback (most recent call last):
        tunekit.errors.ConfigError: monitor "val_loss" must be logged, but no epoch \
has ended; give the callback to the Trainer and ask after fit
    """

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """One that is a callback of every Lightning package that is imported by now."""
        loaded = tuple(name for name in _PACKAGES if name in sys.modules)
        bare = vars(cls).get("made_of", (cls,))[0]
        return object.__new__(_joined(bare, loaded or _PACKAGES[:1]))

    def __init__(self, trial: Any, monitor: str = "val_loss") -> None:
        study = getattr(trial, "study", None)
        if study is not None and len(study.directions) > 1:
            raise ConfigError(
                "TrialCallback prunes by one value, got a study with "
                f"{len(study.directions)} objectives; leave it out there"
            )
        self.trial, self.monitor = trial, monitor
        self.stopped_epoch = 0
        self._heard = _Heard(0, None)
        self._reports = 0
        self._before: Any = None
        self._validated = False
        # A process that Lightning starts works on a copy and writes here.
        self._home = os.getpid()
        name = f"tunekit-{uuid.uuid4().hex}.jsonl"
        self._notes = Path(tempfile.gettempdir()) / name
        weakref.finalize(self, _remove, self._notes, self._home)

    @property
    def pruned(self) -> bool:
        """Whether the trial was pruned; asked after ``fit``.

        Raises:
            ConfigError: If the monitor was not logged, and what was. Training then ends
                after the first epoch that should have had it.
        """
        self._settle()
        return self._heard.pruned

    def check_pruned(self) -> None:
        """To be called after ``fit``: end the objective if the trial was pruned.

        Raises:
            optuna.TrialPruned: If it was.
            ConfigError: If the monitor was not logged, and what was. Training then ends
                after the first epoch that should have had it.
        """
        if self.pruned:
            raise optuna.TrialPruned(f"Pruned after epoch {self._heard.step}.")

    # What a Trainer calls.

    def setup(self, trainer: Any, module: Any, stage: str) -> None:
        """Before training: see that all processes are about to train one thing."""
        if stage != "fit":
            return
        trouble = ""
        if self._is_away and trainer.is_global_zero:
            # Connections of the storage must not be used on both sides of a fork.
            self.trial = pickle.loads(pickle.dumps(self.trial))
            trouble = self._unreachable()
        # Fixed and frozen trials, of no study, have numbers that mean nothing.
        number = self.trial.number if isinstance(self.trial, optuna.Trial) else None
        params, first, trouble = trainer.strategy.broadcast(
            (self.trial.params, number, trouble)
        )
        if trouble:
            raise ConfigError(trouble)
        alike = params == self.trial.params and (number is None or number == first)
        if not trainer.strategy.reduce_boolean_decision(alike, all=True):
            raise ConfigError(
                "all processes must train one trial, got several, because each runs "
                'the script and asks a study of its own; use strategy="ddp_spawn", or '
                "keep the study in memory and seed its sampler"
            )

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        """Remember what was logged in earlier epochs, which does not count again."""
        self._before = trainer.callback_metrics.get(self.monitor)
        self._validated = False

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        """An epoch in which there was a validation should have the value."""
        self._validated = True

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Report the value; stop when pruned."""
        # Every process reads them: to read may mean to average over all.
        metrics = dict(trainer.callback_metrics)
        if self._heard.pruned or self._heard.unknown:
            return
        heard, failure = _Heard(trainer.current_epoch + 1, None), None
        if trainer.is_global_zero:
            try:
                heard = self._report(heard.step, metrics, trainer.enable_validation)
            except Exception as error:
                # The others wait for an answer; they are to end, too.
                failure, heard = error, heard._replace(error=repr(error))
        heard = trainer.strategy.broadcast(heard)
        if failure:
            raise failure
        if heard.error:
            raise RuntimeError(f"the process of rank zero failed: {heard.error}")
        if heard.value is not None and not trainer.is_global_zero and self._has_own:
            self.trial.report(heard.value, heard.step)
        self._keep(heard)
        if heard.pruned or heard.unknown:
            self.stopped_epoch = trainer.current_epoch
            trainer.should_stop = True

    def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
        """Ctrl-C and SIGTERM: the trial failed; Optuna hears all else by itself."""
        if isinstance(exception, Exception) or not trainer.is_global_zero:
            return
        if isinstance(self.trial, optuna.Trial):
            self.trial.study.tell(
                self.trial.number, state=TrialState.FAIL, skip_if_finished=True
            )

    @property
    def state_key(self) -> str:
        """The name in checkpoints, and in profiles."""
        return "TrialCallback"

    def state_dict(self) -> dict[str, Any]:
        """Nothing goes into checkpoints: the trial knows what was reported."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing comes from checkpoints."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Found again by what the class is made of, in whatever process."""
        made_of: tuple[Any, ...] = vars(type(self))["made_of"]
        return _revive, made_of, {**vars(self), "_before": None}

    # How it works.

    @property
    def _is_away(self) -> bool:
        return os.getpid() != self._home

    @property
    def _has_own(self) -> bool:
        """Whether this process has a study that no other process reports to."""
        in_memory = isinstance(getattr(self.trial, "storage", None), InMemoryStorage)
        return in_memory and not self._is_away

    def _unreachable(self) -> str:
        """What is wrong where the storage lies in another process's memory alone."""
        if not isinstance(self.trial, optuna.Trial):
            return ""
        with contextlib.suppress(KeyError):
            if self._reported() is not None:
                return ""
        return (
            "the study's storage must be reachable from the processes that Lightning "
            'starts, got one that is not, such as "sqlite:///:memory:"; use a file, or '
            "no storage"
        )

    def _reported(self) -> set[int] | None:
        """Steps that the trial's storage has; None where it has no such trial."""
        trials = self.trial.study.get_trials(deepcopy=False)
        for trial in trials[self.trial.number :]:
            return set(trial.intermediate_values)
        return None

    def _report(self, step: int, metrics: dict[str, Any], validates: bool) -> _Heard:
        """What this epoch came to; on rank zero."""
        logged = tuple(sorted(metrics))
        value = metrics.get(self.monitor)
        if value is None:
            unknown = self._validated or not validates
            heard = _Heard(step, None, unknown=unknown, logged=logged)
        elif value is self._before:
            heard = _Heard(step, None, logged=logged)
        else:
            number = float(value)
            if not math.isfinite(number):
                number = self._worst()
            self.trial.report(number, step)
            pruned = bool(self.trial.should_prune())  # some pruners say it in numpy
            heard = _Heard(step, number, pruned=pruned, logged=logged)
        if self._is_away:
            # Appended, and for nobody else to read: several fits may follow.
            with open(self._notes, "a", opener=_private, encoding="utf-8") as notes:
                notes.write(json.dumps(heard) + "\n")
        return heard

    def _worst(self) -> float:
        study = getattr(self.trial, "study", None)
        maximize = study is not None and study.direction == StudyDirection.MAXIMIZE
        return -math.inf if maximize else math.inf

    def _keep(self, heard: _Heard) -> None:
        self._heard = heard
        self._reports += heard.value is not None

    def _settle(self) -> None:
        """Hear what was reported elsewhere; complain if it was nothing."""
        if self._notes.exists() and not self._is_away:
            text = self._notes.read_text("utf-8")
            self._notes.unlink()
            known = self._reported() if isinstance(self.trial, optuna.Trial) else None
            for line in text.splitlines():
                heard = _Heard(*json.loads(line))
                if heard.value is not None and heard.step not in (known or ()):
                    self.trial.report(heard.value, heard.step)
                self._keep(heard)
        if self._reports:
            return
        must = f'monitor "{self.monitor}" must be logged'
        if not self._heard.step:
            raise ConfigError(
                f"{must}, but no epoch has ended; give the callback to the Trainer and "
                "ask after fit"
            )
        got = ", ".join(f'"{name}"' for name in self._heard.logged)
        if got:
            raise ConfigError(
                f"{must}, got only {got}; monitor one of these, or log it"
            )
        raise ConfigError(f"{must}, got nothing; log it in the module with self.log")


@cache
def _joined(cls: type, packages: tuple[str, ...]) -> type:
    """``cls`` as a callback of each of these Lightning packages.

    Lightning lets two kinds of callbacks hear what the module logs at the very end of
    an epoch. ``Checkpoint`` is the other: a Trainer that finds one keeps no checkpoints
    of its own, and refuses it where ``enable_checkpointing=False``.
    """
    kinds = [
        importlib.import_module(f"{name}.callbacks").EarlyStopping for name in packages
    ]
    body = {"__module__": cls.__module__, "made_of": (cls, packages)}
    return type(cls.__name__, (cls, *kinds), body)


def _revive(cls: type, packages: tuple[str, ...]) -> Any:
    """An empty one, as it comes out of a pickle."""
    return object.__new__(_joined(cls, packages))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _remove(notes: Path, home: int) -> None:
    """Take away what nobody has asked for, if it is ours."""
    if os.getpid() == home:
        notes.unlink(missing_ok=True)
