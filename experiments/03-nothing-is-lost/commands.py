"""One command of tunekit in a process of its own, forked: imports cost nothing.

What a study has come to is read by Optuna's own reader and from ``report.json``.
"""

from __future__ import annotations

import gc
import io
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

# Everything that a command would import while it runs, so that forks find it there.
import optuna.importance
import pandas  # noqa: F401
import pytorch_lightning  # noqa: F401
import safetensors.torch  # noqa: F401
import sklearn.ensemble
import sklearn.linear_model  # noqa: F401
import tensorboard.plugins.hparams.api_pb2
import tensorboard.summary  # noqa: F401
import tomli_w  # noqa: F401
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import tunekit.closing
import tunekit.plan
import tunekit.screen
import tunekit.study.command
import tunekit.vectorized.shard
import tunekit.winner
import tunekit.workers
from tunekit.predict.__main__ import main as predict_main
from tunekit.report.__main__ import main as report_main
from tunekit.study import main as study_main

__all__ = [
    "Done",
    "command",
    "figures",
    "forked",
    "predict",
    "report",
    "study",
    "values",
]

NAME = "s"
_UNTIMED = (
    *("best", "test", "model", "trials", "history", "baselines", "left_out", "seed"),
    *("data", "metric", "budget", "space", "fixed", "winner", "confusion"),
)


@dataclass(frozen=True)
class Done:
    """How a command ended: its code (None for one that hung), words, CPU and wall."""

    code: int | None
    told: str
    cpu: float
    wall: float

    @property
    def errors(self) -> list[str]:
        """Its lines that name an error."""
        return [line for line in self.told.splitlines() if line.startswith("error: ")]

    @property
    def broke(self) -> bool:
        """Whether it ended otherwise than by a documented code with its line."""
        if "Traceback" in self.told or self.code not in (0, 2, 3):
            return True
        return bool(self.code) and len(self.errors) != 1


def command(n_trials: int, max_epochs: int, *more: str) -> list[str]:
    """The arguments of a small study on the digits that come along."""
    return [
        *("--name", NAME, "--n-trials", f"{n_trials}", "--max-epochs", f"{max_epochs}"),
        *("--final-seeds", "1", "--set", "width=16..32", "--set", "n_layers=1..2"),
        *more,
    ]


def study(out: Path, arguments: Sequence[str], **how: Any) -> Done:
    """``tunekit.study``."""
    return forked(study_main, ["--out", str(out), *arguments], **how)


def report(folder: Path, **how: Any) -> Done:
    """``tunekit.report``."""
    return forked(report_main, [str(folder)], **how)


def predict(folder: Path, rows: Path, out: Path, **how: Any) -> Done:
    """``tunekit.predict``."""
    return forked(predict_main, [str(folder), str(rows), "-o", str(out)], **how)


def forked(
    main: Callable[[list[str]], Any],
    arguments: list[str],
    *,
    kill_after: float | None = None,
    whom: str = "group",
    patience: float = 120.0,
    before: Callable[[], None] | None = None,
) -> Done:
    """Run a command in a fork, with whatever it starts in a group of its own.

    Args:
        main: The command; its exit code, or None for 0.
        arguments: Its arguments.
        kill_after: SIGKILL it after so many seconds.
        whom: ``group``, or ``leader`` alone.
        patience: Seconds after which it counts as hung.
        before: Called in the fork first.
    """
    sys.stdout.flush()
    gc.freeze()  # a collection in the fork leaves alone, thus shared, what is there
    told, child_told = os.pipe()
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        _child(main, arguments, child_told, before)
    os.close(child_told)
    os.set_blocking(told, False)
    words = bytearray()
    code: int | None = None
    while True:
        _drain(told, words)
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            break
        passed = time.monotonic() - began
        if kill_after is not None and passed > kill_after:
            # Its group may be yet to be made: then at the next look.
            with suppress(ProcessLookupError):
                (os.killpg if whom == "group" else os.kill)(pid, signal.SIGKILL)
                kill_after = None
        if passed > patience:
            os.killpg(pid, signal.SIGKILL)
            _, _, used = os.wait4(pid, 0)
            break
        time.sleep(0.005)
    wall = time.monotonic() - began
    _drain(told, words)
    os.close(told)
    cpu = used.ru_utime + used.ru_stime
    return Done(code, words.decode(errors="replace"), cpu, wall)


def values(folder: Path) -> list[tuple[int, str, tuple[tuple[int, float], ...]]]:
    """Number, state and values of all trials, as Optuna's own reader finds them."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    found = optuna.load_study(study_name=folder.name, storage=storage)
    return [
        (t.number, t.state.name, tuple(sorted(t.intermediate_values.items())))
        for t in found.trials
    ]


def figures(folder: Path) -> str:
    """What ``report.json`` tells, apart from times and places."""
    told = json.loads((folder / "report.json").read_text("utf-8"))
    told["settings"].pop("out", None)
    names = (*_UNTIMED, "settings")
    return json.dumps({name: told.get(name) for name in names}, sort_keys=True)


def _child(
    main: Callable[[list[str]], Any],
    arguments: list[str],
    told: int,
    before: Callable[[], None] | None,
) -> None:
    """Never returns."""
    code = 1
    try:
        os.setsid()
        os.dup2(told, 1)
        os.dup2(told, 2)
        for name in (1, 2):
            stream = io.TextIOWrapper(os.fdopen(name, "wb", 0), write_through=True)
            setattr(sys, "stdout" if name == 1 else "stderr", stream)
        random.seed()
        torch.set_num_threads(1)
        tunekit.study.command.BEGAN = time.monotonic()
        if before is not None:
            before()
        code = main(arguments) or 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _drain(pipe: int, words: bytearray) -> None:
    try:
        while more := os.read(pipe, 1 << 16):
            words += more
    except BlockingIOError:
        pass
