"""The defaults that an experiment's verdict was measured under.

A verdict is one about tunekit as it was: where a default has changed since, it must be
measured again. Which settings count is told by ``study.toml``; what else by the names
in :data:`PARTS` that ``results.py`` has as ``RESTS_ON``.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import json
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["PARTS", "resolved", "settings"]


def settings(home: Path) -> dict[str, Any]:
    """What ``study.toml`` says."""
    from tunekit.config import read_toml

    return read_toml(str(home / "study.toml"))


def resolved(home: Path) -> dict[str, Any]:
    """Every default that an experiment's runs go by."""
    from tunekit import Config
    from tunekit.space import recipe_space
    from tunekit.trial import Recipe

    config = Config.from_mapping(settings(home))
    found = {
        **config.as_settings(),
        "space": recipe_space(config.space, 1024).as_settings(),
        "recipe": Recipe().as_dict(),
        **{name: PARTS[name]() for name in _rests_on(home)},
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def _rests_on(home: Path) -> tuple[str, ...]:
    spec = importlib.util.spec_from_file_location("results", home / "results.py")
    assert spec is not None
    assert spec.loader is not None
    results = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(results)
    return tuple(getattr(results, "RESTS_ON", ()))


def _search() -> dict[str, Any]:
    """How tunekit searches: sampler, model, rungs, promotion."""
    from tunekit import CoarseToFineSampler
    from tunekit.search import rungs_of

    return {
        "arguments": _arguments(CoarseToFineSampler),
        "rungs": list(rungs_of("promote", 81) or ()),
        **_constants("tunekit.sampler", "tunekit.surrogate", "tunekit.promising"),
    }


def _babysit() -> dict[str, Any]:
    """How tunekit watches over one model."""
    from tunekit.babysit.course import Rules
    from tunekit.babysit.nudges import recipe_knobs
    from tunekit.trial import Recipe

    knobs = {
        optimizer: {
            name: [knob.scale.low, knob.scale.high, knob.step, knob.part]
            for name, knob in recipe_knobs(Recipe(optimizer=optimizer)).items()
        }
        for optimizer in ("sgd", "adamw")
    }
    parts = ("decide", "rescue", "nudges")
    return {
        "rules": dataclasses.asdict(Rules()),
        "knobs": knobs,
        **_constants(*(f"tunekit.babysit.{name}" for name in parts)),
    }


PARTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "search": _search,
    "babysit": _babysit,
}


def _arguments(of: Callable[..., Any]) -> dict[str, Any]:
    """The defaults of a callable's arguments that are plain values."""
    found = inspect.signature(of).parameters.items()
    return {name: each.default for name, each in found if _is_plain(each.default)}


def _constants(*names: str) -> dict[str, Any]:
    """The plain constants of modules, and of all modules of packages."""
    found = {}
    for name in names:
        module = importlib.import_module(name)
        path = getattr(module, "__path__", None)
        inside = (
            []
            if path is None
            else [f"{name}.{m.name}" for m in pkgutil.iter_modules(path)]
        )
        for each in (name, *inside):
            values = {
                key: value
                for key, value in vars(importlib.import_module(each)).items()
                if key.isupper() and _is_plain(value)
            }
            if values:
                found[each] = values
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | str)
