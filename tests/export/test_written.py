"""What is written trains the saved model again, in programs of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from forked import python
from safetensors.torch import load_file

from tunekit import Result
from tunekit.export import read, write
from tunekit.export.lightning import _yaml

OURS = "pytorch_lightning"
OTHER = "lightning.pytorch"


def ran(folder: Path, *words: str, package: str = OURS) -> str:
    """What a program printed."""
    if package == OURS:
        done = python(*words, cwd=folder, warn="default")
    else:
        # A fork has imported ours, and modules come from that then.
        done = subprocess.run(
            [sys.executable, *words], cwd=folder, capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_best_epoch_is_one_that_only_the_horizon_leads_to(study: Result) -> None:
    winner = read(study.folder)
    assert winner.epochs < winner.horizon
    assert winner.recipe.schedule == "cosine"


def test_the_script_comes_to_the_studys_validation_and_test_loss(
    study: Result, tmp_path: Path
) -> None:
    winner = read(study.folder)
    (script,) = write(study.folder, tmp_path, ["python"])
    assert script.read_text("utf-8") == study.as_python()
    told = ran(tmp_path, "train.py")
    found = re.search(r"validation loss: (\S+)", told)
    assert found is not None
    assert float(found[1]) == pytest.approx(winner.val_loss, rel=1e-4)
    found = re.search(r"test_loss\W+(\d+\.\d+)", told)
    assert found is not None
    assert float(found[1]) == pytest.approx(winner.test_loss, rel=1e-4)


@pytest.mark.parametrize("package", [OURS, OTHER])
def test_lightnings_command_line_trains_the_saved_weights(
    study: Result, tmp_path: Path, package: str
) -> None:
    pytest.importorskip("jsonargparse")
    winner = read(study.folder)
    _, program = write(study.folder, tmp_path, ["lightning"])
    text = program.read_text("utf-8")
    assert f"from {OTHER}.cli import" in text
    program.write_text(
        text.replace(OURS, package).replace(
            "    LightningCLI(LitMLP, TableData)",
            "    made = LightningCLI(LitMLP, TableData)\n"
            "    print(float(made.trainer.callback_metrics['val_loss']))\n"
            "    from safetensors.torch import save_file\n"
            "    save_file(made.model.net.state_dict(), 'net.safetensors')",
        ),
        "utf-8",
    )
    told = ran(tmp_path, "cli.py", "fit", "--config", "config.yaml", package=package)
    assert float(told.splitlines()[-1]) == pytest.approx(winner.val_loss, rel=1e-4)
    saved = load_file(study.folder / "model" / "model.safetensors")
    found = load_file(tmp_path / "net.safetensors")
    assert set(saved) == set(found)
    for name, tensor in saved.items():
        assert found[name].allclose(tensor, rtol=1e-3, atol=1e-4), name
    (config,) = tmp_path.glob("lightning_logs/version_0/config.yaml")
    assert config.exists()


def test_yaml_reads_back_what_was_meant(study: Result, tmp_path: Path) -> None:
    path, _ = write(study.folder, tmp_path, ["lightning"])
    assert yaml.safe_load(path.read_text("utf-8")) == study.as_config()
    assert "1.0e-05" in path.read_text("utf-8")


@pytest.mark.parametrize(
    "value",
    [
        *(1e-05, 2.5e-10, 1e16, 1e22, 0.1, 3, -1, True, False, None, [], [1, "a", 2.0]),
        *("", "null", "1", "1e-5", "a: b # c", "-", "\u00e9\U0001f600", "{x}", "~"),
        *('"', "\\", "a\nb\t\r\0\x1b\x7f\x85\u2028\ufeff", "'", "%", "!!python/none"),
    ],
)
def test_any_plain_value_is_yaml(value: Any) -> None:
    text = _yaml(value)
    assert "\n" not in text
    found = yaml.safe_load(f"key: {text}  # a note")["key"]
    assert found == value
    assert type(found) is type(value)


def test_a_folders_name_stays_in_its_comment(study: Result, tmp_path: Path) -> None:
    folder = tmp_path / "a\nimport nothing_of_that_name\n#"
    folder.symlink_to(study.folder, target_is_directory=True)
    config, program, script = write(folder, tmp_path)
    assert yaml.safe_load(config.read_text("utf-8")) == study.as_config()
    for path in (program, script):
        compile(path.read_text("utf-8"), str(path), "exec")
        assert "\nimport nothing" not in path.read_text("utf-8")
