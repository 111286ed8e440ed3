"""Searching the hyperparameters of anybody's own training loop: ``tunekit.tune``."""

from tunekit.tuning.job import tune
from tunekit.tuning.result import TuneResult

__all__ = ["TuneResult", "tune"]
