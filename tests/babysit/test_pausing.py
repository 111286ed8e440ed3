"""The clock decides over nothing, and either engine trains the same model."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from tunekit.babysit import rounds
from tunekit.babysit.course import START, Round
from tunekit.babysit.folder import Folder
from tunekit.babysit.job import run_of
from tunekit.babysit.nowhere import Nowhere
from tunekit.babysit.rounds import train_round
from tunekit.fit import LightningEngine
from tunekit.trial import Engine, Recipe, State
from tunekit.vectorized import VectorizedEngine

from .conftest import Call, Undisturbed, came_to

RECIPE = Recipe(width=8, batch_size=32, schedule="constant", dropout=0.2)
SETTINGS = [
    {"lr": 0.01, "weight_decay": 1e-3, "dropout": 0.2, "beta1": 0.9},
    {"lr": 0.03, "weight_decay": 1e-3, "dropout": 0.2, "beta1": 0.9},
    {"lr": 0.01, "weight_decay": 1e-1, "dropout": 0.5, "beta1": 0.8},
]
OPTIONS = ["--budget-epochs", "30", "--interval", "4", "--burst", "2"]


def make(kind: type[Any], table: Any) -> Engine:
    made: Engine = kind(*table, 3, "cpu")
    return made


def trained(engine: Engine, *, together: bool = True) -> tuple[list[Any], Nowhere]:
    """Three rounds: from the start, and on from where each came to."""
    keep, curves, source = Nowhere(), [], START
    for number in (1, 2, 3):
        branches = [(source, settings) for settings in SETTINGS]
        parts = [branches] if together else [[each] for each in branches[::-1]]
        found = []
        for part in parts:
            tried = Round(number, "burst", part, 3)
            source = tried.checkpoint(0)
            keep._states.pop(source, None)
            outcomes = train_round(engine, tried, run_of(RECIPE), keep, seed=5)
            found += [(o.train, o.val, o.score) for o in outcomes]
        curves.append(found if together else found[::-1])
    return curves, keep


def test_pauses_after_every_epoch_change_no_bit(
    call: Call, runs: Path, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, saved = came_to(undisturbed(OPTIONS)), []
    monkeypatch.setattr(rounds, "_KEEP_SECONDS", 0.0)
    real = Folder.save

    def save(folder: Folder, name: str, state: State, whose: str) -> None:
        saved.append(name)
        real(folder, name, state, whose)

    monkeypatch.setattr(Folder, "save", save)
    assert call(*OPTIONS) == 0
    assert sum(name.endswith("-half") for name in saved) >= 8
    assert came_to(runs / "model") == wanted


@pytest.mark.parametrize("kind", [VectorizedEngine, LightningEngine])
def test_a_branch_does_not_depend_on_its_neighbours(table, kind, monkeypatch):
    with closing(make(kind, table)) as engine:
        together, keep = trained(engine)
        alone, _ = trained(engine, together=False)
        assert alone == together
        monkeypatch.setattr(rounds, "_KEEP_SECONDS", 0.0)
        _, paused = trained(engine)
    for name, state in keep._states.items():
        if name.endswith("half"):
            continue
        for tensor, value in state.tensors.items():
            assert torch.equal(value, paused._states[name].tensors[tensor])


def test_both_engines_come_to_the_same(table):
    found = []
    for kind in (VectorizedEngine, LightningEngine):
        with closing(make(kind, table)) as engine:
            found.append(trained(engine)[0])
    vectorized, lightning = found
    for one, other in zip(vectorized, lightning, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            assert mine[1] == pytest.approx(theirs[1], rel=1e-4)
            assert mine[0] == pytest.approx(theirs[0], rel=1e-4)


def test_the_command_may_name_either_engine(
    call: Call, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["--budget-epochs", "9"]
    assert call(*short, "--engine", "vectorized") == 0
    assert call(*short, "--engine", "lightning", name="other") == 0
    assert capsys.readouterr().err == ""
    one, other = (came_to(runs / name)[0] for name in ("model", "other"))
    for mine, theirs in zip(one, other, strict=True):
        for left, right in zip(mine["branches"], theirs["branches"], strict=True):
            assert left["settings"] == right["settings"]
            assert left["val"] == pytest.approx(right["val"], rel=1e-3)
