"""Half-written files of killed processes go with the next opening; no others."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tunekit.files import UNFINISHED
from tunekit.process import is_gone, signature
from tunekit.store import Store
from tunekit.store.litter import sweep

from .conftest import posix, said, start

WRITES = """
from tunekit.files import write_bytes
import tunekit.files
def stay(handle):
    print(os.getpid(), flush=True)
    sys.stdin.read()
tunekit.files.os.fsync = stay
write_bytes(folder / "checkpoints" / "x", b"half")
"""


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.name.startswith("."))


@posix
def test_what_a_living_process_writes_stays_until_it_is_killed(folder: Path) -> None:
    process = start(folder, WRITES)
    (pid,) = said(process)
    (name,) = names(folder)
    assert pid in name
    Store(folder)
    assert names(folder) == [name]
    process.kill()
    process.communicate()
    Store(folder)
    assert names(folder) == []


def gone() -> str:
    code = "from tunekit.process import signature; print(signature())"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


@posix
def test_models_half_saved_go_once_there_is_one(folder: Path) -> None:
    left = gone()
    for name in (f".model-{left}", f".model-{left}-old", f".model-{signature()}"):
        (folder / name).mkdir()
        (folder / name / "weights").write_text("x")
    before = names(folder)
    sweep(folder)
    assert names(folder) == before
    (folder / "model").mkdir()
    sweep(folder)
    assert names(folder) == [n for n in before if left not in n]


def test_unknown_writers_are_believed_gone_after_a_day(folder: Path) -> None:
    others = [f"{UNFINISHED}{n}" for n in ("0123456789abcdef", "00000000-1-ab", "")]
    for name in others:
        (folder / name).write_text("x")
    (folder / "notes.txt").write_text("mine")
    Store(folder)
    assert names(folder) == sorted(others)
    then = time.time() - 90000
    for path in folder.iterdir():
        os.utime(path, (then, then))
    Store(folder)
    assert names(folder) == []
    assert (folder / "notes.txt").exists()


def test_who_is_gone() -> None:
    here = signature().split("-")[0]
    assert not is_gone(signature())
    for unknown in (
        "",
        "-",
        f"{here}-x-1",
        f"{here}--1",
        "x-1-2",
        f"{here}-{10**30}-1",
    ):
        assert not is_gone(unknown)
