"""Anybody's LightningModule, babysat from Python."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tunekit.babysit import Babysat, babysit
from tunekit.errors import ConfigError, ResumeError, SpaceError, StoppedError
from tunekit.space import IntUniform, LogUniform, Uniform

from .conftest import course
from .nets import PACKAGES, SPACE, START, loaders, maker


def watched(package: str = PACKAGES[0], **options: Any) -> Babysat:
    given: dict[str, Any] = {"budget_epochs": 30, "interval": 3, "data": loaders()}
    return babysit(
        options.pop("make", None) or maker(package),
        options.pop("space", SPACE),
        start=options.pop("start", START),
        **{**given, **options},
    )


def values(found: Babysat) -> list[list[list[float]]]:
    return [[b["val"] for b in line["branches"]] for line in found.history]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_module_comes_to_its_best_epoch_and_can_be_replayed(package: str) -> None:
    found = watched(package)
    every = [value for line in values(found) for branch in line for value in branch]
    assert found.epochs == len(every) == 30
    assert found.best_value == min(
        min(b["val"])
        for line in found.history
        for b in line["branches"]
        if b["to"] is not None and line["kept"] is not None
    )
    module = found.best_module()
    assert not module.training
    (batch,) = loaders()[1]
    with torch.no_grad():
        assert float(module.loss(batch)) == pytest.approx(found.best_value, rel=1e-6)
    assert module.settings == found.settings == found.schedule[-1].settings
    curve = found.replay(seed=0)
    assert min(curve) == found.best_value == curve[found.best_epoch - 1]
    assert len(curve) == sum(s.epochs for s in found.schedule)
    assert found.replay(seed=1) != curve
    assert found.folder is None


def test_progress_is_told_where_it_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    watched(budget_epochs=4)
    assert capsys.readouterr() == ("", "")
    watched(budget_epochs=4, progress=True, monitor="val_acc", direction="maximize")
    out, err = capsys.readouterr()
    assert err == ""
    first = out.splitlines()[0]
    assert " of 4 epochs, best 0." in first
    assert "nudged, lr=" in first


def test_every_hyperparameter_is_nudged_in_time() -> None:
    found = watched(budget_epochs=40, interval=2, nudges=4)
    branches = [b["settings"] for line in found.history for b in line["branches"]]
    for name in SPACE:
        assert len({settings[name] for settings in branches}) > 1
    assert list(branches[0].items()) == list(START.items())


def test_the_highest_value_is_sought_where_that_is_better(tmp_path: Path) -> None:
    found = watched(
        monitor="val_acc", direction="maximize", out=tmp_path, name="accuracy"
    )
    signed = [v for line in values(found) for branch in line for v in branch]
    assert 0.5 < found.best_value <= 1.0
    assert found.best_value == max(signed)
    assert max(found.replay()) == found.best_value
    report = json.loads((tmp_path / "accuracy" / "report.json").read_text())
    assert report["best"]["value"] == found.best_value
    assert report["metric"] == "val_acc"


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("package", PACKAGES)
def test_in_a_folder_it_goes_on_to_what_it_comes_to_in_memory(
    package: str, tmp_path: Path
) -> None:
    whole = watched(package)
    place: dict[str, Any] = {"out": tmp_path, "name": "mine"}
    told: list[Any] = []

    def killing(line: Mapping[str, Any]) -> None:
        told.append(line)
        if len(told) in (2, 5, 9):
            raise Killed

    for kill in (2, 5, 9):
        with pytest.raises(Killed):
            watched(package, **place, on_round=killing)
        assert len(told) == kill
        report = json.loads((tmp_path / "mine" / "report.json").read_text())
        assert not report["ended"]
        page = (tmp_path / "mine" / "report.html").read_text()
        assert "still being trained, or was broken off" in page
    found = watched(package, **place, on_round=killing)
    assert found.history == whole.history == told
    assert found.schedule == whole.schedule
    assert found.best_value == whole.best_value
    assert found.folder == tmp_path / "mine"
    for name, value in whole.best_module().state_dict().items():
        assert torch.equal(value, found.best_module().state_dict()[name])
    names = {path.name for path in found.folder.iterdir()}
    assert {"report.html", "report.json", "tb", "steer.toml", "history.jsonl"} <= names
    # Once more: nothing is left to train.
    assert watched(package, **place).history == whole.history


def test_a_person_steers_a_module(tmp_path: Path) -> None:
    def steering(line: Mapping[str, Any]) -> None:
        if line.get("round") == 2:
            (tmp_path / "mine" / "steer.toml").write_text("dropout = 0.6\n")

    found = watched(out=tmp_path, name="mine", on_round=steering)
    assert found.history[2]["edit"] == {"dropout": 0.6}
    assert found.history[3]["branches"][0]["settings"]["dropout"] == 0.6
    assert course(tmp_path / "mine")["spent"] == 30


def test_a_larger_budget_goes_on_and_another_model_is_refused(tmp_path: Path) -> None:
    place: dict[str, Any] = {"out": tmp_path, "name": "mine"}
    first = watched(budget_epochs=12, **place)
    more = watched(budget_epochs=20, **place)
    assert more.history[: len(first.history)] == first.history
    assert more.epochs == 20
    other = {"start": {**START, "lr": 0.01}, "seed": 4, "interval": 2}
    for name, value in other.items():
        with pytest.raises(ResumeError, match=f"begun with {name} ") as caught:
            watched(**place, **{name: value})
        assert "\n" not in str(caught.value)


def test_a_line_may_be_as_long_as_the_budget() -> None:
    found = watched(nudges=0, budget_epochs=13, hold=["lr"])
    assert found.epochs == 13
    assert sum(len(branch) for line in values(found) for branch in line) == 13


@pytest.mark.parametrize(
    "options",
    [
        {"budget_epochs": 1},
        {"budget_epochs": 3, "nudges": 0, "burst": 3, "interval": 3},
    ],
)
def test_a_round_may_be_as_long_as_the_budget(options: dict[str, Any]) -> None:
    found = watched(**options)
    assert found.epochs == options["budget_epochs"]
    assert found.replay(seed=0)[found.best_epoch - 1] == found.best_value


def test_a_module_that_is_never_finite_ends_with_a_line() -> None:
    def make(settings: Mapping[str, float]) -> Any:
        module = maker(PACKAGES[0])(settings)
        module.loss = lambda batch: module.layers(batch[0]).sum() * float("nan")
        return module

    with pytest.raises(StoppedError, match="begin with a lower learning rate"):
        watched(make=make, budget_epochs=60)


def callbacks(*names: str) -> dict[str, Any]:
    module = importlib.import_module(f"{PACKAGES[0]}.callbacks")
    return {"callbacks": [getattr(module, names[0])("val_loss", patience=1)]}


def wider(settings: Mapping[str, float]) -> Any:
    """Its layers depend on what is nudged."""
    made = maker(PACKAGES[0])(settings)
    width = 2 + int(10 * settings["dropout"])
    made.layers = torch.nn.Sequential(
        torch.nn.Linear(4, width), torch.nn.Linear(width, 1)
    )
    return made


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"start": {"lr": 0.1}}, SpaceError, "start must have a value for each of"),
        ({"start": {**START, "lr": 99.0}}, SpaceError, 'start "lr" must be between'),
        ({"start": {**START, "lr": "1"}}, SpaceError, 'start "lr" must be a number'),
        ({"start": {**START, "more": 1}}, SpaceError, "start must have a value"),
        (
            {"space": {"n": IntUniform(1, 4)}, "start": {"n": 2}},
            SpaceError,
            'space "n": a hyperparameter of a running model must move',
        ),
        ({"budget_epochs": None}, ConfigError, "a budget must be given"),
        ({"budget_epochs": 0}, ConfigError, "budget-epochs must be"),
        ({"direction": "up"}, ConfigError, "direction must be minimize or maximize"),
        ({"hold": ["width"]}, ConfigError, 'hold must name what is in space, got "w'),
        ({"interval": 0}, ConfigError, "interval must be at least 1"),
        ({"out": "runs"}, ConfigError, "name must be given where out is"),
        ({"out": "runs", "name": "a/b"}, ConfigError, "name must be"),
        ({"monitor": "accuracy"}, ConfigError, 'monitor "accuracy" must be logged'),
        ({"data": None}, ConfigError, "data must be given"),
        ({"make": dict}, ConfigError, "must return a LightningModule"),
        ({"make": wider}, ConfigError, "must have the same layers"),
        ({"trainer": callbacks("EarlyStopping")}, ConfigError, "EarlyStopping"),
        ({"timeout": "soon"}, ConfigError, "timeout"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    options: dict[str, Any],
    error: type[Exception],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=re.escape(told)) as caught:
        watched(**options)
    assert "\n" not in str(caught.value)


def test_an_error_of_ones_own_says_with_what_settings_it_came() -> None:
    def make(settings: Mapping[str, float]) -> Any:
        if settings != START:
            raise ZeroDivisionError("of my own")
        return maker(PACKAGES[0])(settings)

    with pytest.raises(ZeroDivisionError, match="of my own") as caught:
        watched(make=make)
    (note,) = caught.value.__notes__
    assert "while training with {'lr'" in note


def test_a_space_of_one_hyperparameter_will_do() -> None:
    def make(settings: Mapping[str, float]) -> Any:
        return maker(PACKAGES[1])({**START, **settings})

    for name, scale in (("lr", LogUniform(1e-3, 1.0)), ("dropout", Uniform(0.0, 0.5))):
        found = watched(
            make=make, space={name: scale}, start={name: 0.05}, budget_epochs=9
        )
        assert set(found.settings) == {name}
        assert found.epochs == 9
