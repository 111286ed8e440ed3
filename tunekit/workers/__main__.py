"""One more worker on a study folder: ``python -m tunekit.workers FOLDER``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tunekit.config import Config, Parser
from tunekit.errors import StoppedError, TunekitError, one_line
from tunekit.interrupt import Interrupted, listening


def main() -> int:
    """Train trials of a study until its budget is spent; the exit code."""
    parser = Parser(
        prog="python -m tunekit.workers",
        description="One more worker on a study that was begun elsewhere.",
    )
    parser.add_argument("folder", help="the study folder")
    parser.add_argument(
        "--threads", type=int, default=0, help="threads of this process"
    )
    parser.add_argument("--parent", type=int, help="stop when this process is gone")
    parser.add_argument("--until", type=float, help="Unix time when all must be done")
    try:
        with listening():
            options = parser.read(None)
            _work(Path(options.folder), options.threads, options.parent, options.until)
    except Interrupted as stop:
        return stop.exit_code
    except StoppedError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 3
    except TunekitError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    return 0


def _work(folder: Path, threads: int, parent: int | None, until: float | None) -> None:
    from tunekit.store import check_same, settings_of
    from tunekit.workers.loop import work
    from tunekit.workers.setup import Setup

    settings = settings_of(folder)
    config = Config.from_mapping(
        {**settings, "out": str(folder.parent), "name": folder.name}
    )
    setup = Setup.of(config)
    check_same(folder, setup.settings, setup.table.describe())
    store = setup.open()
    try:
        work(
            store,
            setup.engine(threads or None),
            setup.space,
            setup.budget(until),
            board=setup.board(),
            # A worker whose driver was killed is adopted by another process.
            alive=lambda: parent is None or os.getppid() == parent,
        )
    finally:
        store.release_all()


if __name__ == "__main__":
    sys.exit(main())
