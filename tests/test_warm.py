"""Warm starts: what an earlier study found best is tried first."""

from __future__ import annotations

import io
import logging
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial
from rich.console import Console

from tunekit import (
    Categorical,
    Config,
    ConfigError,
    IntUniform,
    LogUniform,
    OneMinusLogUniform,
    ResumeError,
    Uniform,
    run,
    tune,
)
from tunekit.warm import earlier, recorded, warm

SPACE = {
    "lr": LogUniform(1e-4, 1.0),
    "momentum": OneMinusLogUniform(0.5, 0.99),
    "kind": Categorical("a", "b"),
}


def away(params: dict[str, Any]) -> float:
    found = abs(math.log10(params["lr"]) + 2) + abs(params["momentum"] - 0.9)
    return found + (0.0 if params["kind"] == "a" else 1.0)


def make(params: dict[str, Any]) -> Iterator[float]:
    yield from (away(params) + 1 / epoch for epoch in range(1, 4))


def search(space: Any = SPACE, loop: Any = make, **options: Any) -> Any:
    options = {"max_epochs": 3, "n_trials": 4, **options}
    return tune(loop, space, **options)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with forty trials."""
    folder: Path = tmp_path_factory.mktemp("runs")
    search(n_trials=40, sampler="random", pruner="none", out=folder, name="old")
    return folder / "old"


def of(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.user_attrs["params"] for trial in study.get_trials(deepcopy=False)]


def test_the_best_are_tried_first_and_lie_apart(old: Path) -> None:
    study = optuna.load_study(
        study_name="old",
        storage=optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(old / "journal.log"))
        ),
    )
    ranked = sorted(of(study), key=away)
    first = of(search(warm_start=old).study)
    assert first[0] == pytest.approx(ranked[0])
    tenth = [pytest.approx(params) for params in ranked[:4]]
    assert all(params in tenth for params in first[:3])
    assert first[1] != first[0] != first[2] != first[1]
    # They are trials like any other, and no more of the budget than that.
    assert len(first) == 4


def test_a_folder_a_result_and_a_study_are_the_same(old: Path) -> None:
    result = search(n_trials=40, sampler="random", pruner="none")
    sources: list[Any] = [old, str(old), result, result.study]
    found = [earlier(source) for source in sources]
    assert found[0] == found[1] == found[2] == found[3]
    assert len(found[0]) == 40


def test_what_was_enqueued_comes_before() -> None:
    result = search()
    mine = {"lr": 0.5, "momentum": 0.6, "kind": "b"}
    first = of(search(warm_start=result, enqueue=[mine]).study)
    assert first[0] == pytest.approx(mine)
    assert first[1] == pytest.approx(result.best_params)


def test_a_plain_study_is_matched_by_either_name() -> None:
    def objective(trial: optuna.Trial) -> float:
        gap = trial.suggest_float("one_minus_momentum", 0.01, 0.5, log=True)
        lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
        trial.suggest_int("of_no_use", 1, 3)
        return away({"lr": lr, "momentum": 1 - gap, "kind": "a"})

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(objective, n_trials=20)
    first = of(search(warm_start=study).study)[0]
    assert first["lr"] == study.best_params["lr"]
    assert first["momentum"] == pytest.approx(
        1 - study.best_params["one_minus_momentum"]
    )
    # What it did not have, the sampler gives.
    assert first["kind"] in ("a", "b")

    human = optuna.create_study()
    for momentum, value in [(0.9, 1.0), (0.7, 2.0)]:
        human.add_trial(
            create_trial(
                value=value,
                params={"momentum": momentum},
                distributions={"momentum": FloatDistribution(0, 1)},
            )
        )
    momenta = [params["momentum"] for params in of(search(warm_start=human).study)]
    assert momenta[:2] == pytest.approx([0.9, 0.7])


def test_a_function_is_a_space_too(old: Path) -> None:
    def space(trial: Any) -> dict[str, Any]:
        kind = trial.suggest_categorical("kind", ["a", "b"])
        lr = LogUniform(1e-4, 1.0).suggest(trial, "lr")
        momentum = OneMinusLogUniform(0.5, 0.99).suggest(trial, "momentum")
        return {"lr": lr, "momentum": momentum, "kind": kind}

    result = search(space, warm_start=old)
    best = earlier(old)[0]
    assert of(result.study)[0] == pytest.approx({k: best[k] for k in SPACE})


def test_trials_outside_the_space_are_skipped_and_counted(
    old: Path, caplog: pytest.LogCaptureFixture
) -> None:
    narrow = {**SPACE, "lr": LogUniform(0.1, 1.0), "layers": IntUniform(1, 4)}
    inside = [p for p in earlier(old) if p["lr"] >= 0.1]
    assert 0 < len(inside) < 40
    with caplog.at_level(logging.WARNING, logger="tunekit"):
        result = search(narrow, warm_start=old)
    (line,) = caplog.messages
    assert line.startswith("warm start: 3 of the best configurations of 40 earlier")
    assert line.endswith(f"; {40 - len(inside)} outside this space skipped")
    assert of(result.study)[0]["lr"] == pytest.approx(inside[0]["lr"])
    for trial in result.study.get_trials(deepcopy=False):
        assert 0.1 <= trial.params["lr"] <= 1.0


def test_nothing_in_common_is_no_start(old: Path) -> None:
    result = search({"x": Uniform(0, 1)}, lambda params: [params["x"]], warm_start=old)
    plain = search({"x": Uniform(0, 1)}, lambda params: [params["x"]])
    assert of(result.study) == of(plain.study)


def test_a_study_goes_on_without_the_earlier_one(old: Path, tmp_path: Path) -> None:
    whole = search(warm_start=old, n_trials=8, seed=3)
    copy = tmp_path / "copy"
    shutil.copytree(old, copy)
    calls = 0

    def stopped(params: dict[str, Any]) -> Iterator[float]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        yield from make(params)

    options: dict[str, Any] = {"warm_start": copy, "n_trials": 8, "seed": 3}
    options |= {"out": tmp_path, "name": "new"}
    with pytest.raises(KeyboardInterrupt):
        search(loop=stopped, **options)
    shutil.rmtree(copy)
    assert len(recorded(tmp_path / "new")) == 3
    assert of(search(**options).study) == of(whole.study)
    # It is part of what the study is.
    with pytest.raises(ResumeError, match=r"warm-start .*copy, now not set"):
        search(**{**options, "warm_start": None})


def maximized() -> optuna.Study:
    return optuna.create_study(direction="maximize")


def many() -> optuna.Study:
    return optuna.create_study(directions=["minimize", "minimize"])


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (lambda: "no/such", "must be a study folder such as runs/NAME, got no/such"),
        (lambda: 7, "must be a study folder, a result or an optuna.Study, got 7"),
        (maximized, "must be a study of direction minimize, got maximize"),
        (many, "must be a study of direction minimize, got minimize and minimize"),
    ],
)
def test_what_is_no_earlier_study_is_refused(
    source: Callable[[], Any], line: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=line) as caught:
        search(warm_start=source(), out=tmp_path)
    assert "\n" not in str(caught.value)
    assert not [*tmp_path.iterdir()]


def test_a_damaged_study_is_refused(old: Path, tmp_path: Path) -> None:
    shutil.copytree(old, tmp_path / "bad")
    (tmp_path / "bad" / "journal.log").write_text("no journal\n")
    assert earlier(tmp_path / "bad") == earlier(old)  # by its copy
    (tmp_path / "bad" / "journal.copy").unlink()
    with pytest.raises(ConfigError, match="must be a readable study"):
        earlier(tmp_path / "bad")


def test_higher_is_better_where_it_is() -> None:
    study = maximized()
    for value in (1.0, 3.0, math.inf, 2.0):
        study.add_trial(
            create_trial(
                value=value,
                params={"lr": value if value < 9 else 1e-3},
                distributions={"lr": FloatDistribution(1e-4, 10)},
            )
        )
    assert [params["lr"] for params in earlier(study, maximize=True)] == [3, 2, 1]


def test_equal_configurations_are_taken_once() -> None:
    distributions = {"x": FloatDistribution(0, 1)}
    taken = warm([{"x": 0.5}] * 5, lambda params: (params, distributions))
    assert taken.configurations == [{"x": 0.5}]
    assert (taken.total, taken.skipped) == (5, 0)
    assert str(taken).startswith("warm start: one configuration of 5 earlier trials")


def test_the_command_takes_a_study_folder(tmp_path: Path) -> None:
    """Another range of lr: what lies outside is counted, the rest is tried first."""

    def study(name: str, **options: Any) -> tuple[Any, str]:
        console = Console(file=io.StringIO(), width=100)
        small: dict[str, Any] = {"max_epochs": 2, "final_seeds": 1, "n_trials": 6}
        config = Config(out=str(tmp_path), name=name, **{**small, **options})
        result = run(config, console=console)
        assert isinstance(console.file, io.StringIO)
        return result, console.file.getvalue()

    _, said = study("old")
    assert "warm start" not in said
    space = {"lr": "1e-3..1", "dropout": 0.1}
    new, said = study("new", warm_start=str(tmp_path / "old"), space=space)
    inside = [p for p in earlier(tmp_path / "old") if p["lr"] >= 1e-3]
    n = min(3, len(inside))
    assert f"{n} of the best configurations of 6 earlier trials" in said
    assert len(recorded(tmp_path / "new")) == n
    first = of(new.study)[0]
    for name, value in first.items():
        assert inside[0][name] == pytest.approx(value)
    # The same command again needs the earlier study no more.
    shutil.rmtree(tmp_path / "old")
    again, _ = study("new", warm_start=str(tmp_path / "old"), space=space)
    assert again.report == new.report
    with pytest.raises(ConfigError, match="warm-start must be a study folder"):
        study("newer", warm_start=str(tmp_path / "old"))
    assert not (tmp_path / "newer").exists()
