"""Room on the disk: a study without it is refused before anything is written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tunekit.config import Config
from tunekit.errors import ConfigError, StoppedError
from tunekit.sizes import state_bytes
from tunekit.states import to_bytes
from tunekit.study.command import main
from tunekit.trial import Recipe, Run
from tunekit.vectorized import VectorizedEngine
from tunekit.workers import Setup
from tunekit.workers.room import check_room

Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system of a size, really small."""
    place = tmp_path / "small"
    place.mkdir()
    made = []

    def make(size: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except OSError as error:
            pytest.skip(f"no file system can be mounted here: {error}")
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.decode()}")
        made.append(place)
        return place

    yield make
    for each in made:
        subprocess.run(["umount", str(each)], check=True)


SMALL = ["--n-trials", "4", "--max-epochs", "3", "--final-seeds", "1"]


def test_a_study_without_room_is_refused_and_leaves_nothing(
    disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    place = disk("256k")
    assert main([*SMALL, "--out", str(place)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {place}/digits must have 0.5 MB of room for its")
    assert line.endswith(", got 0.3 MB; make room or choose another --out")
    assert [*place.iterdir()] == []


def test_a_study_that_may_not_have_room_is_told_so_and_goes_on(
    disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    place = disk("3m")
    extra = ["--set", "width=16..128", "--set", "n_layers=2"]
    assert main([*SMALL, *extra, "--out", str(place)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{place}/digits has 3.1 MB of room, and networks as large as the" in shown
    # A finished one needs no room.
    (place / "filler").write_bytes(b"x" * (os.statvfs(place).f_bavail * 4096))
    assert main([*SMALL, *extra, "--out", str(place)]) == 0


def test_a_study_that_goes_on_without_room_is_stopped(disk: Disk) -> None:
    place = disk("256k")
    setup = Setup.of(Config(out=str(place), name="s"))
    with pytest.raises(ConfigError, match="choose another --out"):
        check_room(setup)
    (place / "s").mkdir()
    (place / "s" / "study.toml").write_text("")
    with pytest.raises(StoppedError, match="run the same command again"):
        check_room(setup)


def test_enough_room_is_no_word(tmp_path: Path) -> None:
    fixed = {"width": 16, "n_layers": 1}
    config = Config(out=str(tmp_path / "not" / "there"), n_trials=2, space=fixed)
    assert check_room(Setup.of(config)) == ""


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(n_layers=4, width=200)])
def test_a_state_is_as_large_as_expected(recipe: Recipe) -> None:
    x, y = torch.randn(40, 30).numpy(), torch.arange(40).numpy() % 3
    engine = VectorizedEngine(x, y, x, y, 3, "cpu", processes=1)
    run = Run(recipe=recipe, max_epochs=9, patience=9, seed=0, key="trial-0")
    engine._crew.here.open(run)
    engine._crew.here.advance(["trial-0"])
    size = len(to_bytes(engine._crew.here.save("trial-0")))
    assert size <= state_bytes(recipe, 30, 3) <= 1.3 * size + 4096
