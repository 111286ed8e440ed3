"""A small budget, and a table with every kind of column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tunekit import TunedClassifier


def small(**options: Any) -> TunedClassifier:
    """A classifier that is fitted within a second."""
    given = {"n_trials": 3, "max_epochs": 12, "final_seeds": 1, "random_state": 0}
    return TunedClassifier(**{**given, **options})


@pytest.fixture(scope="session")
def people() -> tuple[pd.DataFrame, pd.Series]:
    """Rows whose class is told by a text, a date and a truth value, with holes."""
    rng = np.random.default_rng(0)
    n = 200
    y = rng.random(n) < 0.5
    frame = pd.DataFrame(
        {
            "age": rng.integers(20, 80, n).astype(float),
            "town": np.where(y, "Ulm", "Köln"),
            "size": pd.Categorical(rng.choice(["S", "M", "L"], n)),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(y * 900, unit="D"),
            "member": y ^ (rng.random(n) < 0.1),
        }
    )
    frame.loc[::7, "age"] = np.nan
    frame.loc[::9, "town"] = None
    frame.loc[::11, "since"] = pd.NaT
    frame["count"] = pd.array(rng.integers(0, 9, n), dtype="Int64")
    frame.loc[::13, "count"] = pd.NA
    return frame, pd.Series(np.where(y, "yes", "no"), name="answer")
