"""Importances of an experiment, where they are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

HOME = Path(__file__).parents[1] / "experiments" / "11-what-matters"
SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "batch_size": CategoricalDistribution((16, 32, 64, 128, 256)),
    "n_layers": IntDistribution(1, 4),
}


@pytest.fixture(autouse=True)
def of_the_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HOME)


def test_a_place_is_that_on_the_scale_a_value_was_drawn_on() -> None:
    from importances import place

    assert place(SPACE["lr"], 1e-3) == pytest.approx(1 / 3)
    assert place(SPACE["batch_size"], 64) == 0.5
    assert place(SPACE["n_layers"], 4) == 1.0


def test_fanova_on_scales_finds_the_shares_of_a_known_sum() -> None:
    """Of values as they are it is all but blind to low learning rates."""
    from importances import importances, place

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rng = np.random.default_rng(0)
    study = optuna.create_study()
    for _ in range(300):
        params = {
            "lr": float(10 ** rng.uniform(-4, -1)),
            "batch_size": int(rng.choice([16, 32, 64, 128, 256])),
            "n_layers": int(rng.integers(1, 5)),
        }
        # Low learning rates are bad, and the others alike.
        low = max(0.0, 0.5 - place(SPACE["lr"], params["lr"]))
        value = 2 * low + 0.5 * place(SPACE["batch_size"], params["batch_size"])
        study.add_trial(
            optuna.create_trial(params=params, distributions=SPACE, value=value)
        )
    found = importances(study, 0)
    # Variances: of 2 max(0, 1/2 - u) 5/48, of half of a place among five 1/32.
    share = (5 / 48) / (5 / 48 + 1 / 32)
    assert found["fanova"]["lr"] == pytest.approx(share, abs=0.06)
    assert found["fanova"]["n_layers"] < 0.02
    assert found["plain"]["lr"] < 0.3
    for shares in found.values():
        assert sum(shares.values()) == pytest.approx(1.0)
