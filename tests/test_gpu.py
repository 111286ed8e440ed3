"""What must hold on a GPU as on a CPU; skipped where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tunekit.data import load
from tunekit.fit import LightningEngine
from tunekit.trial import Recipe, Run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_a_run_follows_the_cpu_within_rounding() -> None:
    table = load("digits")
    run = Run(
        recipe=Recipe(dropout=0.3), max_epochs=2, patience=9, seed=0, key="trial-0"
    )
    curves = []
    for accelerator in ("cpu", "gpu"):
        engine = LightningEngine(
            table.x_train, table.y_train, table.x_valid, table.y_valid, 10, accelerator
        )
        curves.append(engine.train(run, lambda epoch, metrics: True).curve)
    on_cpu, on_gpu = curves
    assert on_gpu[0].val_loss == pytest.approx(on_cpu[0].val_loss, rel=1e-3)
    assert on_gpu[0].train_loss == pytest.approx(on_cpu[0].train_loss, rel=1e-3)


def test_a_study_begun_on_the_gpu_goes_on_on_the_cpu(tmp_path: Path) -> None:
    for accelerator, n_trials in (("gpu", "2"), ("cpu", "3")):
        command = [sys.executable, "-m", "tunekit.study", "--accelerator", accelerator]
        command += ["--n-trials", n_trials, "--max-epochs", "3", "--final-seeds", "1"]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    report = json.loads((tmp_path / "runs/digits/report.json").read_text())
    assert report["trials"]["total"] == 3
