"""The winner: every figure recomputed from the saved model and the raw test rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from optuna.trial import FrozenTrial, TrialState, create_trial

from tunekit.data import Table, load
from tunekit.errors import StoppedError
from tunekit.feed import one_by_one
from tunekit.fit import LightningEngine
from tunekit.mlp import MLP
from tunekit.predict import Predictor
from tunekit.trial import Engine, Feed, Fitted, Heard, Metrics, Recipe, Run, Verdict
from tunekit.vectorized import VectorizedEngine
from tunekit.winner import Judge, crown

SETTINGS = {"final_seeds": 3, "max_epochs": 4, "patience": 10, "seed": 0}
DEFAULT = Recipe(batch_size=32)
RECIPE = Recipe(width=8, n_layers=1, batch_size=16, dropout=0.0)
OnEpoch = Callable[[int, Metrics], Verdict]


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Three overlapping classes, one of them rare, in a file with text and holes."""
    rng = np.random.default_rng(0)
    y = rng.choice(["a", "b", "c"], 200, p=[0.5, 0.4, 0.1])
    centre = pd.Series(y).map({"a": 0.0, "b": 1.5, "c": 3.0}).to_numpy()
    frame = pd.DataFrame(
        {
            "x": centre + rng.normal(size=200),
            "z": rng.normal(size=200),
            "town": np.where(rng.random(200) < 0.5, "Ulm", "Köln"),
            "y": y,
        }
    )
    frame.loc[::13, "z"] = np.nan
    path = tmp_path_factory.mktemp("winner") / "clouds.csv"
    frame.to_csv(path, index=False)
    return load(path, "y")


def engine_for(table: Table, name: str = "lightning") -> Engine:
    data = (table.x_train, table.y_train, table.x_valid, table.y_valid)
    if name == "lightning":
        return LightningEngine(*data, len(table.classes), "cpu", 1)
    return VectorizedEngine(*data, len(table.classes), "cpu", 1, processes=1)


class Untrained:
    """Networks as they are drawn; the validation loss of each seed is given."""

    name = "untrained"

    def __init__(
        self, table: Table, losses: dict[str, list[float]] | None = None
    ) -> None:
        self.table, self.losses = table, losses or {}
        self.runs: list[Run] = []
        self.weights: dict[str, dict[str, Any]] = {}

    def train(self, run: Run, on_epoch: OnEpoch) -> Fitted:
        self.runs.append(run)
        torch.manual_seed(len(self.runs))
        network = MLP.of(run.recipe, self.table.n_inputs, len(self.table.classes))
        network.eval()
        weights = {k: v.clone() for k, v in network.state_dict().items()}
        self.weights[run.key] = weights
        curve: list[Metrics] = []
        best, best_epoch = math.inf, 0
        for loss in self.losses.get(run.key, [1.0] * run.max_epochs):
            curve.append(Metrics(loss, loss, 0.5, 0.5, 1e-3, 0.1))
            if math.isfinite(loss) and loss < best:
                best, best_epoch = loss, len(curve)
            verdict = on_epoch(len(curve), curve[-1])
            if verdict is Verdict.STOP or not math.isfinite(loss):
                break
        return Fitted(
            curve=curve,
            best_epoch=best_epoch,
            weights=weights if best_epoch else {},
            diverged=not math.isfinite(curve[-1].val_loss),
        )

    def train_all(self, feed: Feed, slots: int) -> None:
        one_by_one(self.train, feed)

    def close(self) -> None:
        """Nothing to let go of."""


def winning(**attrs: Any) -> FrozenTrial:
    trial = create_trial(state=TrialState.COMPLETE, value=0.5, user_attrs=attrs)
    trial.number = 7
    return trial


def crowned(folder: Path, table: Table, engine: Any, **options: Any) -> dict[str, Any]:
    settings = {**SETTINGS, **options.pop("settings", {})}
    return crown(
        winning(**options.pop("attrs", {})),
        RECIPE,
        default=DEFAULT,
        engine=engine,
        table=table,
        settings=settings,
        folder=folder,
        **options,
    )


def figures(proba: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Loss and error in the plainest way."""
    losses = [-math.log(max(row[k], 1e-300)) for row, k in zip(proba, y, strict=True)]
    wrong = [int(np.argmax(row)) != k for row, k in zip(proba, y, strict=True)]
    return sum(losses) / len(losses), sum(wrong) / len(wrong)


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


# --- time runs out --------------------------------------------------------------------


class Clock:
    """Seconds left: one less for every epoch trained."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


class Timed(Untrained):
    def __init__(self, table: Table, clock: Clock) -> None:
        super().__init__(table)
        self.clock = clock

    def train(self, run: Run, on_epoch: OnEpoch) -> Fitted:
        def tick(epoch: int, metrics: Metrics) -> Verdict:
            self.clock.seconds -= 1
            return on_epoch(epoch, metrics)

        return super().train(run, tick)


AN_EPOCH_A_SECOND = {"seconds": 4.0, "epochs": 4}


@pytest.mark.parametrize(
    ("seconds", "seeds", "epochs", "baselines"),
    [
        (-5, 1, 1, 1),
        (0, 1, 1, 1),
        (2, 1, 2, 1),
        (4, 1, 4, 1),
        (5, 1, 4, 2),  # the default recipe was cut short: its figures would mislead
        (8, 1, 4, 3),
        (13, 2, 4, 3),  # the same for the third seed
        (17, 3, 4, 3),
        (40, 3, 4, 3),
    ],
)
def test_what_does_not_fit_is_left_out_but_never_the_first_seed(
    tmp_path: Path,
    clouds: Table,
    seconds: float,
    seeds: int,
    epochs: int,
    baselines: int,
) -> None:
    clock = Clock(seconds)
    engine = Timed(clouds, clock)
    final = crowned(
        tmp_path, clouds, engine, seconds_left=clock, attrs=AN_EPOCH_A_SECOND
    )
    assert final["test"]["seeds"] == len(final["seeds"]) == seeds
    assert [len(each["curve"]) for each in final["seeds"]] == [epochs] * seeds
    assert len(final["baselines"]) == baselines
    assert "majority class" in final["baselines"]
    assert Predictor.load(tmp_path).predict_proba(clouds.test_rows()[0]).shape[1] == 3
    # At most one epoch after time was up.
    assert clock.seconds >= min(seconds, 0) - 1
    # Whatever is not there is told.
    left_out = {each["what"]: each["why"] for each in final["left_out"]}
    cut = {"seed 0": f"no time left: cut at epoch {epochs}, but counted"}
    missing = {f"seed {k}": "no time left" for k in range(seeds, 3)}
    missing |= {"softmax regression": "no time left"} if baselines < 2 else {}
    missing |= {"default recipe": "no time left"} if baselines < 3 else {}
    assert left_out == missing | (cut if epochs < 4 else {})


class Together(Untrained):
    """Trains in rounds; an epoch of each open run is a second."""

    def __init__(self, table: Table, clock: Clock) -> None:
        super().__init__(table)
        self.clock = clock
        self.waves: list[list[str]] = []

    def train_all(self, feed: Feed, slots: int) -> None:
        runs = [*iter(feed.next, None)]
        assert len(runs) <= slots
        self.waves.append([run.key for run in runs])
        whole = {run.key: self.train(run, lambda *_: Verdict.GO_ON) for run in runs}
        for epoch in range(1, SETTINGS["max_epochs"] + 1):
            self.clock.seconds -= len(runs)
            heard = [
                Heard(run, epoch, whole[run.key].curve[epoch - 1], epoch == 4)
                for run in runs
            ]
            going = dict(zip([*runs], feed.epochs(heard), strict=True))
            for run in [run for run, v in going.items() if v is Verdict.STOP]:
                runs.remove(run)
                fitted = whole[run.key]
                cut = Fitted(
                    curve=fitted.curve[:epoch],
                    best_epoch=fitted.best_epoch,
                    weights=fitted.weights,
                    diverged=False,
                )
                feed.end(run, cut)


@pytest.mark.parametrize(
    ("seconds", "waves"),
    [
        (20, [["final-0", "baseline", "final-1", "final-2"]]),
        # What one took is known by then: five seconds are allowed for four.
        (19, [["final-0", "baseline", "final-1"], ["final-2"]]),
        (11, [["final-0", "baseline"], ["final-1"]]),
        (9.9, [["final-0"], ["baseline"], ["final-1"]]),
        (1, [["final-0"]]),
        (-3, [["final-0"]]),
    ],
)
def test_as_many_are_trained_together_as_time_allows(
    tmp_path: Path, clouds: Table, seconds: float, waves: list[list[str]]
) -> None:
    clock = Clock(seconds)
    engine = Together(clouds, clock)
    final = crowned(
        tmp_path, clouds, engine, seconds_left=clock, attrs=AN_EPOCH_A_SECOND
    )
    assert engine.waves == waves
    assert clock.seconds >= min(0, seconds) - len(waves[-1])
    assert final["seeds"][0]["seed"] == 0


def test_where_none_is_whole_all_count(tmp_path: Path, clouds: Table) -> None:
    """Nobody knew how long it takes: all are cut short at the same epoch."""
    clock = Clock(8)
    final = crowned(tmp_path, clouds, Together(clouds, clock), seconds_left=clock)
    assert [len(each["curve"]) for each in final["seeds"]] == [2, 2, 2]
    assert set(final["baselines"]) == {"majority class"}
    left_out = {each["what"]: each["why"] for each in final["left_out"]}
    assert left_out == {
        **{f"seed {k}": "no time left: cut at epoch 2, but counted" for k in range(3)},
        "softmax regression": "no time left",
        "default recipe": "no time left",
    }


def test_a_winner_that_failed_when_it_was_taken_up_again(
    tmp_path: Path, clouds: Table
) -> None:
    """Its epochs were recorded before; of the attempt that failed there are none."""
    failed = create_trial(
        state=TrialState.FAIL,
        intermediate_values={1: 0.6, 2: 0.5},
        user_attrs={"epochs": 0, "seconds": 0.0},
    )
    failed.number = 3
    options = {"engine": Untrained(clouds), "table": clouds, "folder": tmp_path}
    final = crown(failed, RECIPE, default=DEFAULT, settings=SETTINGS, **options)
    assert final["test"]["seeds"] == 3


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
