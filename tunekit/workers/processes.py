"""Workers as processes: more of the same loop, started on a study folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

__all__ = ["Worker", "stop"]


class Worker:
    """One process of ``python -m tunekit.workers``.

    What it says goes to a file without a name: a pipe that nobody reads would fill up
    and stop it.
    """

    def __init__(self, process: subprocess.Popen[str], said: IO[str]) -> None:
        self.process, self._said = process, said

    @classmethod
    def start(cls, folder: Path, threads: int, extra: Mapping[str, str]) -> Self:
        """Start a worker.

        Args:
            folder: The study.
            threads: The most that its training may use.
            extra: Further options, by flag.
        """
        options = {"threads": str(threads), **extra}
        flags = [
            text for name, value in options.items() for text in (f"--{name}", value)
        ]
        said = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - kept open
        process = subprocess.Popen(
            [sys.executable, "-m", "tunekit.workers", str(folder), "--tied", *flags],
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            # When we are gone, however we went, this pipe closes and the worker stops.
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            text=True,
            # Ctrl-C in the terminal is ours to hear; we pass it on once, in ``stop``.
            start_new_session=True,
        )
        return cls(process, said)

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.process.poll()

    def last_words(self) -> str:
        """The last line it said."""
        self._said.seek(0)
        lines = self._said.read().strip().splitlines()
        return lines[-1].removeprefix("error: ") if lines else "no message"

    def close(self) -> None:
        """Let go of what it said."""
        self._said.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


def stop(workers: list[Worker], patience: float = 1.0) -> list[int]:
    """Ask workers to stop; after ``patience`` seconds, end them.

    Returns:
        The process ids of those that had to be ended.
    """
    ended = []
    for worker in workers:
        worker.process.terminate()
    deadline = time.monotonic() + patience
    for worker in workers:
        with suppress(subprocess.TimeoutExpired):
            worker.process.wait(max(0.01, deadline - time.monotonic()))
        if worker.code is None:
            worker.process.kill()
            worker.process.wait()
            ended.append(worker.process.pid)
        worker.close()
    return ended
