"""Settings, a study folder, steps that are always or never allowed, other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import Trial

from tunekit.config import Config
from tunekit.store import Store

DATA = {"fingerprint": "abc", "source": "t.csv"}
posix = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")


def settings(**options: Any) -> dict[str, Any]:
    space = {"lr": {"scale": "log", "low": 1e-4, "high": 1e-1}, "width": 8}
    return {**Config(**options).as_settings(), "space": space}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "runs" / "s"
    Store.create(made, settings(), DATA)
    return made


def suggest(trial: Trial) -> None:
    trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    trial.suggest_int("width", 8, 64)


def always(trials: Sequence[Any], step: Any) -> bool:
    return True


def never(trials: Sequence[Any], step: Any) -> bool:
    return False


def leases(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "leases").glob("trial-*"))


PRELUDE = """
import os, signal, sys, time
from pathlib import Path
from tunekit.store import Store, check_same, settings_of
from optuna.trial import TrialState
folder = Path(sys.argv[1])
def suggest(trial):
    trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    trial.suggest_int("width", 8, 64)
"""


def start(folder: Path, code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(code), folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()
