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

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
import tomli_w
from filelock import FileLock, Timeout
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from tunekit.errors import ConfigError, StoppedError, one_line
from tunekit.files import UNFINISHED, write_bytes, write_json, write_text
from tunekit.interrupt import shield
from tunekit.store.journal import Journal, quiet_optuna
from tunekit.store.same import check_same, settings_of
from tunekit.tally import Tally

__all__ = ["Store"]

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
        self.settings = settings_of(folder)
        self._journal = Journal(folder)
        self._storage: BaseStorage = JournalStorage(self._journal)
        with quiet_optuna():
            self.study = optuna.create_study(
                study_name=folder.name,
                storage=self._storage,
                sampler=sampler,
                pruner=pruner,
                direction=self.settings.get("direction", "minimize"),
                load_if_exists=True,
            )
        self._asking: AbstractContextManager[Any] = FileLock(
            folder / "leases" / "asking.lock"
        )
        self._held: dict[int, FileLock] = {}
        self._tally = Tally()

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether ``folder`` holds a study."""
        try:
            return (folder / "study.toml").is_file()
        except OSError:  # such as a name too long: making it will say so
            return False

    @staticmethod
    def check_place(folder: Path) -> None:
        """Refuse a place where :meth:`create` could not make a folder.

        Raises:
            ConfigError: If something is in the way.
        """
        above = folder
        try:
            while not above.exists():
                above = above.parent
            possible = above.is_dir() and os.access(above, os.W_OK)
        except OSError:
            possible = False
        if not possible:
            raise ConfigError(
                f"{folder} must be a folder that can be written, and {above} is none; "
                "choose another --out"
            )

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
            ResumeError: If it holds another study.
        """
        wanted = [folder / part for part in ("leases", "checkpoints", "tb")]
        split = folder / "split.json"
        missing: list[Path] = []
        try:
            if Store.exists(folder):  # another command has just made it
                return check_same(folder, settings, described)
            found = [path.name for path in folder.iterdir()] if folder.exists() else []
            # A study whose making was cut short is made again; all else is not ours.
            leftovers = {split.name, *(path.name for path in wanted)}
            foreign = sorted(name for name in found if name not in leftovers)
            foreign = [name for name in foreign if not name.startswith(UNFINISHED)]
            if foreign:
                raise ConfigError(
                    f"{folder} must be new or a study, got a folder with other files "
                    f"({one_line(foreign[0])}); choose another --name"
                )
            ours = [split, *wanted, folder, *folder.parents]
            missing += [path for path in ours if not path.exists()]
            for path in wanted:
                path.mkdir(parents=True, exist_ok=True)
            write_json(split, described)
            write_text(folder / "study.toml", tomli_w.dumps(settings))
        except OSError as error:
            for path in missing:
                with suppress(OSError):
                    path.unlink() if path == split else path.rmdir()
            why = error.strerror or str(error)
            raise ConfigError(
                f"{folder} must be a folder that can be written, got: {why}; "
                "choose another --out"
            ) from None

    def extend(self, settings: Mapping[str, Any]) -> None:
        """Record settings that may change between runs, such as a larger budget."""
        self.settings = dict(settings)
        write_text(self.folder / "study.toml", tomli_w.dumps(self.settings))

    def trials(self) -> list[FrozenTrial]:
        """All trials, in order of number."""
        return self.study.get_trials(deepcopy=False)

    def tally(self) -> Tally:
        """All trials, with their sums; only what has changed is looked at anew."""
        with suppress(KeyError):
            while True:
                self._tally.see(self._storage.get_trial(len(self._tally)))
        while self._journal.changed:
            self._tally.see(self._storage.get_trial(self._journal.changed.pop()))
        return self._tally

    def order(self) -> list[int]:
        """For each recorded epoch, in the order of the work, the id of its trial."""
        logs = self._journal.read_logs(0)
        return [log["trial_id"] for log in logs if "intermediate_value" in log]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Everything that the block writes reaches the disk as one write, at its end.

        What it has told is read back at once, within this process. It reaches the disk
        however the block is left; an inner block is part of the outer one. Other
        processes wait meanwhile, so that nothing slow belongs inside::

            with store.together():
                store.report(trial, loss, epoch)
                if trial.should_prune():
                    store.finish(trial, TrialState.PRUNED, attributes)
                    trial = store.next_trial(may_start, suggest)

        Raises:
            StoppedError: If it cannot be written; this store then writes no more.
        """
        # In the order of next_trial: two locks taken in two orders could wait for each
        # other. And an ended trial, whose lease is free, is nobody's until it is told.
        with self._asking, shield(), _writing(self.folder):
            try:
                with self._journal.together():
                    yield
            finally:
                if self._journal.broken:
                    # Numbers of trials that nobody heard of are the next one's.
                    self.release_all()

    def next_trial(
        self,
        may_start: Callable[[Sequence[FrozenTrial]], bool],
        suggest: Callable[[Trial], Any],
    ) -> Trial | None:
        """A trial to train, leased to this process: an abandoned one, else a new one.

        Args:
            may_start: Whether the budget allows one more beside these.
            suggest: Asks the trial for its hyperparameters, so that it is whole when
                the next worker looks.
        """
        with self._asking, shield(), _writing(self.folder):
            self._journal.check()  # one that was begun before is taken up unwritten
            trials = self.tally()
            for frozen in trials.running:
                if self._lease(frozen.number):
                    # Its owner may have ended it between our look and our lease.
                    if self.tally()[frozen.number].state == TrialState.RUNNING:
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

    def report(self, trial: Trial, loss: float, epoch: int) -> None:
        """Record the validation loss of an epoch."""
        with shield(), _writing(self.folder):
            trial.report(loss, epoch)

    def finish(
        self,
        trial: Trial,
        state: TrialState,
        attributes: Mapping[str, Any],
        value: float | None = None,
    ) -> None:
        """End a trial for good and give its lease back."""
        with shield(), _writing(self.folder):
            for name, attribute in attributes.items():
                trial.set_user_attr(name, attribute)
            self.study.tell(trial, value, state=state)
            self._release(trial.number)

    def keep_weights(self, number: int, weights: Mapping[str, Any]) -> None:
        """Keep a trial's best-epoch weights, if it is among the best few so far."""
        from safetensors.torch import save

        folder = self.folder / "checkpoints"
        losses = {
            trial.number: trial.user_attrs["best_val_loss"]
            for trial in self.trials()
            if trial.user_attrs.get("best_val_loss") is not None
        }
        best = sorted(losses, key=lambda number: (losses[number], number))[:_KEPT]
        with shield(), _writing(self.folder):
            if number in best:
                path = folder / f"trial-{number:05d}.safetensors"
                write_bytes(path, save(dict(weights)))
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
            # While it is held: later the file may be another process's lease. (Where an
            # open file cannot be removed, the lock does so itself.)
            with suppress(OSError):
                Path(lock.lock_file).unlink()
            lock.release()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Storage that cannot be written stops the study, in one line; it fails no trial.

    Optuna's journal answers a failed write with the error, or with a failed assertion.
    """
    try:
        yield
    except (OSError, AssertionError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise StoppedError(
            f"{folder} must be writable, got: {why}; make room or mend that, and run "
            "the same command again: what was recorded is kept"
        ) from error
