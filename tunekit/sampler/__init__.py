"""Coarse to fine: Optuna's sampler that narrows the space to the region that works."""

from tunekit.sampler.coarse_to_fine import CoarseToFineSampler

__all__ = ["CoarseToFineSampler"]
