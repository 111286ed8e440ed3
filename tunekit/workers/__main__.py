"""One more worker on a study folder: ``python -m tunekit.workers FOLDER``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

from tunekit.config import Config, Parser
from tunekit.errors import StoppedError, TunekitError, one_line
from tunekit.interrupt import Interrupted, leave, listening


def main() -> int:
    """Train trials of a study until its budget is spent; the exit code."""
    began = time.monotonic()
    parser = Parser(
        prog="python -m tunekit.workers",
        description="One more worker on a study that was begun elsewhere.",
    )
    parser.add_argument("folder", help="the study folder")
    parser.add_argument(
        "--threads", type=int, default=0, help="threads of this process"
    )
    parser.add_argument(
        "--tied", action="store_true", help="stop when standard input is closed"
    )
    parser.add_argument(
        "--seconds", type=float, help="until the search must be done, from now on"
    )
    try:
        with listening():
            options = parser.read(None)
            if options.tied:
                _stop_with_input()
            left = options.seconds
            until = None if left is None else began + left
            _work(Path(options.folder), options.threads, until)
    except Interrupted as stop:
        return stop.exit_code
    except StoppedError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 3
    except OSError as error:
        what = f"{options.folder} must be readable and writable, got: {error}"
        print(f"error: {one_line(what)}", file=sys.stderr)
        return 3
    except TunekitError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    return 0


def _stop_with_input() -> None:
    """Stop, as on SIGTERM, when whoever holds the other end of our input is gone.

    Unlike asking for the parent's process id, this works on every system and through
    whatever launcher stands between.
    """

    def watch() -> None:
        # Not through ``sys.stdin``: Python could not finish while we hold its lock.
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _work(folder: Path, threads: int, until: float | None) -> None:
    from tunekit.files import allow_many
    from tunekit.store import check_same, settings_of
    from tunekit.workers.loop import work
    from tunekit.workers.setup import Setup

    allow_many()
    settings = settings_of(folder)
    config = Config.from_mapping(
        {**settings, "out": str(folder.parent), "name": folder.name}
    )
    setup = Setup.of(config)
    check_same(folder, setup.settings, setup.table.describe())
    store = setup.open()
    engine = setup.engine(threads or None)
    in_flight = max(1, config.open_trials // config.workers)
    try:
        setup.expect(engine, in_flight)
        work(
            store,
            engine,
            setup.space,
            setup.budget(until),
            board=setup.board(),
            in_flight=in_flight,
        )
    finally:
        engine.close()
        store.release_all()


if __name__ == "__main__":
    leave(main())
