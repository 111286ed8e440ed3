"""The study folder: made, opened again or refused; which trials are whose.

    OUT/NAME/study.toml      every setting, resolved; written last: it marks a study
             split.json      what was read, and the raw row numbers of each part
             journal.log     Optuna's journal: all trials
             leases/         a lock for each running trial, held by who trains it
             checkpoints/    best-epoch weights of the best trials

All state lives here. A trial that is RUNNING and whose lease nobody holds belonged to a
process that is gone; the next worker trains it again, and since every random stream
depends on the trial alone, it comes to the same values.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
import tomli_w
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from tunekit.errors import ConfigError, ResumeError
from tunekit.files import write_json, write_text
from tunekit.interrupt import shield

__all__ = ["DEFINING", "Store"]

DEFINING = (
    "target",
    "drop",
    "split",
    "max_epochs",
    "patience",
    "sampler",
    "pruner",
    "seed",
)
"""Settings that cannot change within a study, beside its data and its space."""
_KEPT = 5
"""Trials whose best-epoch weights stay on disk."""


class Store:
    """One open study folder.

    Attributes:
        folder: ``OUT/NAME``.
        settings: What ``study.toml`` says.
        study: The Optuna study; its sampler and pruner are the caller's.
    """

    def __init__(
        self,
        folder: Path,
        sampler: optuna.samplers.BaseSampler | None = None,
        pruner: optuna.pruners.BasePruner | None = None,
    ) -> None:
        """Open a folder that :meth:`create` made.

        Raises:
            ResumeError: If it holds no study.
        """
        self.folder = folder
        self.settings = Store.settings_of(folder)
        backend = JournalFileBackend(
            str(folder / "journal.log"),
            _JournalLock(folder / "journal.lock"),  # type: ignore[arg-type]
        )
        self._storage = JournalStorage(backend)
        with _quiet_optuna():
            self.study = optuna.create_study(
                study_name=folder.name,
                storage=self._storage,
                sampler=sampler,
                pruner=pruner,
                direction="minimize",
                load_if_exists=True,
            )
        self._asking = FileLock(folder / "leases" / "asking.lock")
        self._held: dict[int, FileLock] = {}

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether ``folder`` holds a study."""
        return (folder / "study.toml").is_file()

    @staticmethod
    def settings_of(folder: Path) -> dict[str, Any]:
        """What a folder's ``study.toml`` says.

        Raises:
            ResumeError: If there is none, or it cannot be read.
        """
        path = folder / "study.toml"
        try:
            return tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise ResumeError(
                f"{folder} must be a study folder, got no study.toml"
            ) from None
        except (OSError, ValueError) as error:
            raise ResumeError(f"{path} must be readable TOML, got: {error}") from None

    @staticmethod
    def create(
        folder: Path, settings: Mapping[str, Any], described: Mapping[str, Any]
    ) -> None:
        """Make the folder of a new study.

        Args:
            folder: Where; parents are made.
            settings: Every setting, plain values.
            described: What was read, and the split.

        Raises:
            ConfigError: If the folder cannot be written, or holds something else.
        """
        if folder.is_dir() and (folder / "journal.log").exists():
            raise ConfigError(
                f"{folder} holds a journal.log but no study.toml; choose another --name"
            )
        try:
            for part in ("leases", "checkpoints", "tb"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            write_json(folder / "split.json", described)
            write_text(folder / "study.toml", tomli_w.dumps(settings))
        except OSError as error:
            why = error.strerror or str(error)
            raise ConfigError(
                f"{folder} must be a folder that can be written, got: {why}; "
                "choose another --out"
            ) from None

    @staticmethod
    def check_same(
        folder: Path, settings: Mapping[str, Any], described: Mapping[str, Any]
    ) -> None:
        """Refuse to go on with other data, another space or another search.

        Raises:
            ResumeError: One line, with what differs and a name that is free.
        """
        before = Store.settings_of(folder)
        differs = ""
        try:
            data = json.loads((folder / "split.json").read_text("utf-8"))
        except (OSError, ValueError):
            raise ResumeError(
                f"{folder / 'split.json'} must be readable JSON; choose another --name"
            ) from None
        if data.get("fingerprint") != described["fingerprint"]:
            differs = f"other data ({data.get('source')}, now {described['source']})"
        for name in DEFINING:
            old, new = before.get(name), settings.get(name)
            if not differs and old != new:
                differs = f"{name.replace('_', '-')} {_plain(old)}, now {_plain(new)}"
        old_space, new_space = before.get("space", {}), settings.get("space", {})
        for name in [*new_space, *old_space]:
            old, new = old_space.get(name), new_space.get(name)
            if not differs and old != new:
                differs = f"another space ({name} {_plain(old)}, now {_plain(new)})"
        if differs:
            raise ResumeError(
                f'the study "{folder.name}" was made with {differs}; '
                f"choose another name, such as --name {_free(folder)}"
            )

    def extend(self, settings: Mapping[str, Any]) -> None:
        """Record settings that may change between runs, such as a larger budget."""
        self.settings = dict(settings)
        write_text(self.folder / "study.toml", tomli_w.dumps(self.settings))

    def trials(self) -> list[FrozenTrial]:
        """All trials, in order of number."""
        return self.study.get_trials(deepcopy=False)

    def next_trial(
        self,
        may_start: Callable[[list[FrozenTrial]], bool],
        suggest: Callable[[Trial], Any],
    ) -> Trial | None:
        """A trial to train, leased to this process: an abandoned one, else a new one.

        Args:
            may_start: Whether the budget allows one more beside these.
            suggest: Asks the trial for its hyperparameters, so that it is whole when
                the next worker looks.
        """
        with shield(), self._asking:
            trials = self.trials()
            for frozen in trials:
                if frozen.state == TrialState.RUNNING and self._lease(frozen.number):
                    # Its owner may have ended it between our look and our lease.
                    if self.trials()[frozen.number].state == TrialState.RUNNING:
                        trial = self._revive(frozen.number)
                        suggest(trial)
                        return trial
                    self._release(frozen.number)
            if not may_start(trials):
                return None
            trial = self.study.ask()
            self._lease(trial.number)
            suggest(trial)
            return trial

    def finish(
        self,
        trial: Trial,
        state: TrialState,
        attributes: Mapping[str, Any],
        value: float | None = None,
    ) -> None:
        """End a trial for good and give its lease back."""
        with shield():
            for name, attribute in attributes.items():
                trial.set_user_attr(name, attribute)
            self.study.tell(trial, value, state=state)
            self._release(trial.number)

    def keep_weights(self, number: int, weights: Mapping[str, Any]) -> None:
        """Keep a trial's best-epoch weights, if it is among the best few so far."""
        from safetensors.torch import save_file

        folder = self.folder / "checkpoints"
        losses = {
            trial.number: trial.user_attrs["best_val_loss"]
            for trial in self.trials()
            if trial.user_attrs.get("best_val_loss") is not None
        }
        best = sorted(losses, key=lambda number: (losses[number], number))[:_KEPT]
        with shield():
            if number in best:
                path = folder / f"trial-{number:05d}.safetensors"
                temporary = folder / f".{path.name}.{os.getpid()}"
                save_file(dict(weights), temporary)
                temporary.replace(path)
            for path in folder.glob("trial-*.safetensors"):
                if int(path.stem.removeprefix("trial-")) not in best:
                    path.unlink(missing_ok=True)

    def release_all(self) -> None:
        """Give every lease back; what was running can be taken up by anyone."""
        for number in [*self._held]:
            self._release(number)

    def _revive(self, number: int) -> Trial:
        """A trial that is RUNNING in the storage, as an object to report to."""
        study_id = self._storage.get_study_id_from_name(self.study.study_name)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(
            study_id, number
        )
        return Trial(self.study, trial_id)

    def _lease(self, number: int) -> bool:
        """Take a trial's lease, unless another process, or this one, holds it."""
        if number in self._held:
            return False
        lock = FileLock(self.folder / "leases" / f"trial-{number:05d}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        self._held[number] = lock
        return True

    def _release(self, number: int) -> None:
        lock = self._held.pop(number, None)
        if lock is not None:
            lock.release()
            with suppress(OSError):
                Path(lock.lock_file).unlink()


class _JournalLock:
    """An operating-system lock for the journal: it dies with its process.

    Optuna's own locks are files that outlive a killed process for half a minute.
    """

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._lock.acquire()
        return True

    def release(self) -> None:
        """Give it back."""
        self._lock.release()


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Without Optuna's line about every study it opens."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _plain(value: Any) -> str:
    """A setting in few words."""
    if isinstance(value, Mapping):
        return f"{value.get('low')}..{value.get('high')} ({value.get('scale')})"
    if isinstance(value, list):
        return "/".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
    return "not set" if value is None else str(value)


def _free(folder: Path) -> str:
    """A study name that is not taken."""
    n = 2
    while (folder.parent / f"{folder.name}-{n}").exists():
        n += 1
    return f"{folder.name}-{n}"
