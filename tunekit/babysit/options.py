"""Every option of a babysat model, checked before any work is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tunekit.babysit.course import Rules
from tunekit.babysit.nudges import Knob, Settings, recipe_knobs
from tunekit.config import Config
from tunekit.errors import ConfigError, ResumeError, SpaceError, did_you_mean
from tunekit.predict.model import read
from tunekit.space import Range, recipe_space
from tunekit.store import settings_of
from tunekit.trial import Recipe

__all__ = ["Options"]

_DATA = ("data", "target", "valid_data", "test_data", "drop", "split", "seed")
_SHARED = (*_DATA, "engine", "accelerator", "out", "name", "timeout", "budget_epochs")
"""What is as in a study."""
_LEAST = {"interval": 1, "burst": 1, "nudges": 0, "patience": 1}
_BUDGETS = ("timeout", "budget_epochs")


@dataclass(frozen=True, kw_only=True)
class Options:
    """All options; see each field.

    Raises:
        ConfigError: One line, if any option cannot be used.

    Example:
        >>> options = Options.from_mapping({"data": "adult.csv", "target": "income"})
        >>> options.config.name, options.rules.interval
        ('adult-babysat', 6)
    """

    config: Config
    """The table, the seed, the folder, the machine and the budget, as in a study."""
    recipe: Recipe
    """The network, and the hyperparameters that it begins with."""
    knobs: Mapping[str, Knob]
    """Those that may change."""
    hold: tuple[str, ...] = ()
    """Those of them that are not nudged."""
    interval: int = 6
    """Epochs between two nudges."""
    burst: int = 1
    """Epochs for which nudges are tried."""
    nudges: int = 2
    """Nudges that are tried beside what is."""
    patience: int = 2
    """Intervals without a gain after which the loss counts as flat."""

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Options by name, as a file or a command line gives them.

        Args:
            given: Those of :class:`tunekit.Config` for data, machine, budget and
                folder; ``space`` with values to begin with, or ranges to stay in;
                ``interval``, ``burst``, ``nudges``, ``patience``, ``hold``; and
                ``study``, the folder of a study whose winner is trained on.
        """
        given = dict(given)
        own = {name: _whole(name, given.pop(name)) for name in _LEAST if name in given}
        hold = _names(given.pop("hold", ()))
        study = given.pop("study", None)
        space = dict(given.pop("space", {}) or {})
        for name in given:
            if name not in _SHARED:
                known = [*_SHARED, *_LEAST, "space", "hold", "study"]
                raise ConfigError(f'unknown option "{name}"{did_you_mean(name, known)}')
        recipe = Recipe()
        if study is not None:
            found, recipe = _winner(Path(study))
            given = {**{k: v for k, v in found.items() if k in _DATA}, **given}
        config = Config.from_mapping(given)
        if "name" not in given:
            config = dataclasses.replace(config, name=f"{config.name}-babysat")
        recipe, knobs = _begun(recipe, space)
        for name in hold:
            if name not in knobs:
                raise ConfigError(
                    f'hold must name what can change in a running model, got "{name}"'
                    f"{did_you_mean(name, knobs)}; that is {', '.join(knobs)}"
                )
        return cls(config=config, recipe=recipe, knobs=knobs, hold=hold, **own)

    @property
    def rules(self) -> Rules:
        """How closely the model is watched."""
        return Rules(
            interval=self.interval,
            burst=self.burst,
            nudges=self.nudges,
            patience=self.patience,
            horizon=self.config.budget_epochs,
        )

    @property
    def start(self) -> Settings:
        """What the knobs begin with."""
        return {name: getattr(self.recipe, name) for name in self.knobs}

    @property
    def folder(self) -> Path:
        """Where all of it is kept."""
        return self.config.folder

    def as_settings(self) -> dict[str, Any]:
        """Every option, plain, as ``babysit.toml`` holds it."""
        shared = {name: getattr(self.config, name) for name in _SHARED}
        shared["drop"], shared["split"] = list(shared["drop"]), list(shared["split"])
        return {
            **{name: value for name, value in shared.items() if value is not None},
            **{name: getattr(self, name) for name in _LEAST},
            "hold": list(self.hold),
            "recipe": self.recipe.as_dict(),
            "ranges": {
                name: [knob.scale.low, knob.scale.high]
                for name, knob in self.knobs.items()
            },
        }

    def check_same(self, before: Mapping[str, Any]) -> None:
        """Refuse to go on with a model that was begun otherwise.

        Raises:
            ResumeError: Anything but the budget and the folder differs.
        """
        now = self.as_settings()
        free = (*_BUDGETS, "out", "name", "accelerator", "engine", "hold")
        for name in sorted({*now, *before} - {*free}):
            if now.get(name) != before.get(name):
                old, new = _difference(before.get(name), now.get(name))
                from tunekit.store import other_name

                raise ResumeError(
                    f'the model "{self.config.name}" was begun with {name} {old}, now '
                    f"{new}",
                    other_name(self.folder),
                )


def _begun(recipe: Recipe, space: Mapping[str, Any]) -> tuple[Recipe, dict[str, Knob]]:
    """The recipe with what a person sets, and the knobs in the ranges they want."""
    wanted = recipe_space(space)
    listed = [n for n in space if n not in wanted.fixed and not _is_range(wanted, n)]
    if listed:
        raise SpaceError(
            f'space "{listed[0]}": one model has one value; give that, or for what can '
            f"change a range low..high, got {space[listed[0]]}"
        )
    if wanted.fixed.get("schedule", "constant") != "constant":
        raise SpaceError(
            'space "schedule": whoever watches a model changes its rate, got '
            f"{space['schedule']}; leave it out"
        )
    recipe = recipe.with_params({**wanted.fixed, "schedule": "constant"})
    knobs = recipe_knobs(recipe)
    for name in space:
        if name in wanted.fixed:
            continue
        if name not in knobs:
            raise SpaceError(
                f'space "{name}": only what can change in a running model has a range '
                f"({', '.join(knobs)}), got {space[name]}; give one value"
            )
        scale = wanted.scales[name]
        assert isinstance(scale, Range)
        knobs[name] = dataclasses.replace(knobs[name], scale=scale)
        recipe = recipe.with_params({name: scale.nearest(getattr(recipe, name))})
    return recipe, knobs


def _is_range(space: Any, name: str) -> bool:
    return isinstance(space.scales.get(name), Range)


def _winner(folder: Path) -> tuple[dict[str, Any], Recipe]:
    """What a study read, and its winner's recipe."""
    settings = settings_of(folder)
    described, _ = read(folder / "model")
    return settings, Recipe(**described["recipe"])


def _whole(name: str, value: Any) -> int:
    least = _LEAST[name]
    try:
        number = int(str(value))
    except ValueError:
        raise ConfigError(f"{name} must be a whole number, got {value!r}") from None
    if number < least:
        raise ConfigError(f"{name} must be at least {least}, got {value}")
    return number


def _names(value: Any) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else list(value)
    return tuple(str(part).strip() for part in parts if str(part).strip())


def _difference(old: Any, new: Any) -> tuple[Any, Any]:
    """Of two tables, what differs in them."""
    if isinstance(old, dict) and isinstance(new, dict):
        name = next(n for n in sorted({*old, *new}) if old.get(n) != new.get(n))
        return f"{name}={old.get(name)}", f"{name}={new.get(name)}"
    return old, new
