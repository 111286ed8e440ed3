"""A study that is kept nowhere: the store of a folder, without the folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from tunekit.rungs import Chooser
from tunekit.store.checkpoints import Checkpoints
from tunekit.store.journal import Journal
from tunekit.store.leases import Leases
from tunekit.store.owners import Owner
from tunekit.store.store import Store
from tunekit.trial import State

__all__ = ["MemoryStore"]

_BEST = "best."
"""What the tensors' names of a run's best epoch begin with; see :class:`State`."""


class MemoryStore(Store):
    """One study in the memory of one process; see :class:`tunekit.store.Store`.

    Attributes:
        settings: What ``study.toml`` would say.
        study: The Optuna study.

    Example:
        >>> store = MemoryStore("toy", {"max_epochs": 3, "patience": 3, "seed": 0})
        >>> trial = store.next_trial(lambda trials, step: True, lambda trial: None)
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
        chooser: Callable[[optuna.Study], Chooser] | None = None,
    ) -> None:
        storage = _Storage()
        self._storage, self._journal = storage, _Unwritten(storage.changed)
        self._leases, self._checkpoints = _Leases(), _Checkpoints()
        self._order = storage.order
        self._open(Path(name), settings, sampler, pruner, chooser)

    def order(self) -> list[int]:
        """For each recorded epoch, in the order of the work, the id of its trial."""
        return [*self._order]


class _Leases(Leases):
    """What this process trains."""

    def __init__(self) -> None:
        self.asking: AbstractContextManager[Any] = nullcontext()
        self._taken: set[int] = set()

    def take(self, number: int, epochs: int | None = None) -> bool:
        if number in self._taken:
            return False
        self._taken.add(number)
        return True

    def owner(self, number: int) -> Owner:
        return Owner()

    def begin(self, numbers: Collection[int]) -> None:
        pass

    def release(self, number: int, *, settled: bool = False) -> None:
        self._taken.discard(number)

    def release_all(self) -> None:
        self._taken.clear()


class _Checkpoints(Checkpoints):
    """States of paused trials; of each the latest, since nothing is ever torn."""

    def __init__(self) -> None:
        self._states: dict[int, State] = {}
        self._weights: dict[int, dict[str, Any]] = {}

    def write(self, chain: Sequence[int], state: State, whose: str) -> None:
        self._states[chain[-1]] = state

    def read(
        self, chain: Sequence[int], reached: int, whose: Callable[[int], str]
    ) -> State | None:
        return next((self._states[n] for n in chain[::-1] if n in self._states), None)

    def replace(self, chain: Sequence[int], epoch: float = 0) -> None:
        for number in chain:
            self._states.pop(number, None)

    def clear(self) -> None:
        pass

    def keep(self, numbers: Collection[int]) -> None:
        # Nothing can go on from them: all that anybody may ask for is the best weights.
        self._states = {
            number: dataclasses.replace(
                state,
                tensors={k: v for k, v in state.tensors.items() if k.startswith(_BEST)},
                extra=None,
            )
            for number, state in self._states.items()
            if number in numbers
        }

    def keep_weights(
        self,
        number: int,
        weights: Mapping[str, Any],
        best: Collection[int],
    ) -> None:
        self._weights = {n: w for n, w in self._weights.items() if n in best}
        if number in best:
            self._weights[number] = dict(weights)

    def with_weights(self) -> list[int]:
        return [*self._weights]

    def weights(self, number: int) -> dict[str, Any] | None:
        return self._weights.get(number)


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
