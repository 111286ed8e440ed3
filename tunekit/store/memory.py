"""A study that is kept nowhere: the store of a folder, without the folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from tunekit.store.journal import Journal, quiet_optuna
from tunekit.store.store import Store
from tunekit.tally import Tally

__all__ = ["MemoryStore"]


class MemoryStore(Store):
    """One study in the memory of one process; see :class:`tunekit.store.Store`.

    Attributes:
        settings: What ``study.toml`` would say.
        study: The Optuna study.

    Example:
        >>> store = MemoryStore("toy", {"max_epochs": 3, "patience": 3, "seed": 0})
        >>> trial = store.next_trial(lambda trials: True, lambda trial: None)
        >>> store.report(trial, 0.5, epoch=1)
        >>> store.tally().epochs
        1
    """

    def __init__(
        self,
        name: str,
        settings: Mapping[str, Any],
        sampler: optuna.samplers.BaseSampler | None = None,
        pruner: optuna.pruners.BasePruner | None = None,
    ) -> None:
        self.folder, self.settings = Path(name), dict(settings)
        storage = _Storage()
        self._storage, self._journal = storage, _Unwritten(storage.changed)
        self._order = storage.order
        with quiet_optuna():
            self.study = optuna.create_study(
                study_name=name,
                storage=storage,
                sampler=sampler,
                pruner=pruner,
                direction=self.settings.get("direction", "minimize"),
            )
        self._asking = nullcontext()
        self._leased: set[int] = set()
        self._tally = Tally()

    def order(self) -> list[int]:
        """For each recorded epoch, in the order of the work, the id of its trial."""
        return [*self._order]

    def keep_weights(self, number: int, weights: Mapping[str, Any]) -> None:
        """There is no place to keep them."""

    def release_all(self) -> None:
        """Give every lease back."""
        self._leased.clear()

    def _lease(self, number: int) -> bool:
        if number in self._leased:
            return False
        self._leased.add(number)
        return True

    def _release(self, number: int) -> None:
        self._leased.discard(number)


class _Unwritten(Journal):
    """A journal of what needs none: nothing is ever broken, nothing is left to do."""

    def __init__(self, changed: set[int]) -> None:
        self.changed = changed

    @property
    def broken(self) -> bool:
        return False

    def check(self) -> None:
        pass

    @contextmanager
    def together(self) -> Iterator[None]:
        yield


class _Storage(InMemoryStorage):
    """Optuna's, which also notes the trials that have changed."""

    def __init__(self) -> None:
        super().__init__()
        self.changed: set[int] = set()
        self.order: list[int] = []

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: optuna.distributions.BaseDistribution,
    ) -> None:
        self.changed.add(trial_id)
        super().set_trial_param(
            trial_id, param_name, param_value_internal, distribution
        )

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        self.changed.add(trial_id)
        return bool(super().set_trial_state_values(trial_id, state, values))

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        self.changed.add(trial_id)
        self.order.append(trial_id)
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.changed.add(trial_id)
        super().set_trial_user_attr(trial_id, key, value)
