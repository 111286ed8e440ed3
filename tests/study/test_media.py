"""Disks that are full or cannot be written: real ones, of memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from tunekit.predict.__main__ import main as predict
from tunekit.report.__main__ import main as report
from tunekit.store import Store
from tunekit.study import main as study

ARGUMENTS = ["--name", "s", "--n-trials", "12", "--max-epochs", "8"]
ARGUMENTS += ["--final-seeds", "1", "--set", "width=16..32", "--set", "n_layers=1..2"]


def mount(*arguments: str) -> bool:
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    return done.returncode == 0


Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Makes a small disk."""
    place = tmp_path / "disk"
    place.mkdir()

    def of(size: str) -> Path:
        options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if os.name == "nt" or not shutil.which("mount") or not mount(*options):
            pytest.skip("no file system can be mounted here")
        return place

    yield of
    if place.is_mount():
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study on a disk with room."""
    out = tmp_path_factory.mktemp("whole")
    assert study(["--out", str(out), *ARGUMENTS]) == 0
    return out / "s"


def values(folder: Path) -> list[dict[int, float]]:
    trials = Store(folder).trials()
    assert not any(t.state == TrialState.RUNNING for t in trials)
    return [t.intermediate_values for t in trials]


def untimed(folder: Path) -> dict[str, Any]:
    told = json.loads((folder / "report.json").read_text())
    return {name: told[name] for name in ("best", "test", "model", "baselines")}


# Full before the search has ended, and at its end.
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_disk_that_fills_up_stops_the_study_and_room_lets_it_go_on(
    disk: Disk, whole: Path, share: float, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = sum(p.stat().st_size // 4096 + 1 for p in whole.rglob("*") if p.is_file())
    out = disk(f"{int(share * pages) * 4}k")
    command = ["--out", str(out), *ARGUMENTS]
    noticed = "No space left on device", "of room for its journal and one checkpoint"
    for i in range(2):  # once more while it is still full: seen before the start
        assert study(command) == 3
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert err.startswith(f"error: {out / 's'} must ")
        assert any(words in err for words in noticed[: i + 1])
        assert "run the same command again" in err
    assert (out / "s" / "journal.log").stat().st_size > 0
    assert mount("-o", "remount,size=40m", str(out))
    assert study(command) == 0
    assert values(out / "s") == values(whole)
    assert untimed(out / "s") == untimed(whole)
    assert not [*(out / "s").rglob(".*")]


def test_a_finished_study_that_cannot_be_written_is_shown_and_used(
    disk: Disk, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = disk("20m")
    folder = Path(shutil.copytree(whole, out / "s"))
    assert mount("-o", "remount,ro", str(out))
    command = ["--out", str(out), *ARGUMENTS]
    capsys.readouterr()

    assert study(command) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "best of 12 trials" in shown.out

    assert report([str(folder)]) == 2
    err = capsys.readouterr().err
    assert err == (
        f"error: {folder}: cannot be written (Read-only file system); "
        "name another folder with -o\n"
    )
    assert report([str(folder), "-o", str(tmp_path / "told")]) == 0
    assert untimed(tmp_path / "told") == untimed(whole)
    assert (tmp_path / "told" / "report.html").exists()

    rng = np.random.default_rng(0)
    np.savez(tmp_path / "rows.npz", X=rng.integers(0, 17, (5, 64)).astype(float))
    assert predict([str(folder), str(tmp_path / "rows.npz")]) == 0
    assert capsys.readouterr().out.count("\n") == 7

    for more, why in (
        (["--n-trials", "20"], "another budget needs that"),
        (["--final-seeds", "2"], "another budget needs that"),
    ):
        assert study([*command, *more]) == 3
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert f"{folder} must be writable, and is read-only ({why})" in err


@pytest.mark.parametrize("lost", ["final.json", "model/model.json"])
def test_what_cannot_be_made_again_there_is_named(
    disk: Disk, whole: Path, lost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = disk("20m")
    (Path(shutil.copytree(whole, out / "s")) / lost).write_bytes(b"{}")
    assert mount("-o", "remount,ro", str(out))
    capsys.readouterr()
    assert study(["--out", str(out), *ARGUMENTS]) == 3
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"({lost.split('/')[0]}" in err
    assert "is damaged)" in err


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (None, 2, "holds the trials of a study, but no study.toml; restore that"),
        (b"n_trials = ", 2, "study.toml must be readable TOML, got: Invalid value"),
        (b"\xff\xfe", 2, "study.toml must be readable TOML, got: 'utf-8' codec"),
    ],
)
def test_a_lost_study_toml_is_named(
    whole: Path,
    tmp_path: Path,
    content: bytes | None,
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = Path(shutil.copytree(whole, tmp_path / "s")) / "study.toml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    capsys.readouterr()
    assert study(["--out", str(tmp_path), *ARGUMENTS]) == code
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err
    assert "from a copy" in err
    assert "--name" in err
