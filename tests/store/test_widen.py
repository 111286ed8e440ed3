"""Studies whose space grows: their trials are kept."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
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
from tunekit.report import build
from tunekit.store.leases import Leases

NARROW: dict[str, Any] = {
    "lr": LogUniform(1e-2, 1e-1),
    "momentum": OneMinusLogUniform(0.8, 0.95),
    "kind": Categorical("b", "c"),
    "layers": IntUniform(1, 2),
    "fixed": Categorical("one"),
}
WIDE: dict[str, Any] = {
    "lr": LogUniform(1e-4, 1.0),
    "momentum": OneMinusLogUniform(0.5, 0.99),
    "kind": Categorical("a", "b", "c"),
    "layers": IntUniform(1, 5),
    "fixed": Categorical("two", "one"),
}


def make(params: dict[str, Any]) -> Iterator[float]:
    """Best where the narrow space does not reach."""
    away = abs(math.log10(params["lr"]) + 3.5) + abs(params["momentum"] - 0.6)
    away += 0.0 if params["kind"] == "a" else 1.0
    away += 0.0 if params["fixed"] == "two" else 0.5
    yield from (away + 1 / epoch for epoch in range(1, 4))


def search(folder: Path, space: Any, n_trials: int = 12, **options: Any) -> Any:
    options = {"max_epochs": 3, "n_trials": n_trials, "out": folder, **options}
    return tune(make, space, name="s", **options)


def stored(folder: Path) -> optuna.Study:
    """As anybody reads it who knows Optuna alone."""
    backend = JournalFileBackend(str(folder / "s" / "journal.log"))
    return optuna.load_study(study_name="s", storage=JournalStorage(backend))


def state_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("pruner", ["promote", "none"])
def test_trials_are_kept_and_the_search_goes_beyond(
    tmp_path: Path, pruner: str
) -> None:
    first = search(tmp_path, NARROW, pruner=pruner)
    before = first.study.get_trials(deepcopy=False)
    journal = (tmp_path / "s" / "journal.log").read_bytes()
    more = search(tmp_path, WIDE, 40, pruner=pruner, extend=True)

    assert (tmp_path / "s" / "journal-1.log").read_bytes() == journal
    after = stored(tmp_path).get_trials(deepcopy=False)
    assert len(more.trials) == 40
    for old, new in zip(before, after, strict=False):
        assert new.number == old.number
        assert new.intermediate_values == old.intermediate_values
        assert (new.state, new.values) == (old.state, old.values)
        assert new.datetime_start == old.datetime_start
        assert new.params == old.params | {"fixed": "one"}
        assert new.user_attrs["params"] == old.user_attrs["params"]
        assert new.distributions["kind"].choices == ("a", "b", "c")
        assert new.distributions["lr"].low == 1e-4
    assert more.history[: len(first.history)] == first.history
    assert more.best_value < first.best_value
    assert more.best_params["kind"] == "a"
    assert more.best_params["fixed"] == "two"
    report = build(tmp_path / "s")
    assert report["trials"]["total"] == 40
    assert report["best"]["params"] == more.best_params


def test_asked_again_nothing_more_happens(tmp_path: Path) -> None:
    search(tmp_path, NARROW)
    # Before the budget grows, there is nothing to do; after, it is one study.
    same = search(tmp_path, WIDE, extend=True)
    assert len(same.trials) == 12
    told = [trial.params for trial in same.study.trials]
    for extend in (True, False):
        again = search(tmp_path, WIDE, extend=extend)
        assert [trial.params for trial in again.study.trials] == told
    assert len([*(tmp_path / "s").glob("journal-*.log")]) == 1


def test_a_widened_study_that_is_stopped_goes_on_the_same(tmp_path: Path) -> None:
    for folder in (tmp_path / "whole", tmp_path / "parts"):
        search(folder, NARROW)
    whole = search(tmp_path / "whole", WIDE, 30, extend=True)
    calls = 0

    def stopped(params: dict[str, Any]) -> Iterator[float]:
        nonlocal calls
        calls += 1
        if calls % 7 == 0:
            raise KeyboardInterrupt
        yield from make(params)

    options: dict[str, Any] = {"max_epochs": 3, "n_trials": 30, "name": "s"}
    options |= {"out": tmp_path / "parts", "extend": True}
    while True:
        try:
            parts = tune(stopped, WIDE, **options)
            break
        except KeyboardInterrupt:
            continue
    told = [
        [(t.params, t.intermediate_values, t.state) for t in result.study.trials]
        for result in (whole, parts)
    ]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("name", "scale", "line"),
    [
        ("lr", LogUniform(5e-2, 1.0), r"got lr 0.01..0.1 \(log\), now 0.05..1.0"),
        ("lr", Uniform(1e-4, 1.0), r"got lr 0.01..0.1 \(log\), now 0.0001..1.0 \(uni"),
        ("kind", Categorical("a", "b"), "got kind b/c, now a/b;"),
        ("kind", Categorical("b"), "got kind b/c, now b;"),
        ("fixed", Categorical("two", "three"), "got fixed one, now two/three;"),
        ("fixed", None, "got fixed one, now not set;"),
        ("new", Uniform(0, 1), r"got new not set, now 0..1 \(uniform\);"),
    ],
)
def test_a_space_that_loses_anything_is_refused(
    tmp_path: Path, name: str, scale: Any, line: str
) -> None:
    search(tmp_path, NARROW)
    before = state_of(tmp_path)
    space = {k: v for k, v in {**NARROW, name: scale}.items() if v is not None}
    with pytest.raises(ResumeError, match=line) as caught:
        search(tmp_path, space, extend=True)
    message = str(caught.value)
    assert message.startswith('the study "s" can only be widened, got ')
    assert message.endswith('choose another name, such as name="s-2"')
    assert state_of(tmp_path) == before


def test_only_the_space_may_change_and_only_when_asked(tmp_path: Path) -> None:
    search(tmp_path, NARROW)
    before = state_of(tmp_path)
    with pytest.raises(ResumeError, match="was made with another space"):
        search(tmp_path, WIDE)
    with pytest.raises(ResumeError, match="was made with max-epochs 3, now 4"):
        search(tmp_path, WIDE, extend=True, max_epochs=4)
    with pytest.raises(ConfigError, match="extend must be True or False"):
        search(tmp_path, WIDE, extend="yes")
    assert state_of(tmp_path) == before


def test_a_study_at_work_is_left_alone(tmp_path: Path) -> None:
    search(tmp_path, NARROW)
    others = Leases(tmp_path / "s" / "leases")
    assert others.take(3)
    journal = (tmp_path / "s" / "journal.log").read_bytes()
    with pytest.raises(ResumeError, match="must not be trained while it is widened"):
        search(tmp_path, WIDE, extend=True)
    assert (tmp_path / "s" / "journal.log").read_bytes() == journal
    others.release_all()
    assert len(search(tmp_path, WIDE, 14, extend=True).trials) == 14


def test_a_function_cannot_be_widened(tmp_path: Path) -> None:
    def space(high: float) -> Any:
        return lambda trial: {"lr": trial.suggest_float("lr", 0.1, high)}

    options: dict[str, Any] = {"max_epochs": 1, "n_trials": 2, "out": tmp_path}
    tune(lambda params: [params["lr"]], space(0.5), **options)
    with pytest.raises(ConfigError, match="must have a space that is a dict of scales"):
        tune(lambda params: [params["lr"]], space(1.0), extend=True, **options)


def test_a_new_study_is_extended_by_nothing(tmp_path: Path) -> None:
    assert len(search(tmp_path, NARROW, extend=True).trials) == 12
    assert len(search(tmp_path, NARROW, extend=True).trials) == 12


def command(out: Path, space: Any, **options: Any) -> tuple[Any, str]:
    """The result of a small study of digits, and what was said."""
    console = Console(file=io.StringIO(), width=100)
    small: dict[str, Any] = {"max_epochs": 2, "final_seeds": 1, "n_trials": 4}
    config = Config(out=str(out), name="s", space=space, **{**small, **options})
    result = run(config, console=console)
    assert isinstance(console.file, io.StringIO)
    return result, console.file.getvalue()


def test_states_of_trials_outlive_a_hyperparameter_that_is_freed(
    tmp_path: Path,
) -> None:
    fixed = {"lr": "1e-3..1e-2", "optimizer": "adamw", "dropout": 0}
    freed = {**fixed, "dropout": "0..0.5"}
    options: dict[str, Any] = {"max_epochs": 9, "n_trials": 5}
    command(tmp_path, fixed, **options)
    states = {*(tmp_path / "s" / "checkpoints").glob("trial-*-epoch-*")}
    assert states
    options["n_trials"] = 8
    _, said = command(tmp_path, freed, extend=True, **options)
    assert "the space is wider now" in said
    assert "damaged" not in said
    options["n_trials"] = 10
    _, said = command(tmp_path, {**freed, "dropout": "0..0.6"}, extend=True, **options)
    assert "damaged" not in said


def test_the_command_widens_a_study(tmp_path: Path) -> None:
    def study(space: Any, **options: Any) -> tuple[Any, str]:
        return command(tmp_path, space, **options)

    narrow = {"lr": "1e-3..1e-2", "optimizer": "adamw", "dropout": 0}
    wide = {"lr": "1e-5..1", "optimizer": "adamw,sgd", "dropout": "0..0.5"}
    first, _ = study(narrow)
    losses = [each["val_loss"] for each in first.report["trial_list"]]
    with pytest.raises(ResumeError, match="another space"):
        study(wide, n_trials=10)
    more, said = study(wide, n_trials=10, extend=True)
    assert "the space is wider now" in said
    trials = more.report["trial_list"]
    assert [each["val_loss"] for each in trials[:4]] == losses
    assert {each["params"]["optimizer"] for each in trials[:4]} == {"adamw"}
    assert all("momentum" not in each["params"] for each in trials[:4])
    assert len(trials) == 10
    # Momentum counts under SGD, which nobody could try before.
    kinds = {each["params"]["optimizer"] for each in trials[4:]}
    assert kinds <= {"adamw", "sgd"}
    with pytest.raises(ResumeError, match="can only be widened, got"):
        study(narrow, n_trials=12, extend=True)
