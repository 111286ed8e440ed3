"""Predictions from the command line."""

import csv
import io
import os
import signal
import stat
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest

from tunekit.data import load
from tunekit.predict import Predictor
from tunekit.predict.__main__ import main

from .conftest import make_model, people_csv


def test_command_line_writes_predictions_in_order(study, rows, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert main([str(study), str(rows), "-o", str(out)]) == 0
    predictor = Predictor.load(study)
    header, *written = csv.reader(out.read_text("utf-8").splitlines())
    assert header == ["prediction", "probability_high", "probability_low"]
    assert [line[0] for line in written] == predictor.predict(rows).tolist()
    np.testing.assert_array_equal(
        np.array([line[1:] for line in written], dtype=float),
        predictor.predict_proba(rows),
    )
    assert capsys.readouterr().out == ""
    assert main([str(study), str(rows)]) == 0
    assert capsys.readouterr().out == out.read_text("utf-8")


def test_command_line_writes_labels_exactly(tmp_path, capsys):
    labels = ('a,"b"', "=1+1 é")
    rows = people_csv(tmp_path / "t.csv", labels=labels)
    make_model(tmp_path, load(rows, "income"))
    assert main([str(tmp_path), str(rows)]) == 0
    written = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(written)[1:] == [f"probability_{label}" for label in sorted(labels)]
    assert set(written["prediction"]) <= set(labels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({1: "none.csv"}, "no such file"),
        ({0: "none"}, "no such folder"),
        ({3: "."}, "got a folder"),
        ({3: "people.csv/out.csv"}, "cannot be written"),
        ({2: "--ouput"}, 'unknown option "ouput"; did you mean "output"?'),
        ({2: "--zzz"}, 'unknown option "zzz"'),
        ({0: "n" * 300}, "File name too long"),
        ({1: "n" * 300 + ".csv"}, "File name too long"),
        ({3: "n" * 300}, "File name too long"),
        ({1: "-o", 2: "out.csv", 3: "--output"}, "expected one argument"),
    ],
)
def test_command_line_refuses_in_one_line(
    study, rows, monkeypatch, capsys, change, words
):
    monkeypatch.chdir(rows.parent)
    before = sorted(path.name for path in rows.parent.iterdir())
    arguments = ["study", "people.csv", "-o", "out.csv"]
    for place, word in change.items():
        arguments[place] = word
    assert main(arguments) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.count("\n") == 1
    assert words in caught.err
    assert sorted(path.name for path in rows.parent.iterdir()) == before


def test_text_where_numbers_were_leaves_no_output(study, rows, tmp_path, capsys):
    pd.read_csv(rows).assign(age="abc").to_csv(tmp_path / "new.csv", index=False)
    out = tmp_path / "out.csv"
    assert main([str(study), str(tmp_path / "new.csv"), "-o", str(out)]) == 2
    assert 'column "age": numbers expected, got "abc"' in capsys.readouterr().err
    assert not out.exists()


posix = pytest.mark.skipif(os.name == "nt", reason="POSIX files")


@posix
def test_a_link_is_followed_and_stays(study, rows, tmp_path):
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    for content in (None, "old"):
        if content is not None:
            target.write_text(content)
        link.unlink(missing_ok=True)
        link.symlink_to(target.name)
        assert main([str(study), str(rows), "-o", str(link)]) == 0
        assert link.is_symlink()
        assert not target.is_symlink()
        assert len(target.read_text("utf-8").splitlines()) == 61


@posix
@pytest.mark.parametrize(("mask", "wanted"), [(0o027, 0o640), (0o077, 0o600)])
def test_what_is_written_has_the_umasks_permissions(
    study, rows, tmp_path, mask, wanted
):
    before = os.umask(mask)
    try:
        assert main([str(study), str(rows), "-o", str(tmp_path / "out.csv")]) == 0
        make_model(tmp_path / "other", load(rows, "income"))
    finally:
        os.umask(before)
    model = tmp_path / "other" / "model"
    for file in (tmp_path / "out.csv", *model.iterdir()):
        assert stat.S_IMODE(file.stat().st_mode) == wanted
    assert stat.S_IMODE(model.stat().st_mode) == 0o777 & ~mask


@posix
def test_a_pipe_is_written_into(study, rows, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text("utf-8")))
    reader.start()
    assert main([str(study), str(rows), "-o", str(pipe)]) == 0
    reader.join(30)
    assert len(heard[0].splitlines()) == 61
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="no /dev/stdout")  # noqa: PTH110
def test_standard_output_by_its_name_keeps_what_stands_there(study, rows, tmp_path):
    command = [sys.executable, "-m", "tunekit.predict", str(study), str(rows)]
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("a") as file:
        subprocess.run([*command, "-o", "/dev/stdout"], stdout=file, check=True)
    written = log.read_text("utf-8").splitlines()
    assert (len(written), written[0]) == (62, "before")
    done = subprocess.run([*command, "-o", "/dev/stdout"], capture_output=True)
    assert done.stdout.decode().splitlines() == written[1:]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("output", [[], ["-o", "/dev/full"]])
def test_a_full_disk_is_told_in_one_line(study, rows, output):
    command = [sys.executable, "-m", "tunekit.predict", str(study), str(rows)]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [*command, *output], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot be written (No space left on device)" in done.stderr


def test_labels_are_utf8_whatever_the_terminal(tmp_path):
    rows = people_csv(tmp_path / "t.csv", labels=("да", "нет"))
    make_model(tmp_path, load(rows, "income"))
    command = [sys.executable, "-m", "tunekit.predict", str(tmp_path), str(rows)]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    shown = subprocess.run(command, capture_output=True, env=environment, check=True)
    out = tmp_path / "out.csv"
    subprocess.run([*command, "-o", str(out)], env=environment, check=True)
    assert "probability_нет" in out.read_text("utf-8")
    assert shown.stdout == out.read_bytes()
    done = subprocess.run(
        [*command[:-1], "нет.csv"], capture_output=True, env=environment, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert rb"\u043d\u0435\u0442.csv: no such file" in done.stderr


def test_text_from_a_file_cannot_reach_the_terminal_raw(study, tmp_path, capsys):
    table = tmp_path / "evil.csv"
    table.write_text('"\x1b[2Ja\nb",c\n1,2\n3,4\n', "utf-8")
    assert main([str(study), str(table)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "\x1b" not in told
    assert r"\x1b[2Ja\nb" in told


@posix
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (15, 143)])
def test_an_interrupt_ends_it_without_a_traceback(study, rows, tmp_path, signum, code):
    # Nobody reads the pipe: the command waits in the middle of its writing.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    python = (
        "import sys, tunekit.predict.__main__ as m\n"
        "write = m._write_output\n"
        "def told(*arguments):\n"
        "    print('writing', flush=True)\n"
        "    write(*arguments)\n"
        "m._write_output = told\n"
        "sys.exit(m.main(sys.argv[1:]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", python, str(study), str(rows), "-o", str(pipe)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signum)
        try:
            _, told = process.communicate(timeout=240)
        finally:
            process.kill()
    assert process.returncode == code
    assert told == "\nstopped\n"


@pytest.mark.parametrize("unwanted", ["torch", "pandas"])
def test_help_is_quick_and_clean(unwanted):
    code = (
        "import runpy, sys; sys.argv = ['predict', '--help']\n"
        "try: runpy.run_module('tunekit.predict', run_name='__main__')\n"
        f"finally: assert {unwanted!r} not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--output FILE" in done.stdout


def test_as_a_program(study, rows):
    command = [sys.executable, "-W", "error", "-m", "tunekit.predict"]
    done = subprocess.run(
        [*command, str(study), str(rows)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 61
    done = subprocess.run([*command, str(study)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the following arguments are required: rows")
