"""tune: budgets, results, histories, resuming, and what a broken loop does."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

import tunekit
from tunekit import (
    Categorical,
    ConfigError,
    IntUniform,
    LogUniform,
    OneMinusLogUniform,
    ResumeError,
    StoppedError,
    Uniform,
    tune,
)

SPACE = {
    "lr": LogUniform(1e-3, 1.0),
    "momentum": OneMinusLogUniform(0.5, 0.99),
    "width": IntUniform(1, 4),
    "kind": Categorical("a", "b"),
}


def values(params: dict[str, Any]) -> list[float]:
    """Nine values, best where lr is 0.1, each configuration with noise of its own."""
    noise = random.Random(repr(sorted(params.items())))
    away = abs(math.log10(params["lr"]) + 1) + params["width"] / 10
    return [away + 1 / epoch + 0.3 * noise.random() for epoch in range(1, 10)]


def search(make: Any = values, space: Any = SPACE, **options: Any) -> Any:
    options = {"max_epochs": 9, "sampler": "random", "pruner": "none", **options}
    return tune(make, space, **options)


def told(result: Any) -> list[Any]:
    return [
        (t.number, t.state, t.params, t.value, t.intermediate_values)
        for t in result.study.trials
    ]


def test_the_best_of_all_values_is_found_and_shown_in_human_units() -> None:
    result = search(n_trials=12)
    every = [values(row[[*SPACE]].to_dict()) for _, row in result.trials.iterrows()]
    assert result.best_value == min(map(min, every))
    assert list(result.best_params) == [*SPACE]
    assert min(values(result.best_params)) == result.best_value
    assert 0.5 <= result.best_params["momentum"] <= 0.99
    assert list(result.trials.columns) == [
        "number",
        "state",
        "value",
        "epochs",
        "seconds",
        *SPACE,
    ]
    assert list(result.trials["value"]) == [min(each) for each in every]
    assert list(result.trials["epochs"]) == [9] * 12
    assert set(result.trials["state"]) == {"complete"}
    assert result.study.best_value == result.best_value


def test_maximized_everything_is_turned_but_the_values() -> None:
    low = search(n_trials=10)
    high = search(lambda p: [-v for v in values(p)], n_trials=10, direction="maximize")
    assert high.best_value == -low.best_value
    assert high.best_params == low.best_params
    assert high.history == [(epochs, -value) for epochs, value in low.history]
    assert list(high.trials["value"]) == [-value for value in low.trials["value"]]
    assert high.study.best_value == high.best_value
    for trial in high.study.trials:
        best = trial.user_attrs["best_epoch"]
        assert trial.intermediate_values[best] == max(
            trial.intermediate_values.values()
        )


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("pruner", ["median", "halving", "hyperband"])
def test_pruners_go_by_the_direction(direction: str, pruner: str) -> None:
    sign = 1 if direction == "minimize" else -1
    result = search(
        lambda p: [sign * v for v in values(p)],
        n_trials=40,
        direction=direction,
        pruner=pruner,
    )
    by_state = result.trials.groupby("state")["value"].mean()
    assert 0 < (result.trials["state"] == "pruned").sum() < 40
    assert sign * by_state["complete"] < sign * by_state["pruned"]


@pytest.mark.parametrize("in_flight", [1, 3])
@pytest.mark.parametrize("budget", [1, 8, 9, 10, 50])
def test_epochs_are_never_exceeded(budget: int, in_flight: int) -> None:
    asked = []

    def make(params: dict[str, Any]) -> Iterator[float]:
        for value in values(params):
            asked.append(value)
            yield value

    result = search(make, budget_epochs=budget, in_flight=in_flight)
    assert len(asked) == result.trials["epochs"].sum() == budget


@pytest.mark.parametrize("where", ["memory", "folder"])
@pytest.mark.parametrize("in_flight", [1, 3])
def test_history_is_exact_in_the_order_of_the_work(
    in_flight: int, where: str, tmp_path: Path
) -> None:
    asked: list[float] = []

    def make(params: dict[str, Any]) -> Iterator[float]:
        for value in values(params):
            asked.append(value)
            yield value

    out = tmp_path if where == "folder" else None
    result = search(make, n_trials=9, in_flight=in_flight, out=out)
    expected, best = [], math.inf
    for epochs, value in enumerate(asked, start=1):
        if value < best:
            best = value
            expected.append((epochs, value))
    assert result.history == expected


def test_names_of_samplers_and_objects_of_optuna_are_taken() -> None:
    own = optuna.samplers.RandomSampler(seed=3)
    result = search(n_trials=4, sampler=own, pruner=optuna.pruners.NopPruner())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    assert [t.params["lr"] for t in result.study.trials] == [
        _suggest(study)["lr"] for _ in range(4)
    ]


def _suggest(study: optuna.Study) -> dict[str, Any]:
    trial = study.ask()
    return {name: scale.suggest(trial, name) for name, scale in SPACE.items()}


@pytest.mark.parametrize("name", ["random", "tpe", "qmc", "cmaes", "grid", "gp"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_every_sampler_by_name_tries_what_is_enqueued_first(name: str) -> None:
    first = [{"lr": 0.5, "momentum": 0.99, "width": 2, "kind": "b"}, {"lr": 0.25}]
    result = search(n_trials=13, sampler=name, enqueue=first)
    rows = result.trials
    assert rows.loc[0, [*SPACE]].to_dict() == first[0]
    assert rows.loc[1, "lr"] == 0.25
    assert rows.loc[1, "kind"] in "ab"
    assert len(rows) == 13
    assert rows["lr"].nunique() > 3


def test_no_recipe_comes_first_in_a_space_of_ones_own() -> None:
    firsts = {search(n_trials=1, seed=seed).best_params["lr"] for seed in range(4)}
    assert len(firsts) == 4


def test_a_failing_trial_fails_alone_with_its_traceback() -> None:
    def make(params: dict[str, Any]) -> Iterator[float]:
        yield 1.0
        if params["kind"] == "a":
            raise ZeroDivisionError("of my own")
        yield 0.5

    result = search(make, n_trials=12, seed=2)
    failed = [t for t in result.study.trials if t.state.name == "FAIL"]
    assert 0 < len(failed) < 12
    for trial in failed:
        assert trial.params["kind"] == "a"
        assert trial.user_attrs["error"] == "ZeroDivisionError: of my own"
        assert "raise ZeroDivisionError" in trial.user_attrs["traceback"]
    assert result.best_value == 0.5


def test_five_failures_in_a_row_stop_it() -> None:
    with pytest.raises(StoppedError, match="5 trials in a row failed"):
        search(lambda params: ["high"], n_trials=12)


def test_a_disk_that_is_full_at_the_end_hides_no_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(params: dict[str, Any]) -> Iterator[float]:
        raise RuntimeError("a cable is loose")
        yield 0.0

    known = optuna.Study.set_user_attr

    def full(study: optuna.Study, key: str, value: Any) -> None:
        if key == "seconds":
            raise OSError(28, "No space left on device")
        known(study, key, value)

    monkeypatch.setattr(optuna.Study, "set_user_attr", full)
    with pytest.raises(StoppedError, match="a cable is loose"):
        search(broken, n_trials=9, out=tmp_path)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_value_not_finite_ends_its_trial_as_diverged(
    bad: float, direction: str
) -> None:
    result = search(lambda p: [1.0, bad, 0.5], n_trials=2, direction=direction)
    assert result.best_value == 1.0
    for trial in result.study.trials:
        assert trial.user_attrs["stopped"] == "diverged at epoch 2"
        assert trial.intermediate_values[2] == (
            math.inf if direction == "minimize" else -math.inf
        )
        assert trial.state.name == "PRUNED"


def test_a_loop_that_ends_early_is_complete() -> None:
    result = search(lambda p: [2.0, 1.0], n_trials=3)
    assert set(result.trials["state"]) == {"complete"}
    assert list(result.trials["epochs"]) == [2, 2, 2]
    assert result.best_value == 1.0


def test_without_a_finite_value_there_is_no_best() -> None:
    result = search(lambda p: [math.nan], n_trials=2)
    assert result.history == []
    with pytest.raises(StoppedError, match="none of 2 trials had one"):
        result.best_value  # noqa: B018


def test_time_is_a_budget() -> None:
    result = search(timeout=0.3)
    assert len(result.trials) > 0
    assert result.trials["seconds"].sum() < 3


class Stop(BaseException):
    """The process is gone."""


class Counted:
    """Makes loops, and is gone after so many values."""

    def __init__(
        self, last: float = math.inf, error: type[BaseException] = Stop
    ) -> None:
        self.last, self.error, self.given, self.open = last, error, 0, 0

    def __call__(self, params: dict[str, Any]) -> Iterator[float]:
        self.open += 1
        try:
            for value in values(params):
                if self.given >= self.last:
                    raise self.error
                self.given += 1
                yield value
        finally:
            self.open -= 1


@pytest.mark.parametrize("in_flight", [1, 3])
@pytest.mark.parametrize("last", [0, 1, 4, 9, 13, 20])
@pytest.mark.parametrize("pruner", ["none", "halving"])
def test_stopped_anywhere_the_same_call_goes_on(
    last: int, in_flight: int, pruner: str, tmp_path: Path
) -> None:
    options = {
        "n_trials": 8,
        "in_flight": in_flight,
        "sampler": "tpe",
        "pruner": pruner,
    }
    whole = search(**options)
    with pytest.raises(Stop):
        search(Counted(last), out=tmp_path, **options)
    result = search(out=tmp_path, **options)
    assert told(result) == told(whole)
    assert result.history == whole.history
    assert result.best_params == whole.best_params


def test_epochs_that_are_run_again_are_not_counted_twice(tmp_path: Path) -> None:
    options: dict[str, Any] = {"budget_epochs": 20, "out": tmp_path}
    with pytest.raises(Stop):
        search(Counted(13), **options)
    again = Counted()
    result = search(again, **options)
    assert result.trials["epochs"].sum() == 20
    assert again.given == 4 + 7  # of trial 1 the four that are known, and the rest


def test_after_ctrl_c_it_can_go_on(tmp_path: Path) -> None:
    stopped = Counted(13, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        search(stopped, n_trials=4, out=tmp_path)
    assert stopped.open == 0
    assert told(search(n_trials=4, out=tmp_path)) == told(search(n_trials=4))


def test_what_is_finished_is_returned_at_once_and_a_larger_budget_goes_on(
    tmp_path: Path,
) -> None:
    first = search(n_trials=4, out=tmp_path, name="mine")
    idle = Counted()
    again = search(idle, n_trials=4, out=tmp_path, name="mine")
    assert idle.given == 0
    assert told(again) == told(first)
    assert again.history == first.history
    assert (again.folder, (tmp_path / "mine" / "journal.log").exists()) == (
        tmp_path / "mine",
        True,
    )
    more = search(n_trials=6, out=tmp_path, name="mine")
    assert told(more) == told(search(n_trials=6))


def test_a_limit_of_time_that_is_spent_is_finished(tmp_path: Path) -> None:
    search(timeout=0.2, out=tmp_path)
    idle = Counted()
    search(idle, timeout=0.2, out=tmp_path)
    assert idle.given == 0


@pytest.mark.parametrize(
    "change",
    [
        {"space": {**SPACE, "lr": LogUniform(1e-2, 1.0)}},
        {"space": lambda trial: {"lr": trial.suggest_float("lr", 0, 1)}},
        {"direction": "maximize"},
        {"monitor": "acc"},
        {"max_epochs": 8},
        {"seed": 1},
        {"enqueue": [{"lr": 0.5}]},
        {"sampler": "tpe"},
    ],
)
def test_another_study_under_one_name_is_refused(
    change: dict[str, Any], tmp_path: Path
) -> None:
    search(n_trials=2, out=tmp_path)
    with pytest.raises(ResumeError, match='the study "study" was made with') as caught:
        search(**{"n_trials": 2, "out": tmp_path, **change})
    # As a function takes it; a flag is the command line's.
    assert str(caught.value).endswith('choose another name, such as name="study-2"')


def test_none_may_be_a_choice_in_a_folder(tmp_path: Path) -> None:
    space = {
        "clip": Categorical(None, 1.0),
        "one": Categorical(None),
        "x": Uniform(0, 1),
    }
    for _ in range(2):
        result = search(lambda p: [p["x"]], space, n_trials=6, out=tmp_path)
    assert result.best_params["one"] is None
    assert {t.params["clip"] for t in result.study.trials} == {None, 1.0}


def test_trials_cost_the_same_at_the_end_as_at_the_start() -> None:
    ends: list[float] = []

    def make(params: dict[str, Any]) -> list[float]:
        ends.append(time.process_time())
        return [params["x0"]]

    space = {f"x{n}": LogUniform(1e-4, 1.0) for n in range(12)}
    search(make, space, n_trials=1500, max_epochs=1)
    tenth = [ends[n + 150] - ends[n] for n in (10, 1340)]
    assert tenth[1] < 2 * tenth[0] + 0.05
    assert (ends[-1] - ends[0]) / 1500 < 0.01


def unused(params: Any) -> Any:
    raise AssertionError("bad input is refused before any work")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "a budget must be given"),
        ({"n_trials": 0}, "n_trials must be at least 1, got 0"),
        ({"n_trials": 1.5}, "n_trials must be a whole number, got 1.5"),
        ({"n_trials": True}, "n_trials must be a whole number, got True"),
        ({"n_trials": 1, "max_epochs": None}, "max_epochs must be a whole number"),
        ({"n_trials": 1, "budget_epochs": -1}, "budget_epochs must be at least 1"),
        ({"timeout": 0}, "timeout must be above 0 s"),
        ({"timeout": "soon"}, "timeout must be a time such as"),
        ({"n_trials": 1, "trial_timeout": 0}, "trial_timeout must be above 0 s"),
        ({"n_trials": 1, "direction": "maximise"}, 'did you mean "maximize"'),
        ({"n_trials": 1, "sampler": "ranodm"}, 'did you mean "random"'),
        ({"n_trials": 1, "pruner": 3}, "pruner must be one of"),
        ({"n_trials": 1, "in_flight": 0}, "in_flight must be at least 1"),
        ({"n_trials": 1, "seed": -1}, "seed must be at least 0"),
        ({"n_trials": 1, "name": "a/b"}, "name must be letters"),
        ({"n_trials": 1, "trainer": 1}, "trainer must be a dict of"),
        ({"n_trials": 1, "enqueue": {"lr": 1}}, "enqueue must be a list"),
        ({"n_trials": 1, "enqueue": [3]}, r"enqueue\[0\] must be a dict"),
    ],
)
def test_bad_options_are_one_line_before_any_work(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        search(unused, out=tmp_path / "out", **options)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", [None, 3, [0.1]])
def test_make_must_be_a_function(make: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="make must be a function of params"):
        search(make, n_trials=1)


def test_a_module_without_data_is_refused_in_one_line() -> None:
    def make(params: Any) -> Any:
        return tunekit.LitMLP(n_features=3, n_classes=2)

    with pytest.raises(ConfigError, match=r"data must be given .* as LitMLP, got None"):
        search(make, n_trials=1)


def test_data_for_an_iterable_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"data must be None where .* got list"):
        search(lambda params: [1.0], n_trials=1, data=[1])
