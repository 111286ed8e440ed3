"""Workers as processes: more of the same loop, started on a study folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

__all__ = ["spawn", "stop"]


def spawn(
    folder: Path, n: int, extra: Mapping[str, str]
) -> list[subprocess.Popen[str]]:
    """Start ``n`` worker processes on a study folder, their threads divided among them.

    Args:
        folder: The study.
        n: How many.
        extra: Options for ``python -m tunekit.workers``, by flag.
    """
    threads = max(1, (os.cpu_count() or 1) // n)
    options = [text for flag, value in extra.items() for text in (f"--{flag}", value)]
    command = [sys.executable, "-m", "tunekit.workers", str(folder), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return [
        subprocess.Popen(
            [*command, "--threads", str(threads), "--parent", str(os.getpid())],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(n)
    ]


def stop(processes: list[subprocess.Popen[str]], patience: float = 2.0) -> None:
    """Ask workers to stop; after ``patience`` seconds, end them."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + patience
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.01, deadline - time.monotonic()))
        if process.poll() is None:
            process.kill()
        process.communicate()
