"""A schedule that was found, trained once more."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tunekit.babysit import halfway, main, rounds, seldom
from tunekit.babysit.halfway import Halfway

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
    place = tmp_path / "model-replay-0"
    place.mkdir()
    (place / "mine.txt").write_text("mine")
    assert replay(watched, "--out", str(tmp_path)) == 2
    assert "must be new or a replay, got a folder with other" in one_line(capsys)
    assert [each.name for each in place.iterdir()] == ["mine.txt"]
    assert replay(watched, "--out", str(watched.parent), "--name", "model") == 2
    assert "must be new or a replay" in one_line(capsys)
    assert replay(watched, "--out", str(place), "--name", "mine.txt") == 2
    assert "must be new, got a file" in one_line(capsys)


def test_one_of_another_model_or_seed_is_refused(
    watched: Path, call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--out", str(tmp_path), "--name", "again"]
    assert replay(watched, *place) == 0
    before = model(tmp_path / "again")
    assert call("--budget-epochs", "9", "--interval", "2") == 0
    capsys.readouterr()
    for other in ([str(tmp_path / "runs" / "model")], [str(watched), "--seed", "3"]):
        assert main(["--replay", *other, *place]) == 2
        assert "got one of another model or seed" in one_line(capsys)
    (tmp_path / "again" / "replay.json").write_text("{}")
    assert replay(watched, *place) == 2
    assert "must be as it was written, and is damaged" in one_line(capsys)
    assert model(tmp_path / "again") == before


def test_a_replay_that_has_ended_tells_its_result_again(
    watched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(watched, "--out", str(tmp_path)) == 0
    told = capsys.readouterr().out.splitlines()
    place = tmp_path / "model-replay-0"
    written = (place / "model" / "model.safetensors").stat().st_mtime_ns
    assert replay(watched, "--out", str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines() == told[-1:]
    assert (place / "model" / "model.safetensors").stat().st_mtime_ns == written
    assert {each.name for each in place.iterdir()} == {"model", "replay.json", ".lock"}
    shutil.rmtree(place / "model")
    assert replay(watched, "--out", str(tmp_path)) == 0
    assert "its model is gone: begins anew" in capsys.readouterr().out
    assert model(place)[0] == model(watched)[0]


def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is written now and then is written at once."""
    monkeypatch.setattr(rounds, "_KEEP_SECONDS", 0.0)
    monkeypatch.setattr(halfway, "_KEEP_SECONDS", 0.0)
    monkeypatch.setattr(seldom, "_SHARE", math.inf)


class Killed(BaseException):
    """The process is gone."""


def test_gone_at_any_write_it_comes_to_the_same_bits(
    watched: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    often(monkeypatch)
    rng, real, left, kills = random.Random(1), os.fsync, [0], 0

    def fsync(handle: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    for least in range(100):
        left[0] = rng.randint(1, 3 + 3 * least)
        try:
            assert replay(watched, "--out", str(tmp_path)) == 0
        except Killed:
            kills += 1
        else:
            break
    assert kills >= 3
    assert "going on after" in capsys.readouterr().out
    place = tmp_path / "model-replay-0"
    assert model(place) == model(watched)
    assert {each.name for each in place.iterdir()} == {"model", "replay.json", ".lock"}


def test_a_damaged_checkpoint_is_told_of_and_costs_what_was_trained(
    watched: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    often(monkeypatch)
    place = tmp_path / "model-replay-0"

    def killed(*given: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Halfway, "end", killed)
        with pytest.raises(Killed):
            replay(watched, "--out", str(tmp_path))
    (path,) = (place / "checkpoints").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert replay(watched, "--out", str(tmp_path)) == 0
    assert "its checkpoint is damaged: begins anew" in capsys.readouterr().out
    assert model(place) == model(watched)


def test_after_ctrl_c_the_same_command_goes_on(
    watched: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    often(monkeypatch)
    monkeypatch.setattr(seldom, "_SELDOM_SECONDS", 0.0)
    kept, real, place = [0], Halfway.keep, tmp_path / "model-replay-0"

    def keep(self: Halfway) -> None:
        real(self)
        kept[0] += 1
        if kept[0] == 5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Halfway, "keep", keep)
    assert replay(watched, "--out", str(tmp_path)) == 130
    err = capsys.readouterr().err.strip()
    assert err == f"stopped; all is kept in {place}, and the same command goes on"
    assert not (place / "model").exists()
    assert replay(watched, "--out", str(tmp_path)) == 0
    first, second, *lines, _ = capsys.readouterr().out.splitlines()
    assert first.endswith(f"epochs by the schedule of {watched}, seed 0")
    whole, done = int(first.split()[0]), int(second.split()[-2])
    assert second == f"going on after {done} epochs"
    assert [line.split(",")[0] for line in lines] == [
        f"{epoch} of {whole} epochs" for epoch in range(done + 1, whole + 1)
    ]
    assert ", now 0." in lines[-1]
    assert model(place) == model(watched)


def test_a_replay_goes_on_by_the_schedule_that_it_began_with(
    call: Call,
    runs: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert call("--budget-epochs", "9") == 0
    before = model(runs / "model")
    with monkeypatch.context() as patched:
        often(patched)
        patched.setattr(Halfway, "end", None)
        with pytest.raises(TypeError):
            replay(runs / "model")
    assert call("--budget-epochs", "20") == 0
    assert model(runs / "model") != before
    capsys.readouterr()
    assert replay(runs / "model") == 0
    assert "has come further since" in capsys.readouterr().out
    assert model(runs / "model-replay-0") == before


def test_what_is_no_babysat_model_is_refused(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(tmp_path) == 2
    assert "must be the folder of a babysat model" in one_line(capsys)
    (tmp_path / "babysit.toml").write_text('monitor = "val_loss"\n')
    assert replay(tmp_path) == 3
    assert "first finite loss" in one_line(capsys)
