"""``python -m tunekit.study --module``: a module by its name, from flags or a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import SpaceError
from tunekit.space import (
    Categorical,
    IntUniform,
    LogUniform,
    OneMinusLogUniform,
    Uniform,
)
from tunekit.study import main
from tunekit.tuning.named import space_of

CODE = """
import torch
from torch.utils.data import DataLoader, TensorDataset
import pytorch_lightning as pl

class Net(pl.LightningModule):
    def __init__(self, lr, width=3, fails=False):
        super().__init__()
        if fails:
            raise RuntimeError("of my own")
        self.net, self.lr = torch.nn.Linear(2, 1), lr
    def training_step(self, batch, i):
        return (self.net(batch[0]) - 1).square().mean()
    def validation_step(self, batch, i):
        self.log("val_loss", (self.net(batch[0]) - 1).square().mean())
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr)

def rows():
    loader = DataLoader(TensorDataset(torch.ones(8, 2)), batch_size=4)
    return loader, loader
"""
SPACE = ["--set", "lr=log 1e-3..1e-1"]


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the working folder, whose name no other test has."""
    monkeypatch.chdir(tmp_path)
    found = f"mine_{abs(hash(tmp_path))}"
    (tmp_path / f"{found}.py").write_text(CODE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return found


def call(name: str, *more: str) -> int:
    arguments = ["--module", f"{name}:Net", "--data", f"{name}:rows", *more]
    return main(["--max-epochs", "3", *arguments])


def test_a_module_is_searched_and_goes_on(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(name, *SPACE, "--n-trials", "4") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"searching lr of Net, in {Path('runs') / 'Net'}" in out
    best = json.loads((tmp_path / "runs" / "Net" / "best.json").read_text())
    assert f"best of 4 trials: {best['value']:.6g}" in out
    assert 1e-3 <= best["params"]["lr"] <= 1e-1
    kept = tmp_path / "runs" / "Net" / "checkpoints"
    assert (kept / f"trial-{best['trial']:05d}.safetensors").exists()
    assert call(name, *SPACE, "--n-trials", "6") == 0
    assert "best of 6 trials" in capsys.readouterr().out


def test_a_file_says_the_same(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.toml").write_text(
        f'module = "{name}:Net"\ndata = "{name}:rows"\nmax_epochs = 3\nn_trials = 3\n'
        'name = "named"\n[space]\nwidth = 5\n'
        'lr = { scale = "log", low = 1e-3, high = 1e-1 }\n'
        '[trainer]\naccelerator = "cpu"\n'
    )
    assert main(["--config", "study.toml", "--n-trials", "2"]) == 0
    assert "best of 2 trials" in capsys.readouterr().out
    best = json.loads((tmp_path / "runs" / "named" / "best.json").read_text())
    assert best["params"]["width"] == 5


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([], "space must hold a hyperparameter that varies"),
        (["--set", "lr=1..2"], "a range must say its scale"),
        (["--set", "lr"], "--set must be"),
        ([*SPACE, "--module", "nowhere:Net"], "must be importable from here"),
        ([*SPACE, "--module", "math:squrt"], 'did you mean "sqrt"?'),
        ([*SPACE, "--module", "math"], "must be package.module:Name"),
        ([*SPACE, "--n-trals", "3"], 'did you mean "n-trials"?'),
        ([*SPACE, "--n-trials", "x"], "invalid int value"),
        ([*SPACE, "--monitor", "acc"], 'monitor "acc" must be logged'),
    ],
)
def test_whatever_is_wrong_is_one_line(
    name: str, more: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(name, *more) == 2
    _, err = capsys.readouterr()
    assert told in err
    assert len(err.splitlines()) == 1


def test_a_module_that_always_fails_stops_it(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(name, *SPACE, "--set", "fails=true", "--n-trials", "9") == 3
    out, err = capsys.readouterr()
    assert "failed: RuntimeError: of my own" in out
    assert "5 trials in a row failed" in err


@pytest.mark.parametrize(
    ("setting", "scale"),
    [
        ("log 1e-4..1e-1", LogUniform(1e-4, 1e-1)),
        ("one-minus-log 0.9..0.999", OneMinusLogUniform(0.9, 0.999)),
        ("int 1..4", IntUniform(1, 4)),
        ("uniform 0..0.5", Uniform(0, 0.5)),
        ("relu,gelu", Categorical("relu", "gelu")),
        ([16, 32], Categorical(16, 32)),
        ({"scale": "int", "low": 1, "high": 2}, IntUniform(1, 2)),
    ],
)
def test_scales_as_text(setting: Any, scale: Any) -> None:
    assert space_of({"x": setting}) == ({"x": scale}, {})


def test_what_is_fixed_has_its_own_type() -> None:
    _, fixed = space_of({"x": "1,2", "a": "3", "b": "0.5", "c": "true", "d": "adam"})
    assert fixed == {"a": 3, "b": 0.5, "c": True, "d": "adam"}
    with pytest.raises(SpaceError, match='space "x": low must be below high'):
        space_of({"x": "log 2..1"})
