"""The command that makes a report again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from forked import python

from tunekit.errors import ConfigError, DataError
from tunekit.report import build
from tunekit.report.__main__ import main

from .conftest import falling, make_study


def test_the_command_makes_both_files_again(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "toy", falling(2))
    done = python("-m", "tunekit.report", str(folder), cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 trials" in done.stdout
    assert (folder / "report.json").exists()
    assert (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("study.toml", None),
        ("split.json", None),
        ("journal.log", None),
        ("journal.log", ""),
        ("journal.log", '{"op_code": 0}\n'),
        ("journal.log", "not json\nat all\n"),
        ("journal.log", '"text"\n'),
        ("journal.log", '{"op_code": 99, "worker_id": "x"}\n'),
        ("study.toml", "torn = "),
        ("split.json", '{"torn": '),
        ("split.json", "[1]"),
        ("final.json", "\x00\x01"),
        ("final.json", "{}"),
        ("final.json", '{"number": 0}'),
        ("study.toml", "[space]\nlr = { scale = 'cubic', low = 1, high = 2 }\n"),
        ("study.toml", "[space]\nlr = { low = 1 }\n"),
    ],
)
def test_what_is_no_study_gets_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str | None,
) -> None:
    folder = make_study(tmp_path / "toy", falling(2))
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content, encoding="utf-8")
    before = {path.name for path in folder.iterdir()}
    assert main([str(folder)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert told.err.startswith("error: ")
    assert name in told.err
    assert {path.name for path in folder.iterdir()} == before


def test_a_folder_that_is_not_there_gets_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "absent")]) == 2
    assert "is no study folder" in capsys.readouterr().err
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: folder"),
        (["n" * 300], "File name too long"),
        (["a", "--fodler"], 'unknown option "fodler"'),
        (["a", "b"], 'unexpected argument "b"'),
        (["a\x1b[2J\nb"], r"a\x1b[2J\nb is no study folder"),
    ],
)
def test_the_command_refuses_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert "\x1b" not in told.err
    assert words in told.err


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_report_that_cannot_be_written_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = make_study(tmp_path / "toy", falling(2))

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main([str(folder)]) == 2
    told = capsys.readouterr().err
    why = "cannot be written (No space left on device); name another folder with -o"
    assert told == f"error: {folder}: {why}\n"


def test_the_commands_words_fit_any_terminal(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "данные", falling(2))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tunekit.report", str(folder)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u0434" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_ends_the_command_without_a_traceback(tmp_path: Path) -> None:
    # A file is a pipe that nobody writes into: the command waits for it.
    folder = make_study(tmp_path / "toy", falling(1))
    (folder / "split.json").unlink()
    os.mkfifo(folder / "split.json")
    process = subprocess.Popen(
        [sys.executable, "-m", "tunekit.report", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # Opening for writing returns once the command reads, thus listens to signals.
    with process, (folder / "split.json").open("w"):
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=240)
    assert (process.returncode, out, told) == (130, "", "\nstopped\n")


def test_errors_are_of_the_two_kinds(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        build(tmp_path)
    folder = make_study(tmp_path / "toy", falling(1))
    (folder / "split.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError):
        build(folder)
