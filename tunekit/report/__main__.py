"""``python -m tunekit.report FOLDER`` makes a study's report again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tunekit.errors import TunekitError
from tunekit.report import write

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 2 with one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m tunekit.report",
        description="Make report.json and report.html of a study again.",
    )
    parser.add_argument("folder", type=Path, help="the study's folder, OUT/NAME")
    folder: Path = parser.parse_args(arguments).folder
    try:
        report = write(folder)
    except (TunekitError, OSError) as error:
        print(f"tunekit: {error}", file=sys.stderr)
        return 2
    print(
        f"{folder / 'report.html'} and report.json: {report['trials']['total']} trials"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
