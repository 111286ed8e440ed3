"""Ctrl-C and SIGTERM from the first moment to the last, with every way to train."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's"),
]
LONG = ["--n-trials", "500", "--max-epochs", "40", "--set", "width=16..32"]
SHORT = ["--n-trials", "2", "--max-epochs", "2", "--final-seeds", "2"]


def two_seconds() -> float:
    """What two seconds of a quiet machine are here and now.

    Python's own page of help takes a twentieth of a second there.
    """
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "json.tool", "--help"], check=True, capture_output=True
    )
    return max(2.0, 40 * (time.monotonic() - began))


def study(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tunekit.study", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    """Until it has said so."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(process.communicate())


def stopped(process: subprocess.Popen[str], signum: signal.Signals) -> str:
    """Stop it; what it says of that, once it has ended in time."""
    process.send_signal(signum)
    began = time.monotonic()
    _, err = process.communicate(timeout=240)
    seconds = time.monotonic() - began
    assert process.returncode == 128 + signum, err
    assert "Traceback" not in err
    assert seconds < two_seconds()
    return err


@pytest.mark.parametrize(
    "how", [[], ["--engine", "lightning"], ["--workers", "2"]], ids=" ".join
)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_in_the_middle_of_the_search(
    tmp_path: Path, how: list[str], signum: signal.Signals
) -> None:
    process = study(tmp_path, *LONG, *how)
    journal = tmp_path / "runs" / "digits" / "journal.log"
    while not (journal.exists() and '"intermediate_value"' in journal.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    said = stopped(process, signum)
    assert (
        said == "\nstopped; all is kept in runs/digits, and the same command goes on\n"
    )


@pytest.mark.parametrize("words", ["digits: 1,797 rows", "results in"])
def test_at_its_first_words(tmp_path: Path, words: str) -> None:
    process = study(tmp_path, *LONG)
    wait_for(process, words)
    assert stopped(process, signal.SIGINT).startswith("\nstopped")


@pytest.mark.parametrize("words", ["training the winner", "writing the report"])
def test_at_its_end_and_the_same_command_goes_on(tmp_path: Path, words: str) -> None:
    process = study(tmp_path, *SHORT)
    wait_for(process, words)
    assert stopped(process, signal.SIGTERM).startswith("\nstopped")
    again = study(tmp_path, *SHORT)
    out, err = again.communicate(timeout=240)
    assert (again.returncode, err) == (0, "")
    assert "best of 2 trials" in out


def test_while_it_is_imported(tmp_path: Path) -> None:
    """From when tunekit is found at all; what comes before is Python's own."""
    code = (
        "import os, signal, sys, runpy\n"
        "class Hit:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == sys.argv[1]:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Hit())\n"
    )
    (tmp_path / "sitecustomize.py").write_text(
        code.replace("sys.argv[1]", "os.environ['HIT']")
    )
    for name in ("tunekit.study.clock", "rich", "tunekit.study.__main__", "pandas"):
        process = subprocess.run(
            [sys.executable, "-m", "tunekit.study", "--dry-run"],
            cwd=tmp_path,
            env={
                **os.environ,
                "HIT": name,
                "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path[1:]]),
            },
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert process.returncode == 130, (name, process.stderr)
        assert process.stderr == "\nstopped\n"
