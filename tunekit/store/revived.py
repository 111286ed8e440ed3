"""Trials that go on: under their own number, or under a new one."""

from __future__ import annotations

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

__all__ = ["continued", "revived"]


def revived(study: optuna.Study, storage: BaseStorage, number: int) -> Trial:
    """A trial that is RUNNING in the storage, as an object to report to."""
    study_id = storage.get_study_id_from_name(study.study_name)
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
    return Trial(study, trial_id)


def continued(study: optuna.Study, old: FrozenTrial) -> int:
    """Add a trial in the stead of one that was paused when its search ended.

    It is RUNNING, with the same hyperparameters and reports, and carries what the old
    one came to; ``continues`` says which that is.

    Returns:
        Its number.
    """
    attributes = {**old.user_attrs, "continues": old.number}
    del attributes["stopped"]
    study.add_trial(
        optuna.create_trial(
            state=TrialState.RUNNING,
            params=old.params,
            distributions=old.distributions,
            intermediate_values=old.intermediate_values,
            user_attrs=attributes,
        )
    )
    return study.get_trials(deepcopy=False)[-1].number
