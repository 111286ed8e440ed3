"""A schedule that was found, trained once more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunekit.babysit import main

from .conftest import Call, Undisturbed, came_to, one_line

OPTIONS = ["--budget-epochs", "40", "--interval", "3"]


@pytest.fixture
def watched(undisturbed: Undisturbed) -> Path:
    return undisturbed(OPTIONS)


def replay(watched: Path, *more: str) -> int:
    return main(["--replay", str(watched), *more])


def model(folder: Path) -> tuple[bytes, dict[str, Any]]:
    weights = (folder / "model" / "model.safetensors").read_bytes()
    return weights, json.loads((folder / "model" / "model.json").read_text())["info"]


def test_with_its_own_seed_it_comes_to_the_same_to_the_last_bit(
    watched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = came_to(watched)
    assert replay(watched, "--out", str(tmp_path)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    again = tmp_path / "model-replay-0"
    assert model(again)[0] == model(watched)[0]
    best = before[3]["best"]["value"]
    assert model(again)[1]["val_loss"] == model(watched)[1]["val_loss"] == best
    assert f"lowest validation loss {best:.4f}" in out
    assert came_to(watched) == before


def test_another_seed_is_another_model_by_the_same_schedule(
    watched: Path, tmp_path: Path
) -> None:
    place = ["--out", str(tmp_path), "--name", "other"]
    assert replay(watched, "--seed", "7", *place) == 0
    assert model(tmp_path / "other")[0] != model(watched)[0]
    assert model(tmp_path / "other")[1]["val_loss"] < 1.0


def test_a_schedule_is_replayed_while_its_model_is_trained_on(
    watched: Path, tmp_path: Path
) -> None:
    """A line of a round that is being written stays."""
    path = watched / "history.jsonl"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole + b'{"round": 999, "branches": []}\n')
        assert replay(watched, "--out", str(tmp_path)) == 0
        assert path.read_bytes().endswith(b'{"round": 999, "branches": []}\n')
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--budget-epochs", "9"], "--replay takes --seed, --out and --name"),
        (["--seed", "x"], "seed must be"),
        (["--name", "../x"], "name must be"),
    ],
)
def test_what_a_replay_does_not_take_is_one_line(
    watched: Path, more: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(watched, *more) == 2
    assert told in one_line(capsys)


def test_a_place_that_is_taken_is_refused(
    watched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model-replay-0").mkdir()
    assert replay(watched, "--out", str(tmp_path)) == 2
    assert "must be new, got a folder" in one_line(capsys)
    assert [*(tmp_path / "model-replay-0").iterdir()] == []


def test_what_is_no_babysat_model_is_refused(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(tmp_path) == 2
    assert "must be the folder of a babysat model" in one_line(capsys)
    (tmp_path / "babysit.toml").write_text('monitor = "val_loss"\n')
    assert replay(tmp_path) == 3
    assert "first finite loss" in one_line(capsys)
