"""Benchmarks: tables whose training curves are known, so that a search costs nothing.

Their files do not come along: a folder holds them, with the module that reads them
(``lcbench.py``, ``taskset.py``), which also says what regret is.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tunekit import IntLogUniform, IntUniform, LogUniform, OneMinusLogUniform, Uniform
from tunekit.space import Scale

__all__ = ["BENCHMARKS", "Problem", "instances", "problem"]

BENCHMARKS = ("lcbench", "taskset")
_GAPS = ("beta1", "beta2")
"""Hyperparameters of TaskSet whose gap to one is what matters."""

History = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Problem:
    """One table or task, for one study."""

    space: Mapping[str, Scale]
    curve: Callable[[Mapping[str, Any]], Iterable[float]]
    """Parameters -> validation losses, one an epoch."""
    regret: Callable[[History, Sequence[int]], list[float]]
    """(Epochs spent, lowest loss so far) and budgets -> regret after each."""


def instances(benchmark: str, folder: Path) -> list[str]:
    """The tables or tasks of a benchmark to search on.

    Raises:
        SystemExit: If the benchmark cannot be read; one line.
    """
    module = _module(benchmark, folder)
    if benchmark == "lcbench":
        return [*module.DEVELOPMENT]
    return [*module.Task.names()]


def problem(benchmark: str, folder: Path, instance: str) -> Problem:
    """One table or task, new: TaskSet gives each study its own curves."""
    module = _module(benchmark, folder)
    if benchmark == "lcbench":
        return Problem(
            space={name: _scale(*ends) for name, ends in module.SPACE.items()},
            curve=module.Surrogate(instance),
            regret=lambda history, budgets: module.regret_at(
                history, instance, budgets
            ),
        )
    task = module.Task(instance)
    space = {
        name: (OneMinusLogUniform if name in _GAPS else LogUniform)(low, high)
        for name, (low, high) in task.space.items()
    }
    return Problem(space=space, curve=task, regret=task.regret_at)


def _scale(low: float, high: float, log: bool, integer: bool) -> Scale:
    if integer:
        return (IntLogUniform if log else IntUniform)(int(low), int(high))
    return (LogUniform if log else Uniform)(low, high)


@functools.cache
def _module(benchmark: str, folder: Path) -> ModuleType:
    """The module that reads a benchmark, from the folder that holds it."""
    path = folder / f"{benchmark}.py"
    if not path.is_file():
        raise SystemExit(
            f"--{benchmark} must be a folder with {path.name}, got {folder}"
        )
    if benchmark == "lcbench" and importlib.util.find_spec("onnxruntime") is None:
        raise SystemExit(
            "--lcbench needs onnxruntime; install it: pip install onnxruntime"
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
