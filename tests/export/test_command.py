"""The command that writes a winner for other people's projects."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tunekit import Result
from tunekit.export import FORMATS
from tunekit.export.__main__ import main

FILES = ["config.yaml", "cli.py", "train.py"]


@pytest.fixture
def copy(study: Result, tmp_path: Path) -> Path:
    """The study's folder, to be written into."""
    folder = tmp_path / "noisy"
    shutil.copytree(study.folder, folder)
    return folder


def test_the_command_writes_into_the_studys_folder(copy: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tunekit.export", str(copy)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    wanted = [copy / "export" / name for name in FILES]
    assert done.stdout.splitlines() == [str(path) for path in wanted]
    assert all(path.is_file() for path in wanted)


def test_neither_torch_nor_lightning_nor_a_yaml_library_is_needed(copy: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(['torch', 'yaml', 'jsonargparse', 'optuna'])\n"
        "from tunekit.export.__main__ import main\n"
        f"sys.exit(main([{str(copy)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--format", "python"], ["train.py"]),
        (["--format", "lightning"], ["config.yaml", "cli.py"]),
        (["--format", "python,lightning"], FILES),
    ],
)
def test_formats_are_chosen(
    study: Result, tmp_path: Path, arguments: list[str], names: list[str]
) -> None:
    assert main([str(study.folder), "-o", str(tmp_path / "new"), *arguments]) == 0
    found = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert found == sorted(names)


def test_what_a_person_has_changed_is_not_overwritten(
    study: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(study.folder), "-o", str(tmp_path)]
    assert main(command) == 0
    assert main(command) == 0
    capsys.readouterr()
    mine = tmp_path / "train.py"
    mine.write_text("print('mine')\n", "utf-8")
    (tmp_path / "cli.py").unlink()
    assert main(command) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert f"error: {mine} must not be there" in told.err
    assert mine.read_text("utf-8") == "print('mine')\n"
    assert not (tmp_path / "cli.py").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: folder"),
        (["absent"], "absent is no study folder: it lacks study.toml"),
        (["rows.csv"], "rows.csv is no study folder"),
        (["noisy", "--format", "pyhton"], 'got "pyhton"; did you mean "python"?'),
        (["noisy", "--format", "python,"], 'one of lightning, python, got ""'),
        (["noisy", "--fromat", "python"], 'unknown option "fromat"; did you mean'),
        (["noisy", "-o", "rows.csv"], "rows.csv: cannot be written"),
        (["noisy", "more"], 'unexpected argument "more"'),
        (["n" * 300], "File name too long"),
        (["noisy", "-o", "n" * 300], "File name too long"),
        (["a\x1b[2J\nb"], r"a\x1b[2J\nb is no study folder"),
    ],
)
def test_the_command_refuses_in_one_line(
    copy: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(copy.parent)
    Path("rows.csv").write_text("a,b\n1,2\n", "utf-8")
    before = sorted(path.name for path in copy.parent.rglob("*"))
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert "\x1b" not in told.err
    assert words in told.err
    assert sorted(path.name for path in copy.parent.rglob("*")) == before


def test_a_study_without_a_winner_is_told_what_to_do(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(copy / "model")
    assert main([str(copy)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "the study has no model yet, it is unfinished; run the same" in told


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (15, 143)])
def test_an_interrupt_ends_the_command_without_a_traceback(
    copy: Path, signum: int, code: int
) -> None:
    # A file is a pipe that nobody writes into: the command waits for it.
    (copy / "study.toml").unlink()
    os.mkfifo(copy / "study.toml")
    process = subprocess.Popen(
        [sys.executable, "-m", "tunekit.export", str(copy)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # Opening for writing returns once the command reads, thus listens to signals.
    with process, (copy / "study.toml").open("w"):
        process.send_signal(signum)
        out, told = process.communicate(timeout=240)
    assert (process.returncode, out, told) == (code, "", "\nstopped\n")
    assert not (copy / "export").exists()


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_full_disk_is_one_line(
    copy: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main([str(copy)]) == 2
    told = capsys.readouterr().err
    why = "cannot be written (No space left on device); name another folder with -o"
    assert told == f"error: {copy / 'export'}: {why}\n"


def test_every_format_is_on_the_help_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    page = capsys.readouterr().out
    for name in FORMATS:
        assert f"\n  {name} " in page
