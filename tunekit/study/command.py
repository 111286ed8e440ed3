"""The command line of the main job: one line for whatever goes wrong, and a code."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from tunekit.config import Config, asks_for_module, read_command
from tunekit.errors import ResumeError, StoppedError, TunekitError, one_line
from tunekit.interrupt import Interrupted, listening
from tunekit.study.clock import BEGAN
from tunekit.study.job import Job

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    given = sys.argv[1:] if arguments is None else [*arguments]
    if asks_for_module(given):
        from tunekit.tuning.command import main as of_module

        return of_module(given)
    config: Config | None = None
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a name from the data shows it escaped.
            stream.reconfigure(errors="backslashreplace")
    try:
        with listening():
            command = read_command(arguments)
            config = command.config
            job = Job(config, None, BEGAN)
            if command.dry_run:
                job.dry_run()
            else:
                job.run()
    except Interrupted as stop:
        print("\nstopped", end="", file=sys.stderr)
        if config is not None and (config.folder / "study.toml").exists():
            print(
                f"; all is kept in {config.folder}, and the same command goes on",
                end="",
                file=sys.stderr,
            )
        print(file=sys.stderr)
        return stop.exit_code
    except StoppedError as error:
        return _fail(error, 3)
    except ResumeError as error:
        return _fail(error.on_command_line, 2)
    except TunekitError as error:
        return _fail(error, 2)
    except OSError as error:
        what = "files" if config is None else str(config.folder)
        where = f" ({error.filename})" if error.filename else ""
        why = error.strerror or str(error)
        return _fail(
            StoppedError(
                f"{what} must be readable and writable, got: {why}{where}; make room "
                "or mend that and run the same command again: what was recorded is kept"
            ),
            3,
        )
    return 0


def _fail(error: Exception | str, code: int) -> int:
    line = one_line(" ".join(str(error).split()))
    print(f"error: {line}", file=sys.stderr)
    return code
