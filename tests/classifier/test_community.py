"""scikit-learn's own checks of a classifier, all of them: none is expected to fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from tunekit import TunedClassifier

EXPECTED_FAILURES: dict[str, str] = {}
"""Name of a check and why it cannot apply."""


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@parametrize_with_checks(
    [TunedClassifier(n_trials=2, max_epochs=20, final_seeds=1)],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
    xfail_strict=True,
)
def test_check(estimator: TunedClassifier, check: Callable[[Any], None]) -> None:
    check(estimator)
