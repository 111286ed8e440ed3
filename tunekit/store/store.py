"""One open study folder: which trials are whose, and what is written of them.

    OUT/NAME/study.toml      every setting, resolved; written last: it marks a study
             split.json      what was read, and the raw row numbers of each part
             journal.log     Optuna's journal: all trials, a checksum in each line
             journal.copy    the same once more, should that be damaged
             leases/         a lock for each running trial, held by who trains it, and
                             who that is
             checkpoints/    states of paused trials, weights of the best ones

All state lives here. A trial that is RUNNING and whose lease nobody holds belonged to a
process that is gone, unless it is paused; the next worker trains it again from its last
checkpoint, and since every random stream depends on the trial alone, it comes to the
same values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from tunekit.choosers import Straight
from tunekit.files import write_toml
from tunekit.paused import chain_of, reached
from tunekit.rungs import Begin, Chooser, Promote
from tunekit.states import part_of
from tunekit.store.checkpoints import Checkpoints, best_few
from tunekit.store.folder import check_place, create, exists
from tunekit.store.journal import Journal, quiet_optuna
from tunekit.store.leased import Leased
from tunekit.store.leases import Leases
from tunekit.store.litter import sweep
from tunekit.store.same import FREED, settings_of
from tunekit.store.steps import Allows, Steps
from tunekit.store.storage import Storage
from tunekit.store.writes import Writes
from tunekit.tally import Tally
from tunekit.trial import State

__all__ = ["Store"]

_WEIGHTS_KEPT = 5
"""Ended trials whose best-epoch weights stay, unless a setting says otherwise."""
_STATES_KEPT = 20
"""Ended trials from whose states a later, larger budget can go on; likewise."""


class Store(Leased):
    """One open study folder.

    Attributes:
        folder: ``OUT/NAME``.
        settings: What ``study.toml`` says.
        study: The Optuna study; its sampler and pruner are the caller's.
        sign: -1 where higher values are better.
    """

    def __init__(
        self,
        folder: Path,
        sampler: optuna.samplers.BaseSampler | None = None,
        pruner: optuna.pruners.BasePruner | None = None,
        chooser: Callable[[optuna.Study], Chooser] | None = None,
    ) -> None:
        """Open a folder that :meth:`create` made.

        Args:
            folder: ``OUT/NAME``.
            sampler: Proposes new trials.
            pruner: Stops weak ones for good.
            chooser: Given the study, what decides between new trials and paused ones;
                only new ones when None.

        Raises:
            ResumeError: If it holds no study.
        """
        settings, journal = settings_of(folder), Journal(folder)
        sweep(folder)
        self._journal, self._storage = journal, Storage(journal)
        self._leases = Leases(folder / "leases")
        self._checkpoints = Checkpoints(folder / "checkpoints")
        with suppress(OSError, ValueError, KeyError, TypeError):
            split = json.loads((folder / "split.json").read_text("utf-8"))
            self._fingerprint = split["fingerprint"]
        self._open(folder, settings, sampler, pruner, chooser)

    _journal: Journal
    _checkpoints: Checkpoints
    _fingerprint: Any = None

    def _open(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        sampler: optuna.samplers.BaseSampler | None,
        pruner: optuna.pruners.BasePruner | None,
        chooser: Callable[[optuna.Study], Chooser] | None,
    ) -> None:
        self.folder, self.settings = folder, dict(settings)
        max_epochs = self.settings["max_epochs"]
        with quiet_optuna():
            self.study = optuna.create_study(
                study_name=folder.name,
                storage=self._storage,
                sampler=sampler,
                pruner=pruner,
                direction=self.settings.get("direction", "minimize"),
                load_if_exists=True,
            )
        self.sign = -1.0 if self.study.direction == StudyDirection.MAXIMIZE else 1.0
        chosen = chooser(self.study) if chooser else Straight(max_epochs)
        self._steps = Steps(self.study, chosen, self._leases, max_epochs)
        self._writes = Writes(folder, self._journal, self._leases, self._checkpoints)
        self._tally = Tally(max_epochs)

    exists = staticmethod(exists)
    check_place = staticmethod(check_place)
    create = staticmethod(create)

    def extend(self, settings: Mapping[str, Any]) -> None:
        """Record settings that may change between runs, such as a larger budget."""
        self.settings = dict(settings)
        write_toml(self.folder / "study.toml", self.settings)

    def trials(self) -> list[FrozenTrial]:
        """All trials, in order of number."""
        return self.study.get_trials(deepcopy=False)

    def tally(self) -> Tally:
        """All trials, with their sums; only what has changed is looked at anew."""
        with suppress(KeyError):
            while True:
                self._tally.see(self._storage.get_trial(len(self._tally)))
        while self._journal.changed:
            # One that came this moment is seen in its turn, the next time.
            if (number := self._journal.changed.pop()) < len(self._tally):
                self._tally.see(self._storage.get_trial(number))
        return self._tally

    def order(self) -> list[int]:
        """For each recorded epoch, in the order of the work, the id of its trial."""
        logs = self._journal.read_logs(0)
        return [log["trial_id"] for log in logs if "intermediate_value" in log]

    def together(self) -> AbstractContextManager[None]:
        """Everything that the block writes reaches the disk as one write, at its end.

        What it has told is read back at once, within this process. It reaches the disk
        however the block is left; an inner block is part of the outer one. Other
        processes wait meanwhile, so that nothing slow belongs inside::

            with store.together():
                store.report(trial, loss, epoch)
                if trial.should_prune():
                    store.finish(trial, TrialState.PRUNED, attributes)
                    trial = store.next_trial(allows, suggest)

        Raises:
            StoppedError: If it cannot be written; this store then writes no more.
        """
        return self._writes.together()

    @property
    def pauses(self) -> bool:
        """Whether trials are ever paused."""
        return self._steps.pauses

    def next_step(self, allows: Allows) -> Promote | Begin | None:
        """What would be done next, were no trial abandoned; None for nothing."""
        return self._steps.next(self.tally(), allows)

    def next_trial(
        self, allows: Allows, suggest: Callable[[Trial], Any]
    ) -> Trial | None:
        """A trial to train, leased to us: an abandoned one, else the chosen one.

        Its user attribute ``to_epoch`` says how far; :meth:`state` where it goes on.

        Args:
            allows: Whether the budget allows a step beside these trials.
            suggest: Asks the trial for its hyperparameters, so that it is whole when
                the next worker looks.
        """
        with self.together():
            trials = self.tally()
            for frozen in trials.opened:
                trial = self.take_up(frozen, suggest)
                if trial is not None:
                    return trial
            step = self._steps.take(trials, allows)
            if step is None:
                return None
            if isinstance(step, Promote):
                trial = self._revive(step.number)
            else:
                trial = self.study.ask()
                self._leases.take(trial.number)
            trial.set_user_attr("to_epoch", step.to_epoch)
            suggest(trial)
            return trial

    def state(self, trial: Trial) -> State | None:
        """Where a trial goes on: its latest readable checkpoint; None to begin."""
        if not self.pauses:
            return None
        trials = self.tally()
        chain = chain_of(trials, trial.number)
        known = reached(trials[trial.number])
        return self._checkpoints.read(chain, known, self._whose)

    @property
    def trouble(self) -> str:
        """What was found damaged and is made anew, in words; or ""."""
        n = self._checkpoints.damaged
        what = "a checkpoint was" if n == 1 else f"{n} checkpoints were"
        return f"{what} damaged, and that part was trained again" if n else ""

    def run_number(self, number: int) -> int:
        """What a trial's random streams go by: the number of the first it continues."""
        return chain_of(self.tally(), number)[0]

    def note(self, trial: Trial, attributes: Mapping[str, Any]) -> None:
        """Record what a trial has come to so far."""
        with self._writes.at_once():
            known = trial.user_attrs
            for name, attribute in attributes.items():
                if name not in known or known[name] != attribute:
                    trial.set_user_attr(name, attribute)

    def pause(self, trial: Trial, state: State | None) -> None:
        """Keep a trial that may be promoted later, and give its lease back.

        Args:
            trial: One that has reported as many epochs as its ``to_epoch`` says.
            state: What it goes on from; None where that is kept elsewhere.
        """
        with self._writes.at_once():
            if state is not None:
                chain = chain_of(self.tally(), trial.number)
                self._checkpoints.write(chain, state, self._whose(trial.number))
            self._leases.release(trial.number, settled=True)
            self._writes.clear()

    def let_go(self) -> list[int]:
        """End the paused trials that are not worth their checkpoints; their numbers."""
        gone = []
        with self.together():
            for number in self._steps.surplus(self.tally()):
                if self._leases.take(number):
                    trial = self._revive(number)
                    self.finish(trial, TrialState.PRUNED, {"stopped": "weak"})
                    gone.append(number)
        return gone

    def end_paused(
        self, attributes: Callable[[FrozenTrial], Mapping[str, Any]]
    ) -> None:
        """Tell the paused trials PRUNED, because the search has ended.

        The checkpoints of the best few stay, so that a larger budget can go on from
        them; the setting ``keep_checkpoints`` says of how many.

        Args:
            attributes: What each has come to.
        """
        with self.together():
            for frozen in self.tally().paused:
                if self._leases.take(frozen.number):
                    told = {**attributes(frozen), "stopped": "paused"}
                    trial = self._revive(frozen.number)
                    self.finish(trial, TrialState.PRUNED, told)
        keep = self.settings.get("keep_checkpoints", _STATES_KEPT)
        waiting = self._steps.waiting(self.tally(), self.sign)[:keep]
        with self._writes.at_once():
            kept = (chain_of(self.tally(), number) for number in waiting)
            self._checkpoints.keep({number for chain in kept for number in chain})

    def report(self, trial: Trial, loss: float, epoch: int) -> None:
        """Record the validation loss of an epoch."""
        with self._writes.at_once():
            trial.report(loss, epoch)

    def finish(
        self,
        trial: Trial,
        state: TrialState,
        attributes: Mapping[str, Any],
        value: float | None = None,
    ) -> None:
        """End a trial for good and give its lease back."""
        with self._writes.at_once():
            for name, attribute in attributes.items():
                trial.set_user_attr(name, attribute)
            self.study.tell(trial, value, state=state)
            self._leases.release(trial.number, settled=True)
            if self.pauses and attributes.get("stopped") != "paused":
                self._checkpoints.replace(chain_of(self.tally(), trial.number))
                self._writes.clear()

    def keep_weights(self, number: int, weights: Mapping[str, Any]) -> None:
        """Keep a trial's best-epoch weights, if it is among the best few so far."""
        with self._writes.at_once():
            keep = self.settings.get("keep_checkpoints", _WEIGHTS_KEPT)
            kept = self._checkpoints.with_weights()
            best = best_few(number, self.tally(), keep, self.sign, kept)
            self._checkpoints.keep_weights(number, weights, best)

    def weights(self, number: int) -> dict[str, Any] | None:
        """The weights of a trial's best epoch; None where none can be read.

        Args:
            number: One that has ended, or is paused.
        """
        chain = chain_of(self.tally(), number)
        found = self._checkpoints.weights(chain[-1])
        if found is None:
            state = self._checkpoints.read(chain, 10**9, self._whose)
            best = {} if state is None else part_of(state, "best")
            found = best or None
        return found

    def _whose(self, number: int) -> str:
        """What tells a trial's states from those of every other, in any study."""
        # What was fixed when it was made, and is searched now, was no part of it then.
        freed = self.study.user_attrs.get(FREED, ())
        params = self.tally()[number].params.items()
        defines = [
            self.settings.get("seed"),
            self._fingerprint,
            sorted((name, value) for name, value in params if name not in freed),
        ]
        digest = hashlib.sha256(json.dumps(defines, default=repr).encode()).hexdigest()
        return f"{self.study.study_name}/{number}/{digest[:16]}"
