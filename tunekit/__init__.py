"""Good hyperparameters for neural networks, and a model that holds up.

    python -m tunekit.study --data adult.csv --target income

Public names are loaded when first used, so that ``import tunekit`` costs next to
nothing.

Example:
    >>> import tunekit
    >>> tunekit.LogUniform(1e-4, 1e-1)
    LogUniform(low=0.0001, high=0.1)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunekit.classifier import TunedClassifier as TunedClassifier
    from tunekit.config import Config as Config
    from tunekit.datamodule import TableData as TableData
    from tunekit.errors import ConfigError as ConfigError
    from tunekit.errors import DataError as DataError
    from tunekit.errors import MissingExtraError as MissingExtraError
    from tunekit.errors import ResumeError as ResumeError
    from tunekit.errors import SpaceError as SpaceError
    from tunekit.errors import StoppedError as StoppedError
    from tunekit.errors import TunekitError as TunekitError
    from tunekit.mlp import MLP as MLP
    from tunekit.module import LitMLP as LitMLP
    from tunekit.predict import Predictor as Predictor
    from tunekit.sampler import CoarseToFineSampler as CoarseToFineSampler
    from tunekit.space import Categorical as Categorical
    from tunekit.space import IntLogUniform as IntLogUniform
    from tunekit.space import IntUniform as IntUniform
    from tunekit.space import LogUniform as LogUniform
    from tunekit.space import OneMinusLogUniform as OneMinusLogUniform
    from tunekit.space import Uniform as Uniform
    from tunekit.study import Result as Result
    from tunekit.study import run as run
    from tunekit.trial_callback import TrialCallback as TrialCallback
    from tunekit.tuning import TuneResult as TuneResult
    from tunekit.tuning import tune as tune

_HOMES = {
    "Categorical": "space",
    "CoarseToFineSampler": "sampler",
    "Config": "config",
    "ConfigError": "errors",
    "DataError": "errors",
    "IntLogUniform": "space",
    "IntUniform": "space",
    "LitMLP": "module",
    "LogUniform": "space",
    "MLP": "mlp",
    "MissingExtraError": "errors",
    "OneMinusLogUniform": "space",
    "Predictor": "predict",
    "ResumeError": "errors",
    "Result": "study",
    "SpaceError": "errors",
    "StoppedError": "errors",
    "TableData": "datamodule",
    "TrialCallback": "trial_callback",
    "TuneResult": "tuning",
    "TunedClassifier": "classifier",
    "TunekitError": "errors",
    "Uniform": "space",
    "run": "study",
    "tune": "tuning",
}
"""Where each public name lives."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """A public name, from its module, when it is first asked for (PEP 562)."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"tunekit.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'tunekit' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, for completion."""
    return [*__all__]
