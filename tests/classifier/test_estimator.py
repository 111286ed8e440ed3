"""TunedClassifier: real tables, every kind of column and label, and its neighbours."""

from __future__ import annotations

import io
import pickle
import time
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tunekit import LogUniform, TunedClassifier

from .conftest import small

People = tuple[pd.DataFrame, pd.Series]


@pytest.mark.parametrize(
    ("table", "least"), [(load_iris, 0.9), (load_breast_cancer, 0.93)]
)
def test_a_real_table_is_learnt_from_a_frame(table: Any, least: float) -> None:
    x, y = table(return_X_y=True, as_frame=True)
    x_learn, x_test, y_learn, y_test = train_test_split(
        x, y, test_size=0.3, random_state=0, stratify=y
    )
    model = small(n_trials=8, max_epochs=25).fit(x_learn, y_learn)
    assert model.score(x_test, y_test) >= least
    assert list(model.feature_names_in_) == list(x.columns)
    proba = model.predict_proba(x_test)
    assert np.allclose(proba.sum(1), 1)
    assert np.array_equal(model.predict(x_test), model.classes_[proba.argmax(1)])


def test_texts_dates_truth_values_and_holes_are_learnt_as_they_are(
    people: People,
) -> None:
    frame, answer = people
    model = small().fit(frame[:150], answer[:150])
    assert model.score(frame[150:], answer[150:]) > 0.9
    kinds = {c.name for c in model.predictor_._preprocessor.date}
    assert kinds == {"since"}
    # A row without anything but its town is answered, and so is a town never seen.
    bare = frame[150:152].copy()
    bare[["age", "since", "member", "count"]] = None
    bare["town"] = ["Ulm", "Rom"]
    assert model.predict_proba(bare).shape == (2, 2)


@pytest.mark.parametrize(
    "labels",
    [
        ["ham", "spam"],
        [3, 7],
        [-1, 1],
        [False, True],
        [0.0, 1.0],
        ["9", "10"],
    ],
    ids=str,
)
@pytest.mark.parametrize("form", ["array", "list", "object", "series", "category"])
def test_labels_of_any_kind_come_back_as_they_are(labels: list[Any], form: str) -> None:
    rng = np.random.default_rng(0)
    places = np.arange(60) % 2
    x = rng.normal(size=(60, 2)) + 4 * places[:, None]
    y: Any = np.array(labels)[places]
    y = {
        "array": lambda: y,
        "list": y.tolist,
        "object": lambda: y.astype(object),
        "series": lambda: pd.Series(y, index=range(100, 160)),
        "category": lambda: pd.Series(y).astype("category"),
    }[form]()
    model = small(n_trials=1, max_epochs=8).fit(x, y)
    assert model.classes_.tolist() == np.unique(labels).tolist()
    assert type(model.classes_.tolist()[0]) is type(labels[0])
    assert np.mean(model.predict(x) == np.array(labels)[places]) > 0.9


def test_lists_of_numbers_and_texts_keep_both() -> None:
    rows = [[place % 2, ["a", "b"][place % 2], 1.5 * place] for place in range(40)]
    model = small(n_trials=1).fit(rows, [row[1] for row in rows])
    parts = model.predictor_._preprocessor
    assert [part.name for part in parts.numeric] == ["x0", "x2"]
    assert [part.name for part in parts.categorical] == ["x1"]
    assert model.predict(rows[:2]).tolist() == ["a", "b"]
    assert not hasattr(model, "feature_names_in_")


def test_columns_without_names_go_by_their_place(people: People) -> None:
    frame, answer = people
    bare = frame.set_axis(range(frame.shape[1]), axis=1)
    model = small(n_trials=1).fit(bare, answer)
    named = small(n_trials=1).fit(frame, answer)
    assert np.array_equal(model.predict_proba(bare), named.predict_proba(frame))
    assert not hasattr(model, "feature_names_in_")


def test_the_same_seed_gives_the_same_model_and_another_one_another() -> None:
    x, y = load_iris(return_X_y=True)

    def proba(seed: Any) -> np.ndarray:
        return np.asarray(
            small(n_trials=1, random_state=seed).fit(x, y).predict_proba(x)
        )

    assert np.array_equal(proba(3), proba(3))
    assert not np.array_equal(proba(3), proba(4))
    states = [np.random.RandomState(5) for _ in range(2)]
    assert np.array_equal(*map(proba, states))
    assert states[0].randint(1000) == states[1].randint(1000)
    assert not np.array_equal(proba(None), proba(None))


def test_global_streams_of_chance_are_left_alone() -> None:
    x, y = load_iris(return_X_y=True)
    before = np.random.get_state()[1].tolist()
    torch_before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    small(n_trials=1).fit(x, y)
    assert np.random.get_state()[1].tolist() == before
    assert torch.equal(torch.random.get_rng_state(), torch_before)
    assert torch.get_num_threads() == threads


def test_it_works_in_a_pipeline_and_is_searched_over_itself() -> None:
    x, y = load_iris(return_X_y=True, as_frame=True)
    line = make_pipeline(StandardScaler(), small(n_trials=1))
    assert cross_val_score(line, x, y, cv=3).mean() > 0.8
    grid = {"tunedclassifier__max_epochs": np.array([1, 15])}
    found = GridSearchCV(line, grid, cv=2).fit(x, y)
    assert found.best_params_ == {"tunedclassifier__max_epochs": 15}
    assert found.predict(x).shape == (150,)


def test_a_clone_has_the_very_options_and_nothing_that_was_learnt() -> None:
    x, y = load_iris(return_X_y=True)
    space = {"lr": LogUniform(1e-3, 1e-2), "optimizer": ["adam"], "dropout": 0}
    model = small(space=space).fit(x, y)
    again = clone(model)
    assert not hasattr(again, "classes_")
    assert {**again.get_params(), "space": 0} == {**model.get_params(), "space": 0}
    again.fit(x, y)
    assert np.array_equal(again.predict_proba(x), model.predict_proba(x))
    assert 1e-3 <= model.result_.best_params["lr"] <= 1e-2
    assert model.predictor_.recipe.optimizer == "adam"


@pytest.mark.parametrize("way", ["pickle", "joblib"])
def test_a_fitted_one_can_be_saved_and_loaded(people: People, way: str) -> None:
    frame, answer = people
    model = small(n_trials=2).fit(frame, answer)
    if way == "pickle":
        again = pickle.loads(pickle.dumps(model))
    else:
        buffer = io.BytesIO()
        joblib.dump(model, buffer)
        buffer.seek(0)
        again = joblib.load(buffer)
    assert np.array_equal(again.predict_proba(frame), model.predict_proba(frame))
    assert again.result_.best_params == model.result_.best_params
    assert len(again.result_.study.trials) == len(model.result_.study.trials)


def test_the_result_tells_what_the_search_came_to(people: People) -> None:
    model = small(n_trials=6, final_seeds=2).fit(*people)
    found = model.result_
    assert len(found.trials) == 6
    assert found.best_value == found.trials["value"].min() == found.history[-1][1]
    assert found.model["seeds"] == 2
    assert found.model["trial"] == found.trials["value"].idxmin()
    assert set(found.best_params) >= {"lr", "n_layers"}
    assert found.folder is None
    assert all(trial.state.is_finished() for trial in found.study.trials)


def test_the_winner_by_accuracy_is_the_most_accurate_trial(people: People) -> None:
    frame, answer = people
    noisy = answer.mask(np.random.default_rng(1).random(200) < 0.3, "no")
    model = small(n_trials=8, metric="accuracy", final_seeds=2).fit(frame, noisy)
    found = model.result_
    scores = [
        t.user_attrs["best_val_score"]
        for t in found.study.trials
        if t.user_attrs["best_val_score"] is not None
    ]
    assert found.best_value == max(scores)
    assert 0 <= found.model["val_accuracy"] <= 1
    # The same search: only the choice is another.
    by_loss = small(n_trials=8, final_seeds=2).fit(frame, noisy).result_
    assert by_loss.trials["value"].tolist() == found.trials["value"].tolist()


def test_nothing_is_written_or_said_unless_asked(
    people: People, tmp_path: Any, monkeypatch: Any, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    small(n_trials=1).fit(*people)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    small(n_trials=1, verbose=1).fit(*people)
    assert "trial 0" in capfd.readouterr().out


def test_a_timeout_is_kept() -> None:
    x, y = load_iris(return_X_y=True)
    small(n_trials=1).fit(x, y)  # what is imported once is not counted
    began = time.monotonic()
    model = small(n_trials=None, timeout="3s").fit(x, y)
    # Twice that, because other work may keep the machine busy.
    assert time.monotonic() - began < 6
    assert model.result_.study.user_attrs["finished"]
    assert model.score(x, y) > 0.6


@pytest.mark.parametrize("engine", ["vectorized", "lightning"])
def test_either_engine_trains(engine: str) -> None:
    x, y = load_iris(return_X_y=True)
    model = small(n_trials=1, engine=engine, accelerator="cpu").fit(x, y)
    assert model.result_.trials["state"].tolist() == ["complete"]
    assert model.score(x, y) > 0.8


def test_defaults_are_those_of_the_command_line() -> None:
    import tunekit

    config, given = tunekit.Config(), TunedClassifier().get_params()
    for name in ("max_epochs", "sampler", "pruner", "engine", "accelerator"):
        assert given[name] == getattr(config, name)
