"""``python -m tunekit.report FOLDER`` makes a study's report again."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from tunekit.config import Parser
from tunekit.errors import TunekitError, one_line
from tunekit.interrupt import Interrupted, listening
from tunekit.report import write

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0, 2 with one line on stderr, 130 on Ctrl-C."""
    parser = Parser(
        prog="python -m tunekit.report",
        description="Make report.json and report.html of a study again.",
    )
    parser.add_argument("folder", type=Path, help="the study's folder, OUT/NAME")
    for stream in (sys.stdout, sys.stderr):
        # A folder's name may hold what the terminal's encoding cannot show.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with listening():
            folder: Path = parser.read(arguments).folder
            report = write(folder)
            made = f"{folder / 'report.html'} and report.json"
            print(one_line(f"{made}: {report['trials']['total']} trials"))
    except Interrupted as stop:
        print("\nstopped", file=sys.stderr)
        return stop.exit_code
    except TunekitError as error:
        return _fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}cannot be written ({error.strerror or error})")
    return 0


def _fail(message: str) -> int:
    print(f"error: {one_line(message)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
