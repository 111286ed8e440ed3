"""Hyperparameters that can change while a model trains, and how they are nudged.

A *knob* is such a hyperparameter: the learning rate, momentum, weight decay, dropout.
It moves in steps on its own scale: by factors, by factors of the gap to one, or by
amounts. Some knobs have a part that is known beforehand. A ``rate`` says how fast the
model learns, which is what a person lowers on a plateau; a ``rein`` holds the model
back, which is what a person tightens when it overfits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunekit.errors import SpaceError
from tunekit.space import LogUniform, OneMinusLogUniform, Range, Uniform
from tunekit.trial import Recipe

__all__ = ["Knob", "Settings", "knobs_of", "menu", "moved", "recipe_knobs", "rescues"]

Settings = dict[str, float]
"""The values of the knobs, as people read them."""

_RATES = ("lr", "learning_rate", "alpha", "eta")
_REINS = ("dropout", "drop", "p_drop", "drop_rate", "weight_decay", "wd", "l2")
_RATE_ENDS = ("_lr", "_learning_rate")
_REIN_ENDS = ("_dropout", "_drop", "_drop_rate", "_weight_decay", "_wd")
"""A module may have several, each of a part of it: ``encoder_lr``, ``head_dropout``."""
_FACTOR = 2.0
_DECADE = 10.0
_SHARE = 0.2
"""A step on a plain scale, as a share of its range."""
_MOST_STEPS = 300.0
"""Beyond the end of any scale, and yet a factor that a float can hold."""


@dataclass(frozen=True)
class Knob:
    """One hyperparameter that can change in a running model.

    Attributes:
        name: Its name.
        scale: Between which ends it moves, and how.
        step: The factor of a step (of the gap to one, for ``OneMinusLogUniform``), or
            the amount, for ``Uniform``.
        part: ``rate``, ``rein`` or nothing.

    Example:
        >>> knob = Knob("lr", LogUniform(1e-6, 1.0), 2.0, "rate")
        >>> knob.at(0.01, 1), knob.at(0.01, -2)
        (0.02, 0.0025)
        >>> round(Knob("momentum", OneMinusLogUniform(0.5, 0.999), 2.0).at(0.9, -1), 4)
        0.95
    """

    name: str
    scale: Range
    step: float
    part: str = ""

    def at(self, value: float, steps: float) -> float:
        """The value so many steps up or down; for a gap to one, up is away from one."""
        steps = max(-_MOST_STEPS, min(_MOST_STEPS, steps))
        if isinstance(self.scale, OneMinusLogUniform):
            found = 1.0 - (1.0 - value) * self.step**steps
        elif self.scale.log:
            found = value * self.step**steps
        else:
            found = value + self.step * steps
        # Steps up and down again must lead back, whatever rounding does.
        return float(self.scale.nearest(float(f"{found:.12g}")))


def recipe_knobs(recipe: Recipe) -> dict[str, Knob]:
    """The knobs of tunekit's own network, by name.

    What only another optimizer has, and dropout where there is no hidden layer, is left
    out.
    """
    knobs = [
        Knob("lr", LogUniform(1e-7, 1.0), _FACTOR, "rate"),
        Knob("weight_decay", LogUniform(1e-7, 3.0), _DECADE, "rein"),
    ]
    if recipe.n_layers:
        knobs.append(Knob("dropout", Uniform(0.0, 0.8), 0.15, "rein"))
    if recipe.optimizer == "sgd":
        knobs.append(Knob("momentum", OneMinusLogUniform(0.5, 0.999), _FACTOR))
    if recipe.optimizer in ("adam", "adamw"):
        knobs.append(Knob("beta1", OneMinusLogUniform(0.5, 0.999), _FACTOR))
    return {knob.name: knob for knob in knobs}


def knobs_of(space: Mapping[str, Any]) -> dict[str, Knob]:
    """The knobs of anybody's module, from its scales.

    Names say which are rates: ``lr``, ``learning_rate``, ``alpha``, ``eta`` and those
    that end in ``_lr`` or ``_learning_rate``; and which are reins: ``dropout``,
    ``drop``, ``p_drop``, ``drop_rate``, ``weight_decay``, ``wd``, ``l2`` and those that
    end in ``_dropout``, ``_drop``, ``_drop_rate``, ``_weight_decay`` or ``_wd``.

    Args:
        space: By name, a ``LogUniform``, ``OneMinusLogUniform`` or ``Uniform``.

    Raises:
        SpaceError: Another scale: whole numbers and choices cannot be nudged.

    Example:
        >>> scale = LogUniform(1e-5, 1e-1)
        >>> knobs = knobs_of({"lr": scale, "head_lr": scale, "encoder_wd": scale})
        >>> [knob.part for knob in knobs.values()]
        ['rate', 'rate', 'rein']
    """
    found = {}
    for name, scale in space.items():
        if not isinstance(scale, Range) or scale.integer:
            raise SpaceError(
                f'space "{name}": a hyperparameter of a running model must move on a '
                f"LogUniform, OneMinusLogUniform or Uniform scale, got {scale!r}; fix "
                "it in make instead"
            )
        part = _part(name)
        if isinstance(scale, OneMinusLogUniform):
            step = _FACTOR
        elif scale.log:
            step = _DECADE if part == "rein" else _FACTOR
        else:
            step = _SHARE * (scale.high - scale.low)
        found[name] = Knob(name, scale, step, part)
    return found


def _part(name: str) -> str:
    """What a hyperparameter of this name is for."""
    if name in _RATES or name.endswith(_RATE_ENDS):
        return "rate"
    return "rein" if name in _REINS or name.endswith(_REIN_ENDS) else ""


def moved(
    settings: Mapping[str, float],
    knobs: Mapping[str, Knob],
    steps: Mapping[str, float],
) -> Settings:
    """Settings with some knobs moved; what is not among the knobs stays."""
    return {
        name: knobs[name].at(value, steps[name])
        if name in knobs and name in steps
        else value
        for name, value in settings.items()
    }


def menu(
    settings: Mapping[str, float],
    knobs: Mapping[str, Knob],
    n: int,
    rng: np.random.Generator,
    *,
    flat: bool,
) -> list[Settings]:
    """Nudges to try beside what is: the rate first, then others at random.

    Args:
        settings: What is.
        knobs: Those that may move.
        n: How many to try.
        rng: Draws.
        flat: Whether the loss has stopped falling: then the rate goes down, else up.
    """
    rates = _named(knobs, "rate")
    others = [name for name in knobs if name not in rates]
    found: list[Settings] = []
    if rates:
        found = _new(settings, [moved(settings, knobs, _each(rates, 1 - 2 * flat))])
    # Not for ever: a knob may be at the end of its scale, or there be only one.
    for _ in range(20 * n):
        if len(found) >= n:
            break
        name = str(rng.choice(others or rates)) if knobs else ""
        steps = {name: 1 if rng.random() < 0.5 else -1}
        nudged = moved(settings, knobs, steps)
        found += _new(settings, [nudged], found)
    return found[:n]


def rescues(
    settings: Mapping[str, float], knobs: Mapping[str, Knob], n: int, depth: int
) -> list[Settings]:
    """Settings to try from an earlier checkpoint, now that these have turned bad.

    What a person would do who sees the validation loss rise: learn slower, hold the
    model back, both, and more of it. Then, where the reins are of no use, the reverse.

    Args:
        settings: What turned bad.
        knobs: Those that may move.
        n: How many to try, at most.
        depth: How often in a row this was tried without a gain; steps grow with it.
    """
    rates, reins = _named(knobs, "rate"), _named(knobs, "rein")
    more = 1.0 + 0.5 * max(0, depth - 2)
    slower = _each(rates, -more)
    tries: list[dict[str, float]] = [slower]
    for name in reversed(reins):
        tries.append({name: more})
    tries += [
        {**slower, **_each(reins, 1.5 * more)},
        _each(reins, 2 * more),
        {**_each(rates, more), **_each(reins, 2 * more)},
        _each(rates, -2 * more),
        {**slower, **_each(reins, -more)},
    ]
    if not rates and not reins:
        tries += [{name: s * more} for name in knobs for s in (1, -1)]
    found: list[Settings] = []
    for steps in tries:
        found += _new(settings, [moved(settings, knobs, steps)], found)
    return found[:n] or [dict(settings)]


def _named(knobs: Mapping[str, Knob], part: str) -> list[str]:
    return [name for name, knob in knobs.items() if knob.part == part]


def _each(names: Iterable[str], steps: float) -> dict[str, float]:
    return dict.fromkeys(names, steps)


def _new(
    settings: Mapping[str, float],
    candidates: Iterable[Settings],
    known: Sequence[Settings] = (),
) -> list[Settings]:
    """Those that are neither what is nor known already."""
    return [
        each
        for each in candidates
        if not _alike(each, settings) and not any(_alike(each, k) for k in known)
    ]


def _alike(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return all(math.isclose(one[name], other[name], rel_tol=1e-9) for name in one)
