"""Importances of an experiment, where they are known."""

from __future__ import annotations

import sys
from collections.abc import Callable
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

from tunekit.draws import at

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
    # One of four numbers has a quarter of the draws, and lies in its middle.
    assert place(SPACE["n_layers"], 4) == pytest.approx(0.875)
    width = IntDistribution(16, 128, log=True)
    for distribution, value in ((width, 16), (width, 90), (SPACE["batch_size"], 256)):
        assert at(distribution, place(distribution, value)) == value


def study(n_trials: int, loss: Callable[[dict[str, float]], float]) -> optuna.Study:
    """Configurations drawn at random, with losses of their places on the scales."""
    from importances import place

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rng = np.random.default_rng(0)
    found = optuna.create_study()
    for _ in range(n_trials):
        params = {
            "lr": float(10 ** rng.uniform(-4, -1)),
            "batch_size": int(rng.choice([16, 32, 64, 128, 256])),
            "n_layers": int(rng.integers(1, 5)),
        }
        places = {name: place(SPACE[name], value) for name, value in params.items()}
        found.add_trial(
            optuna.create_trial(params=params, distributions=SPACE, value=loss(places))
        )
    return found


def test_fanova_on_scales_finds_the_parts_of_a_known_sum() -> None:
    """Of values as they are it is all but blind to low learning rates."""
    from importances import importances

    def loss(places: dict[str, float]) -> float:
        # Low learning rates are bad, and the others alike.
        return 2 * max(0.0, 0.5 - places["lr"]) + 0.5 * places["batch_size"]

    found = importances(study(300, loss), 0)
    # Variances: of 2 max(0, 1/2 - u) 5/48, of half of a place among five 1/50.
    of_lr = (5 / 48) / (5 / 48 + 1 / 50)
    assert found["fanova"]["lr"] == pytest.approx(of_lr, abs=0.06)
    assert found["fanova"]["batch_size"] == pytest.approx(1 - of_lr, abs=0.06)
    assert found["fanova"]["n_layers"] < 0.02
    assert found["plain"]["lr"] < 0.3
    # They explain all but what a forest of so few trials gets wrong.
    assert 0.9 < sum(found["fanova"].values()) < 1.0
    assert sum(found["pedanova"].values()) == pytest.approx(1.0)


def test_what_two_explain_together_is_left_to_the_rest() -> None:
    from importances import importances

    def loss(places: dict[str, float]) -> float:
        # Whatever one of them is, the other decides.
        return (places["lr"] - 0.5) * (places["n_layers"] - 0.5)

    found = importances(study(120, loss), 0)
    assert sum(found["fanova"].values()) < 0.4
    assert sum(found["plain"].values()) < 1.0
    assert sum(found["pedanova"].values()) == pytest.approx(1.0)


def test_the_rest_is_what_no_single_one_explains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(HOME.parent)
    monkeypatch.delitem(sys.modules, "results", raising=False)
    import results

    tables = {
        "a": {"fanova": {"lr": 0.5, "width": 0.2, "nothing": 0.1}},
        "b": {"fanova": {"lr": 0.9, "width": 0.0, "nothing": 0.0}},
    }
    report = {"sgd": {"tables": tables}}
    assert results.samples(report, "sgd", results.REST) == pytest.approx([0.2, 0.1])
    assert results.samples(report, "sgd", "lr") == [0.5, 0.9]
    monkeypatch.delitem(sys.modules, "results")
