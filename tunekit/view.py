"""The study as samplers are to see it: what is paused counts for what it has come to.

A paused trial is RUNNING in the storage, and Optuna's samplers treat RUNNING ones
badly: TPE counts them as bad, a Gaussian process goes on at random until enough have
ended. In the view a paused trial is PRUNED at its last value; one that is being trained
stays as it is.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Container, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from tunekit.paused import is_paused

__all__ = ["seen_by_samplers"]


def seen_by_samplers(study: optuna.Study) -> optuna.Study:
    """A study that shows paused trials as PRUNED; all else is passed on.

    Args:
        study: Any study, or the part of one that Hyperband hands to samplers.

    Example:
        >>> study = optuna.create_study()
        >>> trial = study.ask()
        >>> trial.set_user_attr("to_epoch", 1)
        >>> trial.report(0.5, 1)
        >>> [t.state.name for t in study.trials]
        ['RUNNING']
        >>> [(t.state.name, t.value) for t in seen_by_samplers(study).trials]
        [('PRUNED', 0.5)]
    """
    part: Any = study
    if hasattr(part, "_bracket_id"):  # Hyperband's, which cannot be copied
        whole = seen_by_samplers(part._study)
        seen: optuna.Study = part.pruner._create_bracket_study(whole, part._bracket_id)
        return seen
    seen = copy.copy(study)
    seen._storage = _View.of(study._storage)
    return seen


class _View(BaseStorage):
    """A storage in which paused trials are PRUNED; what is written is passed on."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage
        self._shown: dict[int, tuple[FrozenTrial, FrozenTrial]] = {}

    @classmethod
    def of(cls, storage: BaseStorage) -> _View:
        """One view a storage, so that what it remembers serves every proposal."""
        if isinstance(storage, cls):
            return storage
        known = vars(storage).get("_seen_by_samplers")
        if known is None:
            known = vars(storage)["_seen_by_samplers"] = cls(storage)
        return known

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        running = TrialState.RUNNING
        trials = [
            self._show(t) if t.state is running else t
            for t in self._storage.get_all_trials(study_id, deepcopy=False)
        ]
        if states is not None:
            trials = [t for t in trials if t.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._show(self._storage.get_trial(trial_id))

    def _show(self, trial: FrozenTrial) -> FrozenTrial:
        """A paused trial as PRUNED; the same object while nothing has changed."""
        if not is_paused(trial, math.inf):
            return trial
        known = self._shown.get(trial._trial_id)
        if known is not None and known[0] is trial:
            return known[1]
        shown = copy.copy(trial)
        shown.state = TrialState.PRUNED
        value = trial.intermediate_values[max(trial.intermediate_values)]
        shown.values = None if math.isnan(value) else [value]
        self._shown[trial._trial_id] = trial, shown
        return shown

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        return self._storage.create_new_study(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        self._storage.delete_study(study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._storage.set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._storage.set_study_system_attr(study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._storage.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._storage.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._storage.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._storage.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._storage.get_study_system_attrs(study_id)

    def get_all_studies(
        self,
    ) -> list[FrozenStudy]:
        return self._storage.get_all_studies()

    def create_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None = None
    ) -> int:
        return self._storage.create_new_trial(study_id, template_trial)

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        self._storage.set_trial_param(
            trial_id, param_name, param_value_internal, distribution
        )

    def get_trial_id_from_study_id_trial_number(
        self, study_id: int, trial_number: int
    ) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(
            study_id, trial_number
        )

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        return self._storage.set_trial_state_values(trial_id, state, values)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        self._storage.set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._storage.set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._storage.set_trial_system_attr(trial_id, key, value)
