"""The winner: every figure of it, and what is saved."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from optuna.trial import TrialState, create_trial

from tunekit.data import Table
from tunekit.errors import StoppedError
from tunekit.mlp import MLP
from tunekit.predict import Predictor
from tunekit.trial import Run
from tunekit.winner import Judge, crown

from .conftest import DEFAULT, RECIPE, SETTINGS, Untrained, crowned, engine_for, figures


@pytest.mark.parametrize("engine", ["lightning", "vectorized"])
def test_every_figure_by_hand(tmp_path: Path, clouds: Table, engine: str) -> None:
    said: list[str] = []
    final = crowned(tmp_path, clouds, engine_for(clouds, engine), say=said.append)
    rows, y = clouds.test_rows()
    predictor = Predictor.load(tmp_path)
    proba = predictor.predict_proba(rows)
    loss, error = figures(proba, y)
    model = final["model"]
    assert model["loss"] == pytest.approx(loss, rel=1e-12)
    assert model["error"] == error
    named = np.array(clouds.classes)[y]
    assert (predictor.predict(rows) != named).mean() == error

    assert final["number"] == 7
    assert final["recipe"] == RECIPE.as_dict()
    assert final["metric"] == "val_loss"
    seeds = final["seeds"]
    assert [each["seed"] for each in seeds] == [0, 1, 2]
    test = final["test"]
    assert (test["seeds"], test["rows"]) == (3, len(y))
    assert test["loss"] == pytest.approx(np.mean([s["test_loss"] for s in seeds]))
    assert test["error"] == pytest.approx(np.mean([s["test_error"] for s in seeds]))
    for name in ("loss", "error"):
        low, high = test[f"{name}_interval"]
        assert low < test[name] < high
    assert 0 <= test["error_interval"][0] < test["error_interval"][1] <= 1
    # Three seeds are three different networks.
    assert len({s["val_loss"] for s in seeds}) == 3
    for each in seeds:
        assert [row[0] for row in each["curve"]] == [1, 2, 3, 4]
        losses = [row[2] for row in each["curve"]]
        assert each["val_loss"] == min(losses)
        assert losses[each["best_epoch"] - 1] == each["val_loss"]
    chosen = seeds[model["seed"]]
    assert (model["loss"], model["error"]) == (
        chosen["test_loss"],
        chosen["test_error"],
    )
    assert (model["val_loss"], model["epoch"]) == (
        chosen["val_loss"],
        chosen["best_epoch"],
    )

    confusion = np.array(final["confusion"])
    expected = np.zeros((3, 3), int)
    for true, row in zip(y, proba, strict=True):
        expected[true, row.argmax()] += 1
    assert confusion.tolist() == expected.tolist()
    assert confusion.sum() == len(y)
    assert 1 - np.trace(confusion) / len(y) == pytest.approx(error)

    shares = (np.bincount(clouds.y_train, minlength=3) + 1) / (len(clouds.y_train) + 3)
    majority = final["baselines"]["majority class"]
    assert majority["loss"] == pytest.approx(-np.log(shares[y]).mean())
    assert majority["error"] == pytest.approx((y != shares.argmax()).mean())
    assert set(final["baselines"]) == {
        "majority class",
        "softmax regression",
        "default recipe",
    }
    # On a slow machine it says the epoch, too.
    assert [text for text in said if "epoch" not in text] == [
        "training the winner anew: 3 of 3 seeds",
        "training a baseline: softmax regression",
        "saving the model and loading it back",
    ]
    assert all("anew: 3 of 3 seeds, epoch" in text for text in said if "epoch" in text)


def test_both_engines_find_the_same(tmp_path: Path, clouds: Table) -> None:
    names = ("lightning", "vectorized")
    one, other = (
        crowned(tmp_path / name, clouds, engine_for(clouds, name)) for name in names
    )
    assert one["model"]["seed"] == other["model"]["seed"]
    for a, b in zip(one["seeds"], other["seeds"], strict=True):
        assert a["val_loss"] == pytest.approx(b["val_loss"], rel=1e-4)
        assert a["test_loss"] == pytest.approx(b["test_loss"], rel=1e-4)
        assert np.array(a["curve"]) == pytest.approx(np.array(b["curve"]), rel=1e-3)
    for name, figures_ in one["baselines"].items():
        assert figures_ == pytest.approx(other["baselines"][name], rel=1e-3)


@pytest.mark.parametrize("engine", ["lightning", "vectorized"])
def test_it_is_a_function_of_the_seed(
    tmp_path: Path, clouds: Table, engine: str
) -> None:
    def final(name: str, seed: int) -> dict[str, Any]:
        found = crowned(
            tmp_path / name,
            clouds,
            engine_for(clouds, engine),
            settings={"seed": seed, "final_seeds": 2, "max_epochs": 2},
        )
        return {key: found[key] for key in ("test", "model", "baselines", "seeds")}

    first = final("a", 3)
    assert final("b", 3) == first
    assert final("c", 4) != first


def test_the_lowest_validation_loss_is_saved_not_the_lowest_test_loss(
    tmp_path: Path, clouds: Table
) -> None:
    judged: dict[str, float] = {}
    for chosen in range(3):
        losses = {
            f"final-{k}": [0.9, 0.1 if k == chosen else 0.5, 0.7] for k in range(3)
        }
        engine = Untrained(clouds, losses)
        folder = tmp_path / str(chosen)
        final = crowned(folder, clouds, engine)
        assert final["model"]["seed"] == chosen
        assert (final["model"]["val_loss"], final["model"]["epoch"]) == (0.1, 2)
        rows, y = clouds.test_rows()
        network = MLP.of(RECIPE, clouds.n_inputs, 3)
        network.load_state_dict(engine.weights[f"final-{chosen}"])
        own = Predictor(network, clouds.preprocessor, clouds.classes, RECIPE)
        proba = Predictor.load(folder).predict_proba(rows)
        assert np.array_equal(proba, own.predict_proba(rows))
        assert final["model"]["loss"] == pytest.approx(figures(proba, y)[0])
        judged[str(chosen)] = final["model"]["loss"]
    # Whichever of them does best on test rows, two of the three choices were others.
    assert len(set(judged.values())) == 3


def test_ties_go_to_the_first_seed(tmp_path: Path, clouds: Table) -> None:
    assert crowned(tmp_path, clouds, Untrained(clouds))["model"]["seed"] == 0


def test_recipe_horizon_and_streams_of_every_training(
    tmp_path: Path, clouds: Table
) -> None:
    engine = Untrained(clouds)
    crowned(tmp_path, clouds, engine, settings={"seed": 5})
    assert [run.key for run in engine.runs] == [
        "final-0",
        "baseline",
        "final-1",
        "final-2",
    ]
    assert {(r.max_epochs, r.patience, r.seed) for r in engine.runs} == {(4, 10, 5)}
    recipes = [run.recipe for run in engine.runs]
    assert recipes == [RECIPE, DEFAULT, RECIPE, RECIPE]


def test_test_rows_are_asked_for_after_all_seeds_are_trained(
    tmp_path: Path, clouds: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Untrained(clouds)
    asked: list[int] = []
    real = Table.test_rows

    def spy(table: Table) -> Any:
        asked.append(len(engine.runs))
        return real(table)

    monkeypatch.setattr(Table, "test_rows", spy)
    crowned(tmp_path, clouds, engine)
    assert min(asked) == 4


def test_seeds_that_diverge_are_left_out(tmp_path: Path, clouds: Table) -> None:
    engine = Untrained(clouds, {"final-0": [math.nan], "final-2": [math.inf]})
    final = crowned(tmp_path, clouds, engine)
    assert [each["seed"] for each in final["seeds"]] == [1]
    assert final["model"]["seed"] == 1
    assert final["test"]["seeds"] == 1
    assert final["asked"] == {"seeds": 3}
    assert final["left_out"] == [
        {"what": "seed 0", "why": "diverged"},
        {"what": "seed 2", "why": "diverged"},
    ]
    low, high = final["test"]["loss_interval"]
    assert low < final["test"]["loss"] < high


def test_one_that_diverges_late_keeps_its_best_epoch(
    tmp_path: Path, clouds: Table
) -> None:
    engine = Untrained(clouds, {"final-1": [0.5, 0.2, math.nan]})
    final = crowned(tmp_path, clouds, engine)
    assert final["test"]["seeds"] == 3
    assert (final["model"]["seed"], final["model"]["epoch"]) == (1, 2)


def test_no_seed_at_all_is_one_line(tmp_path: Path, clouds: Table) -> None:
    engine = Untrained(clouds, {f"final-{k}": [math.nan] for k in range(3)})
    with pytest.raises(StoppedError) as caught:
        crowned(tmp_path, clouds, engine)
    assert "\n" not in str(caught.value)
    assert "trial 7" in str(caught.value)
    assert "none of 3 seeds" in str(caught.value)
    assert not (tmp_path / "model").exists()


def test_a_baseline_that_diverges_is_left_out(tmp_path: Path, clouds: Table) -> None:
    engine = Untrained(clouds, {"baseline": [math.nan]})
    final = crowned(tmp_path, clouds, engine)
    assert set(final["baselines"]) == {"majority class", "softmax regression"}
    assert final["left_out"] == [{"what": "default recipe", "why": "diverged"}]


def test_softmax_regression_is_fitted_to_the_end(tmp_path: Path, clouds: Table) -> None:
    final = crowned(tmp_path, clouds, Untrained(clouds))
    softmax = final["baselines"]["softmax regression"]
    # Gradient descent from zero on the same loss and penalty comes to the same place.
    x = torch.tensor(clouds.x_train, dtype=torch.float64)
    y = torch.tensor(clouds.y_train)
    weight = torch.zeros(x.shape[1], 3, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([weight, bias], max_iter=2000, tolerance_grad=1e-10)

    def closure() -> torch.Tensor:
        descent.zero_grad()
        logits = x @ weight + bias
        loss = torch.nn.functional.cross_entropy(logits, y, reduction="sum")
        loss = loss + 0.5 * weight.square().sum()
        loss.backward()
        return loss

    descent.step(closure)
    rows, y_test = clouds.test_rows()
    inputs = torch.tensor(clouds.preprocessor.transform(rows), dtype=torch.float64)
    proba = (inputs @ weight + bias).softmax(1).detach().numpy()
    loss, error = figures(proba, y_test)
    assert softmax["loss"] == pytest.approx(loss, rel=1e-2)
    assert softmax["error"] == pytest.approx(error, abs=1 / len(y_test))


def test_a_winner_the_budget_cut_is_trained_no_longer_than_it_was(
    tmp_path: Path, clouds: Table
) -> None:
    cut = create_trial(
        state=TrialState.PRUNED,
        value=0.5,
        intermediate_values={1: 0.6, 2: 0.5},
        user_attrs={"stopped": "budget"},
    )
    cut.number = 3
    options = {"engine": Untrained(clouds), "table": clouds, "folder": tmp_path}
    final = crown(cut, RECIPE, default=DEFAULT, settings=SETTINGS, **options)
    assert [len(each["curve"]) for each in final["seeds"]] == [2, 2, 2]
    assert final["left_out"] == []


def test_model_and_figures_change_together(
    tmp_path: Path, clouds: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowned(tmp_path, clouds, Untrained(clouds))
    before = (tmp_path / "model" / "model.json").read_bytes()

    def interrupted(text: str) -> None:
        if "baseline" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crowned(
            tmp_path, clouds, Untrained(clouds), settings={"seed": 9}, say=interrupted
        )
    assert (tmp_path / "model" / "model.json").read_bytes() == before


# --- saving ---------------------------------------------------------------------------


def test_a_model_that_does_not_come_back_the_same_is_not_handed_out(
    tmp_path: Path, clouds: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Predictor.predict_proba_inputs

    def worn(self: Predictor, rows: Any) -> Any:
        proba = real(self, rows)
        return np.nextafter(proba, 1.0) if loaded else proba

    loaded: list[bool] = []
    load_real = Predictor.load

    def load_spy(path: Path) -> Predictor:
        loaded.append(True)
        return load_real(path)

    monkeypatch.setattr(Predictor, "predict_proba_inputs", worn)
    monkeypatch.setattr(Predictor, "load", load_spy)
    with pytest.raises(StoppedError, match="must predict what the trained network did"):
        crowned(tmp_path, clouds, Untrained(clouds))


def test_a_judge_sees_what_people_see(clouds: Table) -> None:
    engine = Untrained(clouds)
    fitted = engine.train(
        Run(recipe=RECIPE, max_epochs=2, patience=9, seed=0, key="k"),
        lambda epoch, metrics: True,
    )
    judge = Judge(clouds)
    proba = judge.probabilities(RECIPE, fitted)
    assert proba.shape == (len(clouds.test_rows()[1]), 3)
    assert proba.sum(1) == pytest.approx(1)
    losses, errors = judge.figures(proba)
    assert set(np.unique(errors)) <= {0.0, 1.0}
    assert (losses.mean(), errors.mean()) == pytest.approx(
        figures(proba, clouds.test_rows()[1])
    )
