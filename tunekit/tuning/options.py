"""What ``tune`` was asked for, checked before any work."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, GridSampler, QMCSampler, RandomSampler
from optuna.study import Study

from tunekit.config import PRUNERS, SAMPLERS, check_name, parse_seconds
from tunekit.errors import ConfigError, did_you_mean, one_line
from tunekit.flat import Remaining
from tunekit.rungs import Chooser, epochs_for
from tunekit.search import SeededSampler, chooser, pruner, rungs_of, sampler
from tunekit.tuning.candidates import OwnSpace
from tunekit.warm import Warm, earlier, warm

__all__ = ["Options"]

_DIRECTIONS = ("minimize", "maximize")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of :func:`tunekit.tune` that say how to search.

    Raises:
        ConfigError: One that cannot be used.
    """

    monitor: str
    direction: str
    max_epochs: int
    n_trials: int | None
    budget_epochs: int | None
    timeout: float | None
    trial_timeout: float | None
    sampler: str | BaseSampler
    pruner: str | BasePruner
    enqueue: Sequence[Mapping[str, Any]]
    warm_start: Any
    stop_when_flat: bool
    extend: bool
    in_flight: int
    seed: int
    name: str

    @property
    def maximize(self) -> bool:
        """Whether higher values are better."""
        return self.direction == "maximize"

    def __post_init__(self) -> None:
        """Refuse what cannot be used, and give numbers their type."""
        for name in ("max_epochs", "n_trials", "budget_epochs", "in_flight"):
            self._set(name, _whole(name, getattr(self, name), 1))
        self._set("seed", _whole("seed", self.seed, 0))
        for name in ("max_epochs", "in_flight", "seed"):
            if getattr(self, name) is None:
                raise ConfigError(f"{name} must be a whole number, got None")
        for name in ("timeout", "trial_timeout"):
            if (given := getattr(self, name)) is not None:
                seconds = parse_seconds(given, name)
                if not 0 < seconds < math.inf:
                    raise ConfigError(
                        f"{name} must be above 0 s and finite, got {seconds:g} s"
                    )
                self._set(name, seconds)
        if self.n_trials is self.budget_epochs is self.timeout is None:
            raise ConfigError(
                "a budget must be given, got none; give n_trials, budget_epochs or "
                "timeout"
            )
        if self.direction not in _DIRECTIONS:
            raise ConfigError(
                f"direction must be one of {', '.join(_DIRECTIONS)}, got "
                f'"{self.direction}"' + did_you_mean(str(self.direction), _DIRECTIONS)
            )
        self._set("sampler", _known("sampler", self.sampler, SAMPLERS, BaseSampler))
        self._set("pruner", _known("pruner", self.pruner, PRUNERS, BasePruner))
        check_name(self.name)
        for name in ("stop_when_flat", "extend"):
            if not isinstance(value := getattr(self, name), bool):
                raise ConfigError(f"{name} must be True or False, got {value!r}")
        self._check_enqueue()

    def warm(self, space: OwnSpace) -> Warm:
        """What is taken from an earlier study, if there is one.

        Raises:
            ConfigError: If it cannot be used.
        """
        if self.warm_start is None:
            return Warm()
        known = earlier(self.warm_start, maximize=self.maximize)
        found = warm(known, space.earlier)
        settled = [space.settled(params) for params in found.configurations]
        return replace(found, configurations=[each for each in settled if each])

    def build_sampler(
        self, space: OwnSpace, warm: Sequence[Mapping[str, Any]] = ()
    ) -> SeededSampler:
        """The sampler; what is enqueued comes first, then what comes from a warm start.

        Args:
            space: What is searched.
            warm: The configurations of a warm start.
        """
        first = space.configurations([*self.enqueue, *warm])
        given = [each.stored for each in first]
        distributions = [each.distributions for each in first]
        if isinstance(self.sampler, BaseSampler):
            own = self.sampler
            return SeededSampler(
                lambda seed: own,
                seed=self.seed,
                first=given,
                distributions=distributions,
                random=isinstance(own, RandomSampler | GridSampler | QMCSampler),
            )
        if self.sampler == "grid" and space.scales is None:
            raise ConfigError(
                'sampler "grid" must know the whole space, got a function; give a dict '
                "of scales or another sampler"
            )
        return sampler(
            self.sampler,
            space.scales,
            seed=self.seed,
            n_trials=self.n_trials,
            first=given,
            distributions=distributions,
            rungs=self._rungs,
            epochs=self.epochs,
        )

    def build_chooser(
        self, sampler: SeededSampler, space: OwnSpace
    ) -> Callable[[Study], Chooser]:
        """What decides between new trials and paused ones, given the study."""
        flat = Remaining(self.max_epochs, self.n_trials, self.epochs)
        return chooser(
            sampler,
            space.scales,
            rungs=self._rungs,
            max_epochs=self.max_epochs,
            seed=self.seed,
            n_trials=self.n_trials,
            epochs=self.epochs,
            flat=flat if self.stop_when_flat else None,
        )

    def build_pruner(self) -> BasePruner:
        """The pruner."""
        if isinstance(self.pruner, BasePruner):
            return self.pruner
        return pruner(self.pruner, self.max_epochs)

    @property
    def epochs(self) -> int | None:
        """Epochs of all trials together, if they are limited."""
        if self.budget_epochs or self.n_trials is None or self._rungs is None:
            return self.budget_epochs
        return epochs_for(self.n_trials, self.max_epochs)

    @property
    def _rungs(self) -> tuple[int, ...] | None:
        return rungs_of(_word(self.pruner), self.max_epochs)

    def as_settings(self, space: OwnSpace) -> dict[str, Any]:
        """Plain values, as ``study.toml`` holds them."""
        found = {
            "max_epochs": self.max_epochs,
            "patience": self.max_epochs,
            "n_trials": self.n_trials,
            "budget_epochs": self.budget_epochs,
            "timeout": self.timeout,
            "trial_timeout": self.trial_timeout,
            "sampler": _word(self.sampler),
            "pruner": _word(self.pruner),
            "monitor": self.monitor,
            "direction": self.direction,
            "warm_start": _source(self.warm_start),
            "stop_when_flat": self.stop_when_flat,
            "in_flight": self.in_flight,
            "seed": self.seed,
            "name": self.name,
            "enqueue": [repr(dict(params)) for params in self.enqueue] or None,
            "space": space.as_settings(),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _check_enqueue(self) -> None:
        given = self.enqueue
        if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
            raise ConfigError(
                "enqueue must be a list of configurations such as "
                f'[{{"lr": 0.01}}], got {one_line(repr(given))}'
            )
        for n, params in enumerate(given):
            if not isinstance(params, Mapping):
                raise ConfigError(
                    f"enqueue[{n}] must be a dict of name to value, got "
                    f"{one_line(repr(params))}"
                )

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _whole(name: str, value: Any, low: int) -> int | None:
    if value is None:
        return None
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ConfigError(f"{name} must be a whole number, got {value!r}") from None
    if number < low:
        raise ConfigError(f"{name} must be at least {low}, got {number}")
    return number


def _known(what: str, given: Any, names: Sequence[str], kind: type) -> Any:
    """A name that is known or an object of Optuna's; the first name for None."""
    if given is None:
        return names[0]
    if isinstance(given, kind) or given in names:
        return given
    raise ConfigError(
        f"{what} must be one of {', '.join(names)} or an Optuna {what}, got "
        f"{one_line(repr(given))}" + did_you_mean(str(given), names)
    )


def _source(warm_start: Any) -> str | None:
    """Which earlier study it is, in a word."""
    if warm_start is None or isinstance(warm_start, str | Path):
        return None if warm_start is None else str(warm_start)
    study = getattr(warm_start, "study", warm_start)
    return f'the study "{getattr(study, "study_name", study)}"'


def _word(given: Any) -> str:
    return given if isinstance(given, str) else type(given).__name__
