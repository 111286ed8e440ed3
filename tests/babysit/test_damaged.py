"""Files that were damaged, and a disk that has no room."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tunekit.babysit.folder import BEFORE, COURSE, HISTORY, SETTINGS, Folder

from .conftest import Call, Undisturbed, came_to, course, one_line, rounds

HALF, WHOLE = ["--budget-epochs", "14"], ["--budget-epochs", "22"]
MORE = ["--interval", "3"]


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flipped, cut, emptied])
def test_a_damaged_course_goes_on_from_the_round_before(
    call: Call,
    runs: Path,
    undisturbed: Undisturbed,
    damage: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(*MORE, *HALF) == 0
    capsys.readouterr()
    last = rounds(runs / "model")[-1]
    damage(runs / "model" / COURSE)
    good = (runs / "model" / BEFORE).read_bytes()
    assert call(*MORE, *HALF) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("course.json is damaged") == 1
    assert rounds(runs / "model")[-1] == last
    # What is damaged has not taken the place of what is not.
    assert (runs / "model" / BEFORE).read_bytes() == good
    assert call(*MORE, *WHOLE) == 0
    wanted = undisturbed([*MORE, *HALF], [*MORE, *WHOLE])
    assert came_to(runs / "model") == came_to(wanted)


def test_without_any_course_that_can_be_read_it_is_refused(
    call: Call, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*MORE, *HALF) == 0
    kept = {p.name for p in (runs / "model" / "checkpoints").iterdir()}
    capsys.readouterr()
    for name in (COURSE, BEFORE):
        flipped(runs / "model" / name)
    assert call(*MORE, *WHOLE) == 2
    assert "restore them from a copy" in one_line(capsys)
    assert {p.name for p in (runs / "model" / "checkpoints").iterdir()} == kept


def test_a_history_without_a_course_is_no_new_beginning(
    call: Call, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*MORE, *HALF) == 0
    folder = runs / "model"
    before, kept = came_to(folder), (folder / HISTORY).read_bytes()
    courses = {name: (folder / name).read_bytes() for name in (COURSE, BEFORE)}
    for name in courses:
        (folder / name).unlink()
    capsys.readouterr()
    assert call(*MORE, *WHOLE) == 2
    assert f"must hold {COURSE}" in one_line(capsys)
    assert (folder / HISTORY).read_bytes() == kept
    for name, data in courses.items():
        (folder / name).write_bytes(data)
    assert call(*MORE, *HALF) == 0
    assert came_to(folder) == before


@pytest.mark.parametrize("name", [SETTINGS, "split.json", HISTORY])
def test_what_nobody_can_make_up_for_is_to_be_restored(
    call: Call, runs: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*MORE, *HALF) == 0
    before = came_to(runs / "model")
    capsys.readouterr()
    path = runs / "model" / name
    kept = path.read_bytes()
    lines = kept.splitlines(keepends=True)
    path.write_bytes(b"".join([b"{" + lines[0], *lines[1:]]))
    assert call(*MORE, *WHOLE) == 2
    assert "restore it from a copy" in one_line(capsys)
    path.write_bytes(kept)
    assert call(*MORE, *HALF) == 0
    assert came_to(runs / "model") == before


def test_a_history_that_does_not_tell_of_the_newest_is_to_be_restored_at_once(
    call: Call, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*MORE, *HALF) == 0
    capsys.readouterr()
    path, newest = runs / "model" / HISTORY, course(runs / "model")["line"][-1]["name"]
    lines = path.read_bytes().splitlines(keepends=True)
    made = f'"to": "{newest}"'.encode()
    path.write_bytes(b"".join(b"\xff" + x[1:] if made in x else x for x in lines))
    assert call(*MORE, *WHOLE) == 2
    assert f"how checkpoint {newest} came to be" in one_line(capsys)


@pytest.mark.parametrize("which", ["here", "best", "all"])
def test_a_damaged_checkpoint_costs_what_came_after_it(
    call: Call, runs: Path, which: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*MORE, *HALF) == 0
    found = course(runs / "model")
    names = {
        "here": [found["line"][-1]["name"]],
        "best": [found["best_at"]],
        "all": [p.stem for p in (runs / "model" / "checkpoints").iterdir()],
    }[which]
    for name in names:
        flipped(runs / "model" / "checkpoints" / f"{name}.safetensors")
    capsys.readouterr()
    assert call(*MORE, *WHOLE) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("checkpoints are gone or damaged") == 1
    after = course(runs / "model")
    assert after["spent"] == 22
    assert after["doing"] == "over"
    assert Folder(runs / "model").lost({after["best_at"]}) == set()
    assert call(*MORE, *WHOLE) == 0
    assert "are gone or damaged" not in capsys.readouterr().out


@pytest.mark.parametrize("room", [1, 2, 7, 12])
def test_a_full_disk_is_one_line_and_nothing_is_lost(
    call: Call,
    runs: Path,
    room: int,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wanted = undisturbed([*MORE, *HALF])
    capsys.readouterr()
    real, left = os.fsync, [room]

    def fsync(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(handle)

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fsync)
        # Before there is a model, it is the folder that cannot be made.
        assert call(*MORE, *HALF) == (3 if room > 1 else 2)
    line = one_line(capsys)
    assert "No space left on device" in line
    assert str(runs / "model") in line
    assert call(*MORE, *HALF) == 0
    assert came_to(runs / "model") == came_to(wanted)


def test_a_place_that_cannot_be_written_is_one_line(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    assert call(*HALF) == 2
    assert "must be a folder that can be written" in one_line(capsys)


def test_curves_that_cannot_be_written_stop_nothing(
    call: Call, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--budget-epochs", "3", *MORE) == 0
    for path in sorted((runs / "model" / "tb").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (runs / "model" / "tb").rmdir()
    (runs / "model" / "tb").write_text("a file where the folder should be")
    capsys.readouterr()
    assert call(*MORE, *HALF) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "TensorBoard files stop here" in out
    report = json.loads((runs / "model" / "report.json").read_text())
    assert report["epochs_trained"] == 14
