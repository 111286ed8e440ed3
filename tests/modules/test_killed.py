"""A search of modules that is killed, and begun again by the same script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from forked import ONE_THREAD, python

from tunekit.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")

CODE = """
import os, signal, sys
from pathlib import Path
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset
import tunekit

out, *kills = sys.argv[1:]
seen = Path(out).with_suffix(".seen")

class Net(pl.LightningModule):
    def __init__(self, lr):
        super().__init__()
        first, last = torch.nn.Linear(3, 4), torch.nn.Linear(4, 1)
        self.net = torch.nn.Sequential(first, torch.nn.Dropout(0.4), last)
        self.lr = lr
    def training_step(self, batch, i):
        return (self.net(batch[0])[:, 0] - batch[1]).square().mean()
    def validation_step(self, batch, i):
        self.log("val_loss", (self.net(batch[0])[:, 0] - batch[1]).square().mean())
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.lr)
    def on_train_epoch_start(self):
        # Killed in the middle of an epoch, of which nothing is recorded.
        epochs = int(seen.read_text()) if seen.exists() else 0
        seen.write_text(str(epochs + 1))
        if str(epochs) in kills:
            os.kill(os.getpid(), signal.SIGKILL)

x = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
rows = TensorDataset(x, x.sum(1))
data = DataLoader(rows, batch_size=8, shuffle=True), DataLoader(rows, batch_size=8)
tunekit.tune(
    lambda params: Net(params["lr"]), {"lr": tunekit.LogUniform(1e-3, 1.0)}, data=data,
    max_epochs=9, budget_epochs=40, out=out,
)
"""


def begun_anew(out: Path) -> int:
    """Not forked, so that its sets have an order of their own."""
    words = [sys.executable, "-c", CODE, str(out)]
    # As many threads as those that are forked: more sum up otherwise.
    env = {**os.environ, **ONE_THREAD}
    found = subprocess.run(words, check=False, capture_output=True, env=env)
    return found.returncode


def run(out: Path, *kills: int) -> int:
    return python("-c", CODE, str(out), *map(str, kills), cwd=out.parent).returncode


def values(out: Path) -> list[tuple[int, str, dict[int, float]]]:
    trials = Store(out / "study").trials()
    return [(t.number, t.state.name, t.intermediate_values) for t in trials]


def test_killed_in_the_middle_it_ends_as_if_never_killed(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert begun_anew(whole) == 0
    # In one that was promoted.
    assert [run(killed, 27) for _ in range(2)] == [-9, 0]
    assert values(killed) == values(whole)
