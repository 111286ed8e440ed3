"""A warm start: what an earlier study found best is tried first.

The earlier study may be of tunekit or of Optuna alone, with another space and other
data: of its values only their order counts. Its hyperparameters are matched by the name
that people read and by the one that Optuna stores (``momentum``,
``one_minus_momentum``). Of its best tenth, three configurations that lie far from one
another are taken. They are written into the new study's folder, so that whoever goes on
with it needs the earlier one no more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial

from tunekit.errors import ConfigError, one_line
from tunekit.reading import Reading
from tunekit.sampler.cube import Cube
from tunekit.space import Space
from tunekit.tally import as_one

__all__ = ["KEY", "Params", "Warm", "earlier", "matched", "recorded", "warm"]

KEY = "warm_start"
"""Where ``split.json`` of a study folder has the configurations."""
_TAKEN = 3
_SHARE = 0.1
"""Of the earlier trials, the best that configurations are taken from."""

Params = dict[str, Any]
Fits = Callable[[Params], tuple[Params, Mapping[str, BaseDistribution]] | None]
"""What Optuna would store for a configuration, and its distributions; None where it
lies outside the space."""


@dataclass(frozen=True)
class Warm:
    """What is taken from an earlier study: configurations, the best first."""

    configurations: Sequence[Params] = ()
    total: int = 0
    """Its trials with a value."""
    skipped: int = 0
    """Those of them outside the new space."""

    def __str__(self) -> str:
        """In one line, for people."""
        n = len(self.configurations)
        tried = f"{n} of the best configurations" if n != 1 else "one configuration"
        line = f"warm start: {tried} of {self.total} earlier trials will be tried first"
        skipped = f"; {self.skipped} outside this space skipped" if self.skipped else ""
        return line + skipped


def earlier(source: Any, *, maximize: bool = False) -> list[Params]:
    """The configurations of an earlier study, the best first.

    Args:
        source: A study folder, a result of tunekit, or an ``optuna.Study``.
        maximize: Whether higher values are better in the new study.

    Returns:
        Of each trial with a finite value, stored and human names together.

    Raises:
        ConfigError: If it is none of these, cannot be read, or has another direction.

    Example:
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> study = optuna.create_study()
        >>> study.optimize(lambda trial: trial.suggest_float("lr", 0.1, 1), n_trials=3)
        >>> found = earlier(study)
        >>> found[0] == study.best_params, len(found)
        (True, 3)
    """
    study = _study(source)
    directions = [each.name.lower() for each in study.directions]
    wanted = "maximize" if maximize else "minimize"
    if directions != [wanted]:
        raise ConfigError(
            f"warm-start must be a study of direction {wanted}, got "
            f"{' and '.join(directions)}"
        )
    sign = -1.0 if maximize else 1.0
    trials = as_one(study.get_trials(deepcopy=False))
    ranked = [(_lowest(trial, sign), trial.number, trial) for trial in trials]
    found = sorted(each[:2] for each in ranked if math.isfinite(each[0]))
    by_number = {number: trial for _, number, trial in ranked}
    return [_both(by_number[number]) for _, number in found]


def warm(found: Sequence[Params], fits: Fits) -> Warm:
    """What to take of the configurations of an earlier study.

    Args:
        found: What :func:`earlier` gave.
        fits: Whether, and how, a configuration lies in the new space.
    """
    inside = [(params, fit) for params in found if (fit := fits(params)) is not None]
    best = inside[: max(_TAKEN, math.ceil(_SHARE * len(inside)))]
    chosen: list[int] = []
    if best:
        space = {k: d for _, (_, asked) in best for k, d in asked.items()}
        points = [Cube(space).point(stored) for _, (stored, _) in best]
        apart = np.nan_to_num(np.array(points), nan=0.5)
        distance = np.full(len(best), np.inf)
        # The best, then each time whichever lies farthest from those that are taken.
        while len(chosen) < _TAKEN and distance.max() > 0:
            chosen.append(int(np.argmax(distance)))
            gaps = np.abs(apart - apart[chosen[-1]]).max(1)
            distance = np.minimum(distance, gaps)
    taken = [best[i][0] for i in sorted(chosen)]
    return Warm(taken, len(found), len(found) - len(inside))


def matched(params: Mapping[str, Any], space: Space) -> Params | None:
    """What a space searches of a configuration, in human values.

    Returns:
        None where a value lies outside, or nothing is of this space.

    Example:
        >>> from tunekit.space import OneMinusLogUniform
        >>> space = Space({"momentum": OneMinusLogUniform(0.5, 0.99)})
        >>> matched({"one_minus_momentum": 0.25, "lr": 0.1}, space)
        {'momentum': 0.75}
        >>> matched({"momentum": 0.1}, space) is None
        True
    """
    found: Params = {}
    for name, scale in space.scales.items():
        stored = scale.stored_name(name)
        if name in params:
            value = params[name]
        elif stored in params:
            # Not by the scale: it would move inside what lies outside.
            value = params[stored] if stored == name else 1.0 - params[stored]
        else:
            continue
        try:
            near = scale.nearest(value)
            same = near == value or math.isclose(near, value, rel_tol=1e-9)
        except TypeError:
            same = False
        if not same:
            return None
        found[name] = near
    return found or None


def recorded(folder: Path) -> list[Params]:
    """The configurations that a study folder was begun with."""
    try:
        described = json.loads((folder / "split.json").read_text("utf-8"))
        return [dict(params) for params in described.get(KEY, [])]
    except (OSError, ValueError, TypeError, AttributeError):
        return []  # whoever opens the folder will say so


def _study(source: Any) -> optuna.Study:
    study = source if isinstance(source, optuna.Study) else None
    if not isinstance(source, str | Path):
        study = study or getattr(source, "study", None)
        if isinstance(study, optuna.Study):
            return study
        raise ConfigError(
            "warm-start must be a study folder, a result or an optuna.Study, got "
            f"{one_line(repr(source))[:80]}"
        )
    folder = Path(source)
    journal = folder / "journal.log"
    # Optuna would make the file where there is none.
    if not (journal.is_file() and (folder / "study.toml").is_file()):
        raise ConfigError(
            f"warm-start must be a study folder such as runs/NAME, got {folder}"
        )
    try:
        storage = JournalStorage(Reading(folder))
        names = optuna.get_all_study_names(storage)
        name = folder.name if folder.name in names else names[0]
        return optuna.load_study(study_name=name, storage=storage)
    # Optuna has no error of its own for logs that do not fit one another: any may come.
    except Exception as error:
        why = one_line(str(error))[:80]
        raise ConfigError(
            f"warm-start {folder} must be a readable study, got: {why}"
        ) from None


def _both(trial: FrozenTrial) -> Params:
    """A trial's hyperparameters under the names that people read, and as stored."""
    human = trial.user_attrs.get("params")
    return {**trial.params, **(human if isinstance(human, Mapping) else {})}


def _lowest(trial: FrozenTrial, sign: float) -> float:
    """Its best value, lower better; infinite where it has none."""
    values = [*trial.intermediate_values.values()]
    if trial.state == optuna.trial.TrialState.COMPLETE and trial.value is not None:
        values.append(trial.value)
    finite = [sign * value for value in values if math.isfinite(value)]
    return min(finite, default=math.inf)
