"""The default search space of a recipe, and how people narrow, list or fix it.

A setting is one of::

    lr = "1e-4..1e-2"                                 a narrower range, same scale
    optimizer = "adamw,sgd"   or  ["adamw", "sgd"]    a list of choices
    dropout = 0                                       fixed
    width = {scale = "int-log", low = 8, high = 64}   replaced, scale and all
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from tunekit.errors import SpaceError, did_you_mean
from tunekit.space.scales import (
    Categorical,
    IntLogUniform,
    IntUniform,
    LogUniform,
    OneMinusLogUniform,
    Range,
    Scale,
    Uniform,
)
from tunekit.space.space import Condition, Space, scale_of
from tunekit.trial import ACTIVATIONS, OPTIMIZERS, SCHEDULES, SHAPES, Recipe

__all__ = ["CONDITIONS", "batch_sizes", "default_scales", "recipe_space"]

CONDITIONS: dict[str, Condition] = {
    "momentum": Condition("optimizer", ("sgd",)),
    "nesterov": Condition("optimizer", ("sgd",)),
    "beta1": Condition("optimizer", ("adam", "adamw")),
    "beta2": Condition("optimizer", ("adam", "adamw")),
    "eps": Condition("optimizer", ("adam", "adamw")),
    "lr_decay": Condition("schedule", ("inverse", "exponential", "step")),
    "width": Condition("n_layers", at_least=1),
    "shape": Condition("n_layers", at_least=2),
    "activation": Condition("n_layers", at_least=1),
    "dropout": Condition("n_layers", at_least=1),
}

_ALSO = {
    "learning_rate": "lr",
    "learning-rate": "lr",
    "alpha": "lr",
    "layers": "n_layers",
    "depth": "n_layers",
    "num_layers": "n_layers",
    "hidden": "width",
    "hidden_units": "width",
    "units": "width",
    "batch": "batch_size",
    "decay": "lr_decay",
    "wd": "weight_decay",
    "l2": "weight_decay",
    "betas": "beta1",
    "epsilon": "eps",
}
"""What other tools call our hyperparameters."""

_LOWEST_HIGHEST: dict[str, tuple[float, float]] = {
    "n_layers": (0, 64),
    "width": (1, 65_536),
    "dropout": (0.0, 0.99),
    "lr": (1e-12, 1e3),
    "momentum": (0.0, 0.99999),
    "beta1": (0.0, 0.99999),
    "beta2": (0.0, 0.9999999),
    "eps": (1e-30, 1.0),
    "weight_decay": (0.0, 1e3),
    "batch_size": (2, 2**31),
    "lr_decay": (0.0, 100.0),
    "label_smoothing": (0.0, 0.99),
}
"""What a hyperparameter can sensibly be at all, ends included."""

_NAMED: dict[str, tuple[str, ...]] = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "activation": ACTIVATIONS,
    "shape": SHAPES,
}
_TYPES: dict[str, type] = {
    field.name: type(field.default) for field in dataclasses.fields(Recipe)
}


def batch_sizes(n_rows: int) -> list[int]:
    """Powers of two to choose a mini-batch from, at most half of the training rows.

    The smallest keeps an epoch under about five hundred steps, so that a large table
    does not spend its budget on one trial.

    Example:
        >>> batch_sizes(1078), batch_sizes(29_000), batch_sizes(9)
        ([16, 32, 64, 128, 256], [64, 128, 256, 512, 1024], [2, 4])
    """
    smallest = max(16, 2 ** math.ceil(math.log2(max(1, n_rows / 512))))
    sizes = [smallest * 2**k for k in range(5) if smallest * 2**k <= n_rows / 2]
    return sizes or [size for size in (2, 4, 8) if size <= n_rows / 2] or [2]


def default_scales(n_rows: int) -> dict[str, Scale]:
    """Every hyperparameter on its right scale, for a table of so many training rows."""
    return {
        "n_layers": IntUniform(1, 4),
        "width": IntLogUniform(16, 512),
        "shape": Categorical(*SHAPES),
        "activation": Categorical(*ACTIVATIONS),
        "dropout": Uniform(0.0, 0.5),
        "optimizer": Categorical("adamw", "adam", "sgd", "rmsprop"),
        "lr": LogUniform(1e-4, 1e-1),
        "momentum": OneMinusLogUniform(0.5, 0.995),
        "nesterov": Categorical(True, False),
        "beta1": OneMinusLogUniform(0.8, 0.98),
        "beta2": OneMinusLogUniform(0.9, 0.9999),
        "eps": LogUniform(1e-10, 1e-4),
        "weight_decay": LogUniform(1e-6, 1e-1),
        "batch_size": Categorical(*batch_sizes(n_rows)),
        "schedule": Categorical(*SCHEDULES),
        "lr_decay": LogUniform(3e-3, 3e-1),
        "label_smoothing": Uniform(0.0, 0.1),
    }


def recipe_space(settings: Mapping[str, Any], n_rows: int | None = None) -> Space:
    """The default space with a person's settings applied.

    Args:
        settings: By hyperparameter, as in this module's docstring.
        n_rows: Training rows, once they are known; they cap the batch sizes.

    Raises:
        SpaceError: One line with the name and the value.

    Example:
        >>> recipe_space({"lr": "1e-3..1e-2"}, 1000).scales["lr"]
        LogUniform(low=0.001, high=0.01)
        >>> recipe_space({"learnrate": 1}, 1000)
        Traceback (most recent call last):
        tunekit.errors.SpaceError: unknown hyperparameter "learnrate"
    """
    scales = default_scales(n_rows or 2**20)
    if n_rows is None:
        # Until the table is known, any power of two may be one of its batch sizes.
        scales["batch_size"] = Categorical([2**k for k in range(1, 17)])
    fixed: dict[str, Any] = {}
    for name, setting in settings.items():
        if name not in scales:
            hint = did_you_mean(name, scales, also=_ALSO)
            raise SpaceError(f'unknown hyperparameter "{name}"{hint}')
        try:
            read = _read(name, setting, scales[name], n_rows)
        except SpaceError as error:
            raise SpaceError(f'space "{name}": {error}') from None
        if isinstance(read, Scale):
            scales[name] = read
        else:
            del scales[name]
            fixed[name] = read
    return Space(scales, fixed=fixed, conditions=CONDITIONS)


def _read(name: str, setting: Any, scale: Scale, n_rows: int | None) -> Any:
    """A scale, or the one value to fix, from what a person wrote."""
    if isinstance(setting, Mapping):
        new = scale_of(setting)
        assert isinstance(new, Range)
        if isinstance(scale, Categorical) and name not in _LOWEST_HIGHEST:
            raise SpaceError(f"choices must be listed, got {dict(setting)}")
        if _TYPES[name] is int and not new.integer:
            raise SpaceError(f'scale must be "int" or "int-log", got "{new.setting}"')
        for end in (new.low, new.high):
            _check(name, end, n_rows)
        return new
    if isinstance(setting, str) and ".." in setting:
        low, _, high = setting.partition("..")
        return _narrowed(name, _value(name, low), _value(name, high), scale, n_rows)
    if isinstance(setting, str) and "," in setting:
        setting = [part for part in setting.split(",") if part.strip()]
    if isinstance(setting, list | tuple):
        values = [_check(name, _value(name, part), n_rows) for part in setting]
        listed = Categorical(values)
        return listed if len(values) > 1 else values[0]
    return _check(name, _value(name, setting), n_rows)


def _narrowed(
    name: str, low: Any, high: Any, scale: Scale, n_rows: int | None
) -> Scale:
    """The same scale between other ends; of choices, those that lie between them."""
    if isinstance(scale, Range):
        new = type(scale)(low, high)
        for end in (new.low, new.high):
            _check(name, end, n_rows)
        return new
    assert isinstance(scale, Categorical)
    if name not in _LOWEST_HIGHEST:
        raise SpaceError(f"choices must be listed, got {low}..{high}")
    kept = [c for c in scale.choices if isinstance(c, int) and low <= c <= high]
    if not kept:
        known = ", ".join(map(str, scale.choices))
        raise SpaceError(f"no choice of {known} lies in {low}..{high}; list your own")
    return Categorical(kept)


def _value(name: str, text: Any) -> Any:
    """A value of the hyperparameter's own type."""
    kind = _TYPES[name]
    if isinstance(text, str):
        text = text.strip()
    if kind is bool:
        if isinstance(text, bool):
            return text
        if str(text).lower() in ("true", "false"):
            return str(text).lower() == "true"
        raise SpaceError(f"true or false expected, got {text!r}")
    if kind is str:
        return text
    try:
        number = float(text)
    except (TypeError, ValueError, OverflowError):
        raise SpaceError(
            f"a number, a range low..high or a list expected, got {text!r}"
        ) from None
    if isinstance(text, bool) or not math.isfinite(number):
        raise SpaceError(f"a finite number expected, got {text!r}")
    if kind is int:
        if number != int(number):
            raise SpaceError(f"a whole number expected, got {text!r}")
        return int(number)
    return number


def _check(name: str, value: Any, n_rows: int | None) -> Any:
    """``value``, if the hyperparameter can have it at all."""
    if name in _NAMED:
        if value not in _NAMED[name]:
            hint = did_you_mean(str(value), _NAMED[name])
            known = ", ".join(_NAMED[name])
            raise SpaceError(f"must be one of {known}, got {value!r}{hint}")
    elif name in _LOWEST_HIGHEST:
        low, high = _LOWEST_HIGHEST[name]
        if name == "batch_size" and n_rows is not None and value > n_rows:
            raise SpaceError(f"must be at most the {n_rows} training rows, got {value}")
        if not low <= value <= high:
            raise SpaceError(f"must be between {low:g} and {high:g}, got {value:g}")
    return value
