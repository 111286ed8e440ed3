"""How a small command ends: an exit code, and one line for whatever goes wrong."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

from tunekit.errors import TunekitError, one_line
from tunekit.interrupt import Interrupted, listening

__all__ = ["answer"]


def answer(work: Callable[[], None], *, cannot: str) -> int:
    """Do the work of a command.

    Args:
        work: Reads the arguments and does what they ask for.
        cannot: What a file cannot be where a system refuses: ``read`` or ``written``.

    Returns:
        The exit code: 0; 2 with one line on stderr; 130 or 143 after Ctrl-C or SIGTERM.

    Example:
        >>> answer(lambda: None, cannot="read")
        0
    """
    try:
        with listening():
            work()
    except Interrupted as stop:
        print("\nstopped", file=sys.stderr)
        return stop.exit_code
    except TunekitError as error:
        return _fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}cannot be {cannot} ({error.strerror or error})")
    return 0


def _fail(message: str) -> int:
    # A message quotes files: what it cannot show, or would do to a terminal, is spelled
    # out, whatever the encoding.
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    print(f"error: {one_line(message)}", file=sys.stderr)
    return 2
