"""Spaces of one's own: dicts of scales, functions, and what is enqueued in them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from tunekit import (
    Categorical,
    IntUniform,
    LogUniform,
    OneMinusLogUniform,
    ResumeError,
    SpaceError,
    Uniform,
    tune,
)
from tunekit.tuning.candidates import OwnSpace

SPACE = {"lr": LogUniform(1e-3, 1.0), "momentum": OneMinusLogUniform(0.5, 0.99)}


def by_function(trial: Any) -> dict[str, Any]:
    """Momentum counts under one optimizer alone."""
    params = {"optimizer": trial.suggest_categorical("optimizer", ["sgd", "adam"])}
    params["lr"] = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    if params["optimizer"] == "sgd":
        params["momentum"] = OneMinusLogUniform(0.5, 0.99).suggest(trial, "momentum")
    return params


def search(space: Any, make: Any = None, **options: Any) -> Any:
    made = make or (lambda params: [params["lr"]])
    options = {"max_epochs": 1, "n_trials": 12, "pruner": "none", **options}
    return tune(made, space, **options)


def test_a_function_is_asked_and_what_it_returns_is_what_make_gets() -> None:
    seen: list[Any] = []

    def make(params: Any) -> list[float]:
        seen.append(params)
        return [params["lr"]]

    result = search(by_function, make, sampler="random")
    assert len(seen) == 12
    columns = ["optimizer", "lr", "momentum"]
    assert list(result.trials.columns[5:]) == columns
    for params, row in zip(
        seen, result.trials[columns].to_dict("records"), strict=True
    ):
        assert {k: v for k, v in row.items() if v == v} == params
        assert ("momentum" in params) == (params["optimizer"] == "sgd")
    assert result.best_params == min(seen, key=lambda params: params["lr"])


def test_a_gap_to_one_is_shown_as_its_value_whatever_a_function_returns() -> None:
    def space(trial: Any) -> SimpleNamespace:
        momentum = OneMinusLogUniform(0.5, 0.99).suggest(trial, "momentum")
        return SimpleNamespace(momentum=momentum)

    seen: list[float] = []

    def make(params: Any) -> list[float]:
        seen.append(params.momentum)
        return [params.momentum]

    result = search(space, make, sampler="random", n_trials=4)
    assert list(result.trials["momentum"]) == pytest.approx(seen)
    assert result.best_params == {"momentum": pytest.approx(min(seen))}


def test_what_only_has_the_name_of_a_gap_is_left_as_it_is() -> None:
    def space(trial: Any) -> SimpleNamespace:
        return SimpleNamespace(x=trial.suggest_float("one_minus_x", 0.1, 5.0))

    result = search(space, lambda params: [params.x], sampler="random", n_trials=2)
    assert result.best_params == {"one_minus_x": result.best_value}


def test_a_function_may_return_anything() -> None:
    def space(trial: Any) -> SimpleNamespace:
        return SimpleNamespace(x=trial.suggest_float("x", 0, 1), more=object())

    result = search(space, lambda params: [params.x], sampler="random")
    assert result.best_params == {"x": result.best_value}


@pytest.mark.parametrize("name", ["random", "tpe", "qmc", "cmaes", "gp"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_samplers_by_name_work_on_a_function(name: str) -> None:
    assert len(search(by_function, sampler=name, n_trials=14).trials) == 14


def test_a_grid_needs_to_know_its_space() -> None:
    with pytest.raises(Exception, match='sampler "grid" must know the whole space'):
        search(by_function, sampler="grid")


def test_a_function_is_known_again_in_a_folder(tmp_path: Path) -> None:
    search(by_function, out=tmp_path, n_trials=2)
    assert len(search(by_function, out=tmp_path, n_trials=3).trials) == 3

    def other(trial: Any) -> dict[str, Any]:
        return {"lr": trial.suggest_float("lr", 1e-4, 1.0, log=True)}

    with pytest.raises(ResumeError, match="another space"):
        search(other, out=tmp_path, n_trials=3)


def test_what_is_enqueued_in_a_function_is_in_human_units() -> None:
    first = [
        {"optimizer": "sgd", "lr": 0.01, "momentum": 0.9},
        {"optimizer": "adam"},
        {"lr": 0.02},
    ]
    result = search(by_function, enqueue=first)
    rows = result.trials
    assert rows.loc[0, "momentum"] == pytest.approx(0.9)
    assert rows.loc[1, "optimizer"] == "adam"
    assert rows.loc[2, "lr"] == 0.02
    assert rows["lr"].nunique() > 6


@pytest.mark.parametrize(
    ("space", "enqueued", "message"),
    [
        (SPACE, {"lr": 5.0}, r'enqueue\[0\] "lr" must be inside LogUniform\(.*got 5.0'),
        (SPACE, {"lr": "high"}, '"lr" must be inside'),
        (SPACE, {"lr": float("nan")}, '"lr" must be inside'),
        (SPACE, {"momentum": 0.01}, '"momentum" must be inside OneMinus'),
        (SPACE, {"lrr": 0.1}, 'got "lrr" beside no other; did you mean "lr"'),
        ({"n": IntUniform(1, 4)}, {"n": 1.5}, '"n" must be inside'),
        ({"k": Categorical("a", "b")}, {"k": "c"}, '"k" must be inside'),
        ({"k": Categorical("a"), **SPACE}, {"k": "c"}, "\"k\" must be 'a', got 'c'"),
        (by_function, {"lr": 5.0}, '"lr" must be inside Float'),
        (by_function, {"rl": 0.1}, 'got "rl"'),
        (by_function, {"optimizer": "adam", "momentum": 0.9}, 'got "momentum" beside'),
    ],
)
def test_what_is_enqueued_must_lie_in_the_space(
    space: Any, enqueued: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpaceError, match=message) as error:
        search(space, lambda params: pytest.fail("made"), enqueue=[enqueued])
    assert "\n" not in str(error.value)


def broken(trial: Any) -> dict[str, Any]:
    return {"lr": trial.suggest_flaot("lr", 0, 1)}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "at least one hyperparameter"),
        (3, "must be a dict of name to scale, or a function"),
        ({"lr": "1e-4..1e-1"}, 'space "lr" must be a scale such as .*1e-4..1e-1'),
        ({"lr": [1, 2]}, 'space "lr" must be a scale'),
        ({3: Uniform(0, 1)}, "name must be text, got 3"),
        (
            {"b": OneMinusLogUniform(0.5, 0.9), "one_minus_b": Uniform(0, 1)},
            '"one_minus_b" must have another name',
        ),
        (lambda trial: None, "got None; return them"),
        (broken, "got AttributeError: 'Trial' object has no attribute"),
    ],
)
def test_what_is_no_space_is_one_line_before_any_work(
    space: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpaceError, match=message) as error:
        search(space, lambda params: pytest.fail("made"), out=tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_fixed_values_reach_make_and_are_shown_in_the_order_given() -> None:
    space = {"kind": Categorical("only"), **SPACE}
    result = search(space, sampler="random", enqueue=[{"kind": "only", "lr": 0.5}])
    assert list(result.best_params) == ["kind", "lr", "momentum"]
    assert result.best_params["kind"] == "only"


def test_settings_are_those_of_the_distributions() -> None:
    one, other = OwnSpace(by_function, 0), OwnSpace(by_function, 0)
    assert one.as_settings() == other.as_settings()
    assert set(one.as_settings()) == {"optimizer", "lr", "one_minus_momentum"}
    trial = optuna.trial.FixedTrial({"lr": 0.1, "one_minus_momentum": 0.1})
    assert OwnSpace(SPACE, 0).suggest(trial).shown == {"lr": 0.1, "momentum": 0.9}
