"""One open study folder: which trials are whose, and what is written of them.

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

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import tomli_w
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from tunekit.errors import StoppedError
from tunekit.files import write_text
from tunekit.interrupt import shield
from tunekit.store.checkpoints import Checkpoints
from tunekit.store.folder import check_place, create, exists
from tunekit.store.journal import Journal, quiet_optuna
from tunekit.store.leases import Leases
from tunekit.store.same import settings_of

__all__ = ["Store"]


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
        self._storage = JournalStorage(self._journal)
        with quiet_optuna():
            self.study = optuna.create_study(
                study_name=folder.name,
                storage=self._storage,
                sampler=sampler,
                pruner=pruner,
                direction="minimize",
                load_if_exists=True,
            )
        self._leases = Leases(folder / "leases")
        self._checkpoints = Checkpoints(folder / "checkpoints")

    exists = staticmethod(exists)
    check_place = staticmethod(check_place)
    create = staticmethod(create)

    def extend(self, settings: Mapping[str, Any]) -> None:
        """Record settings that may change between runs, such as a larger budget."""
        self.settings = dict(settings)
        write_text(self.folder / "study.toml", tomli_w.dumps(self.settings))

    def trials(self) -> list[FrozenTrial]:
        """All trials, in order of number."""
        return self.study.get_trials(deepcopy=False)

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
        with self._leases.asking, shield(), _writing(self.folder):
            try:
                with self._journal.together():
                    yield
            finally:
                if self._journal.broken:
                    # Numbers of trials that nobody heard of are the next one's.
                    self.release_all()

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
        with self._leases.asking, shield(), _writing(self.folder):
            self._journal.check()  # one that was begun before is taken up unwritten
            trials = self.trials()
            for frozen in trials:
                if frozen.state == TrialState.RUNNING and self._leases.take(
                    frozen.number
                ):
                    # Its owner may have ended it between our look and our lease.
                    if self.trials()[frozen.number].state == TrialState.RUNNING:
                        trial = self._revive(frozen.number)
                        suggest(trial)
                        return trial
                    self._leases.release(frozen.number)
            if not may_start(trials):
                return None
            trial = self.study.ask()
            self._leases.take(trial.number)
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
            self._leases.release(trial.number)

    def keep_weights(self, number: int, weights: Mapping[str, Any]) -> None:
        """Keep a trial's best-epoch weights, if it is among the best few so far."""
        with shield(), _writing(self.folder):
            self._checkpoints.keep_weights(number, weights, self.trials())

    def release_all(self) -> None:
        """Give every lease back; what was running can be taken up by anyone."""
        self._leases.release_all()

    def _revive(self, number: int) -> Trial:
        """A trial that is RUNNING in the storage, as an object to report to."""
        study_id = self._storage.get_study_id_from_name(self.study.study_name)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(
            study_id, number
        )
        return Trial(self.study, trial_id)


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
