"""The command line of the main job: one line for whatever goes wrong, and a code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tunekit.config import Config, asks_for_module, read_command, resumable
from tunekit.study.clock import BEGAN
from tunekit.study.job import Job

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    given = sys.argv[1:] if arguments is None else [*arguments]
    if asks_for_module(given):
        from tunekit.tuning.command import main as of_module

        return of_module(given)
    found: list[Config] = []

    def work() -> None:
        command = read_command(arguments)
        found.append(command.config)
        job = Job(command.config, None, BEGAN)
        if command.dry_run:
            job.dry_run()
        else:
            job.run()

    return resumable(work, lambda: found[0].folder if found else None, "study.toml")
