"""A script in a process of its own, forked: imports cost nothing, and a kill is a kill.

What is in the way of a next search in the same process, notebook or server is counted
there when the script has ended: open files and processes that were not there before.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import runpy
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Everything that a script would import while it runs, so that forks find it there.
import optuna
import pytorch_lightning  # noqa: F401
import torch
from torch.utils import tensorboard  # noqa: F401

import tunekit.classifier
import tunekit.modules
import tunekit.tuning  # noqa: F401

__all__ = ["Done", "called", "script"]

optuna.storages.RDBStorage("sqlite://")  # imports its database


@dataclass(frozen=True)
class Done:
    """How it ended: its code (None for one that hung), seconds, and what it found."""

    code: int | None
    seconds: float
    found: Any
    told: str


def script(path: Path, folder: Path, n_trials: int, n_workers: int, **how: Any) -> Done:
    """Run a whole user script; see :func:`called`."""

    def run() -> dict[str, Any]:
        sys.argv = [str(path), str(folder), str(n_trials), str(n_workers)]
        open_before, processes_before = _open_files(), _processes()
        names = runpy.run_path(str(path), run_name="__main__")
        found = {"best value": float(names["best_value"])}
        found["value of the model"] = _value_of(names["model"])

        def left() -> dict[str, Any]:
            return {
                "open files": _more(_open_files(), open_before),
                "processes": _more(_processes(), processes_before),
            }

        found["left"] = left()
        names.clear()
        gc.collect()
        found["left once all is deleted"] = left()
        return found

    return called(run, folder, **how)


def called(
    function: Callable[[], Any],
    folder: Path,
    *,
    kill_after: float | None = None,
    patience: float = 900.0,
) -> Done:
    """Call a function in a fork, with whatever it starts in a group of its own.

    Args:
        function: What it returns is handed over as JSON.
        folder: Where the fork stands, and what it says is kept.
        kill_after: SIGKILL the whole group after so many seconds.
        patience: Seconds after which it counts as hung.
    """
    sys.stdout.flush()
    began = time.monotonic()
    told, answer = folder / "told.txt", folder / "answer.json"
    answer.unlink(missing_ok=True)
    pid = os.fork()
    if not pid:
        _child(function, told, answer)
    until = began + (patience if kill_after is None else kill_after)
    code: int | None = None
    while code is None:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
        elif time.monotonic() > until:
            os.killpg(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            code = os.waitstatus_to_exitcode(status)
            if kill_after is None:
                code = None
            break
        else:
            time.sleep(0.005)
    seconds = time.monotonic() - began
    found = json.loads(answer.read_text("utf-8")) if answer.is_file() else None
    words = told.read_text("utf-8", errors="replace") if told.is_file() else ""
    for path in (answer, told):
        path.unlink(missing_ok=True)
    return Done(code, seconds, found, words)


def _child(function: Callable[[], Any], told: Path, answer: Path) -> None:
    """Never returns."""
    code = 1
    try:
        os.setsid()
        words = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(words, 1)
        os.dup2(words, 2)
        os.close(words)
        torch.set_num_threads(1)
        found = function()
        answer.write_text(json.dumps(found), encoding="utf-8")
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Processes that were left would outlive us.
        for process in multiprocessing.active_children():
            process.kill()
        os._exit(code)


def _value_of(module: Any) -> float:
    """What a module comes to on the rows to validate on."""
    from net import tables

    module.eval()
    with torch.no_grad():
        return float(module.loss(tables()[1].tensors))


def _open_files() -> Counter[str]:
    found: Counter[str] = Counter()
    for each in Path("/proc/self/fd").iterdir():
        try:
            name = str(each.readlink())
        except OSError:
            continue  # that of the look itself
        kind, _, rest = name.partition(":")
        found[kind if rest and not name.startswith("/") else Path(name).name] += 1
    return found


def _processes() -> Counter[str]:
    found: Counter[str] = Counter()
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = each.read_text().rpartition(") ")
        except OSError:
            continue  # it has ended
        if int(rest.split()[1]) == os.getpid():
            found[name.partition("(")[2]] += 1
    return found


def _more(now: Counter[str], before: Counter[str]) -> dict[str, int]:
    return dict(sorted((now - before).items()))
