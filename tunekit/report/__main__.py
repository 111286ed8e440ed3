"""``python -m tunekit.report FOLDER`` makes a study's report again."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from tunekit.config import Parser, answer
from tunekit.errors import one_line
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
    # A folder's name may hold what the terminal's encoding cannot show.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    folder: Path = parser.read(arguments).folder
    report = write(folder)
    made = f"{folder / 'report.html'} and report.json"
    print(one_line(f"{made}: {report['trials']['total']} trials"))


if __name__ == "__main__":
    leave(main())
