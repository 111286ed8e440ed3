"""A space of anybody's own: scales by name, or a function that asks as it goes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import BaseTrial, FrozenTrial

from tunekit.draws import UniformSampler
from tunekit.errors import SpaceError, did_you_mean, one_line
from tunekit.space import Scale, Space
from tunekit.store import quiet_optuna
from tunekit.trial import Recipe
from tunekit.tuning.stored import contains, gaps, human, stored_value
from tunekit.warm import matched

__all__ = ["Chosen", "Configuration", "OwnSpace"]

_REHEARSALS = 8
"""Configurations by which a space that is a function is known again."""


@dataclass(frozen=True)
class Chosen:
    """One configuration."""

    params: Any
    """What ``make`` gets."""
    shown: dict[str, Any]
    """Plain values by name, as people read them."""


@dataclass(frozen=True)
class Configuration:
    """What is to be tried, as Optuna stores it; what it lacks, the sampler gives."""

    stored: dict[str, Any]
    distributions: dict[str, BaseDistribution]


class OwnSpace:
    """Scales by name, or a function ``trial -> params``; checked, before any work.

    Args:
        space: As the user gave it.
        seed: The study's seed.

    Attributes:
        scales: The scales as a :class:`tunekit.space.Space`; None for a function.

    Raises:
        SpaceError: What is no space.
    """

    def __init__(
        self, space: Mapping[str, Scale] | Callable[[Any], Any], seed: int
    ) -> None:
        self.scales: Space | None = None
        self._seed = seed
        if isinstance(space, Mapping):
            _check_scales(space)
            self._names = [*space]
            self.scales = Space(space)
            self._ask: Callable[[Any], Any] = self._ask_scales
        elif callable(space):
            self._ask = space
        else:
            raise SpaceError(
                "space must be a dict of name to scale, or a function trial -> params, "
                f"got {_brief(space)}"
            )
        self._rehearsed = [
            self._rehearse({}, number)
            for number in range(1 if self.scales else _REHEARSALS)
        ]

    def suggest(self, trial: BaseTrial) -> Chosen:
        """Ask a trial for a configuration.

        Raises:
            SpaceError: If the function that is the space fails.
        """
        try:
            params = self._ask(trial)
        except SpaceError:
            raise
        except Exception as error:
            raise SpaceError(
                "space(trial) must return parameters, got "
                f"{type(error).__name__}: {one_line(str(error))}; mend that"
            ) from error
        if params is None:
            raise SpaceError(
                "space(trial) must return the parameters that make is called with, got "
                "None; return them"
            )
        given = params
        if not isinstance(params, Mapping):
            given = human(trial.params, trial.distributions)
        return Chosen(params, {str(k): _plain(v) for k, v in given.items()})

    def shown(self, params: Chosen) -> dict[str, Any]:
        """By name, as people read it."""
        return params.shown

    def recipe(self, params: Chosen) -> Recipe:
        """Of no use here: the default."""
        return Recipe()

    def as_settings(self) -> dict[str, Any]:
        """The space as TOML can hold it; another space has other settings."""
        if self.scales is not None:
            return {k: _toml(v) for k, v in self.scales.as_settings().items()}
        return {
            name: distribution_to_json(distribution)
            for trial in self._rehearsed
            for name, distribution in trial.distributions.items()
        }

    def configurations(
        self, enqueue: Sequence[Mapping[str, Any]]
    ) -> list[Configuration]:
        """Configurations that are to be tried, in human units, as Optuna stores them.

        Raises:
            SpaceError: A name that the space does not ask for, or a value outside.
        """
        return [self._configuration(n, params) for n, params in enumerate(enqueue)]

    def earlier(
        self, params: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, BaseDistribution]] | None:
        """What an earlier study tried, as Optuna would store it here.

        Args:
            params: By human or stored name; others are passed over.

        Returns:
            With the distributions; None where a value lies outside, or all are passed
            over.
        """
        if self.scales is not None:
            inside = matched(params, self.scales)
            if inside is None:
                return None
            return self.scales.to_stored(inside), self.scales.distributions(inside)
        asked = {k: d for t in self._rehearsed for k, d in t.distributions.items()}
        human = {k: v for k, v in params.items() if k not in asked}
        stored = {**gaps(human, asked), **params}
        stored = {name: stored[name] for name in stored if name in asked}
        if not stored or not all(contains(asked[k], v) for k, v in stored.items()):
            return None
        return stored, {name: asked[name] for name in stored}

    def settled(self, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """The same as it can be enqueued; None where it cannot."""
        if self.scales is not None:
            return matched(params, self.scales)
        found = self.earlier(params)
        try:
            self.configurations([found[0]] if found else [])
        except SpaceError:  # names that the function never asks for together
            return None
        return found[0] if found else None

    def _configuration(self, n: int, params: Mapping[str, Any]) -> Configuration:
        fixed = {} if self.scales is None else self.scales.fixed
        stored: dict[str, Any] = {}
        for name, value in params.items():
            scale = self.scales.scales.get(name) if self.scales else None
            if name in fixed:
                if value != fixed[name]:
                    raise SpaceError(
                        f'enqueue[{n}] "{name}" must be {fixed[name]!r}, got {value!r}'
                    )
            elif scale is not None:
                stored[scale.stored_name(name)] = stored_value(n, name, scale, value)
            else:
                stored[name] = value
        asked = self._rehearse(stored, n).distributions
        if self.scales is None:
            stored = gaps(stored, asked)
            asked = self._rehearse(stored, n).distributions
        for name, value in stored.items():
            if name not in asked:
                others = ", ".join(k for k in stored if k != name) or "no other"
                raise SpaceError(
                    f"enqueue[{n}] must hold names that the space asks for, got "
                    f'"{name}" beside {others}' + did_you_mean(name, asked)
                )
            if not contains(asked[name], value):
                raise SpaceError(
                    f'enqueue[{n}] "{name}" must be inside {asked[name]}, got {value!r}'
                )
        return Configuration(stored, {name: asked[name] for name in stored})

    def _rehearse(self, stored: Mapping[str, Any], number: int) -> FrozenTrial:
        """A trial that nobody trains, with some values given."""
        with quiet_optuna(), warnings.catch_warnings():
            # A value outside is refused afterwards, with its place and name.
            warnings.simplefilter("ignore")
            study = optuna.create_study(
                sampler=UniformSampler(self._seed * 1000 + number)
            )
            if stored:
                study.enqueue_trial(dict(stored))
            try:
                self.suggest(study.ask())
            except SpaceError:
                raise
            except (TypeError, ValueError) as error:
                raise SpaceError(one_line(str(error))) from None
        return study.get_trials(deepcopy=False)[0]

    def _ask_scales(self, trial: Any) -> dict[str, Any]:
        assert self.scales is not None
        found = {**self.scales.fixed, **self.scales.suggest(trial)}
        return {name: found[name] for name in self._names}


def _check_scales(space: Mapping[str, Scale]) -> None:
    if not space:
        raise SpaceError("space must hold at least one hyperparameter, got none")
    stored: dict[str, str] = {}
    for name, scale in space.items():
        if not isinstance(name, str) or not name:
            raise SpaceError(f"a hyperparameter's name must be text, got {name!r}")
        if not isinstance(scale, Scale):
            raise SpaceError(
                f'space "{name}" must be a scale such as LogUniform(1e-4, 1e-1) or '
                f'Categorical("a", "b"), got {_brief(scale)}'
            )
        other = stored.setdefault(scale.stored_name(name), name)
        if other != name:
            raise SpaceError(
                f'space "{name}" must have another name: "{other}" is stored as '
                f'"{scale.stored_name(name)}"'
            )


def _plain(value: Any) -> Any:
    """A value that a journal can hold."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return _brief(value)
    return value


def _toml(setting: Any) -> Any:
    """TOML has no word for None."""
    if isinstance(setting, list):
        return [_toml(each) for each in setting]
    return "None" if setting is None else setting


def _brief(value: Any) -> str:
    return one_line(repr(value))[:100]
