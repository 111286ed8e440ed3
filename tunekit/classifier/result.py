"""What a search within ``fit`` came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial

from tunekit.budget import best_of
from tunekit.closing import trials_frame
from tunekit.history import history
from tunekit.store import Store, quiet_optuna
from tunekit.tally import as_one

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METRICS", "Search", "winner_of"]

METRICS = ("log_loss", "accuracy")
"""What a winner is chosen by, the default first."""


@dataclass(frozen=True)
class Search:
    """What a search within ``fit`` came to; it can be pickled.

    Attributes:
        study: The Optuna study, in memory; an epoch's value is its validation loss.
        trials: One row a trial: number, state, value (lowest validation loss), epochs,
            seconds, and one column per hyperparameter.
        history: (epochs spent in all, lowest validation loss so far), one pair an
            improvement.
        model: What the model that was kept came to: ``trial`` and ``seed`` it is of,
            ``val_loss``, ``val_accuracy`` and ``epoch``, and of how many ``seeds`` it
            is the best.
        metric: What the winner was chosen by.
        folder: The study folder; None when nothing was kept on disk.
    """

    study: optuna.Study
    trials: pd.DataFrame
    history: list[tuple[int, float]]
    model: dict[str, Any]
    metric: str
    folder: Path | None

    @classmethod
    def of(
        cls, store: Store, model: dict[str, Any], metric: str, folder: Path | None
    ) -> Search:
        """What stands in a store once its search has ended."""
        trials = store.trials()
        return cls(
            _apart(store.study),
            trials_frame(as_one(trials)),
            history(trials, store.order()),
            model,
            metric,
            folder,
        )

    @property
    def best_params(self) -> dict[str, Any]:
        """The winner's hyperparameters, as people read them."""
        return dict(self._winner.user_attrs["params"])

    @property
    def best_value(self) -> float:
        """The winner's validation loss, or its accuracy where that is the metric."""
        attrs = self._winner.user_attrs
        name = "best_val_loss" if self.metric == "log_loss" else "best_val_score"
        return float(attrs[name])

    @property
    def _winner(self) -> FrozenTrial:
        number: int = self.model["trial"]
        return self.study.get_trials(deepcopy=False)[number]


def winner_of(trials: Sequence[FrozenTrial], metric: str) -> FrozenTrial | None:
    """The best trial by a metric; None where none has a finite loss.

    Trials are steered by their loss in any case, since it also says how sure an answer
    was; an accuracy is that of the epoch with the lowest loss. Of trials that are alike
    in it, the one with the lowest loss is taken.

    Args:
        trials: Those of a search that has ended.
        metric: One of :data:`METRICS`.
    """
    best = best_of(trials)
    if metric == "log_loss" or best is None:
        return best

    def rank(trial: FrozenTrial) -> tuple[float, float, int]:
        attrs = trial.user_attrs
        return -attrs["best_val_score"], attrs["best_val_loss"], trial.number

    scored = [t for t in as_one(trials) if _has_score(t)]
    return min(scored, key=rank, default=best)


def _has_score(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get("best_val_score") is not None


def _apart(study: optuna.Study) -> optuna.Study:
    """The study's trials without what searched them, which cannot be pickled."""
    storage = InMemoryStorage()
    with quiet_optuna():
        study_id = storage.create_new_study([study.direction], study.study_name)
        for name, value in study.user_attrs.items():
            storage.set_study_user_attr(study_id, name, value)
        for trial in study.get_trials(deepcopy=False):
            storage.create_new_trial(study_id, template_trial=trial)
        return optuna.load_study(study_name=study.study_name, storage=storage)
