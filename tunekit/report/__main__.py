"""``python -m tunekit.report FOLDER`` makes a study's report again."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from tunekit.config import Parser, answer
from tunekit.errors import DataError, one_line
from tunekit.interrupt import leave
from tunekit.report import write

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0, 2 with one line on stderr, 130 on Ctrl-C."""
    return answer(lambda: _report(arguments), cannot="written")


def _report(arguments: Sequence[str] | None) -> None:
    parser = Parser(
        prog="python -m tunekit.report",
        description="Make report.json and report.html of a study again.",
    )
    parser.add_argument("folder", type=Path, help="the study's folder, OUT/NAME")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where to write both files (default: the study's folder)",
    )
    # A folder's name may hold what the terminal's encoding cannot show.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    options = parser.read(arguments)
    into: Path = options.output or options.folder
    try:
        report = write(options.folder, into)
    except OSError as error:
        raise DataError(
            f"{into}: cannot be written ({error.strerror or error}); "
            "name another folder with -o"
        ) from None
    made = f"{into / 'report.html'} and report.json"
    print(one_line(f"{made}: {report['trials']['total']} trials"))


if __name__ == "__main__":
    leave(main())
