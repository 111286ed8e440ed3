"""``python -m tunekit.export FOLDER [-o DIR] [--format NAME]``."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from tunekit.config import Parser, answer
from tunekit.errors import DataError, one_line
from tunekit.export import FORMATS, write
from tunekit.interrupt import leave

__all__ = ["main"]

_INTRO = """\
Write a study's winner as files of your own Lightning project. Each trains the saved
model again, to the same validation loss; comments say what to change for your own data.

formats:
  lightning   config.yaml and cli.py: python cli.py fit --config config.yaml
  python      train.py: a module, its data and a Trainer"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; answers the exit code: 0, 2 with one line, 130 on Ctrl-C."""
    return answer(lambda: _export(arguments), cannot="read")


def _export(arguments: Sequence[str] | None) -> None:
    parser = Parser(prog="python -m tunekit.export", description=_INTRO)
    parser.add_argument("folder", type=Path, help="the study's folder, OUT/NAME")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where to write (default: export/ in the study's folder)",
    )
    parser.add_argument(
        "--format",
        metavar="NAMES",
        help=f"{', '.join(FORMATS)}, or several with commas between (default: "
        "lightning,python)",
    )
    # A folder's name may hold what the terminal's encoding cannot show.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    options = parser.read(arguments)
    into: Path = options.output or options.folder / "export"
    chosen = {"formats": options.format.split(",")} if options.format else {}
    try:
        paths = write(options.folder, into, **chosen)
    except OSError as error:
        raise DataError(
            f"{into}: cannot be written ({error.strerror or error}); "
            "name another folder with -o"
        ) from None
    for path in paths:
        print(one_line(str(path)))


if __name__ == "__main__":
    leave(main())
