"""The coarse-to-fine sampler, as OptunaHub loads it; it lives in ``optuna-tunekit``."""

from tunekit import CoarseToFineSampler

__all__ = ["CoarseToFineSampler"]
