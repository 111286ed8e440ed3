"""The suite that Optuna's own samplers prove themselves with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from tunekit.sampler import CoarseToFineSampler


class TestCoarseToFineSampler(
    BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase
):
    """Every test of it, in the coarse stage and beyond."""

    @pytest.fixture(params=[0, 8])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        """What makes a sampler."""

        def make() -> BaseSampler:
            return CoarseToFineSampler(seed=0, n_startup_trials=request.param)

        return make
