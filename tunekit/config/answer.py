"""How a command ends: an exit code, and one line for whatever goes wrong."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

from tunekit.errors import ResumeError, StoppedError, TunekitError, one_line
from tunekit.interrupt import Interrupted, listening

__all__ = ["answer", "resumable"]


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


def resumable(
    work: Callable[[], None], folder: Callable[[], Path | None], *holds: str
) -> int:
    """Do the work of a command that goes on where it was stopped.

    Args:
        work: Reads the arguments and does what they ask for.
        folder: Where its state is kept; None until that is known.
        holds: Files in it each of which says that something is kept.

    Returns:
        The exit code: 0; 2 for what is the user's, 3 where it was stopped and can go
        on, each with one line on stderr; 130 or 143 after Ctrl-C or SIGTERM.

    Example:
        >>> resumable(lambda: None, lambda: None, "study.toml")
        0
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a name from the data shows it escaped.
            stream.reconfigure(errors="backslashreplace")
    try:
        with listening():
            work()
    except Interrupted as stop:
        place = folder()
        kept = ""
        if place is not None and any((place / each).exists() for each in holds):
            kept = f"; all is kept in {place}, and the same command goes on"
        print(f"\nstopped{kept}", file=sys.stderr)
        return stop.exit_code
    except StoppedError as error:
        return _fail(_flat(error), 3)
    except ResumeError as error:
        return _fail(_flat(error.on_command_line))
    except TunekitError as error:
        return _fail(_flat(error))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _fail(
            f"{folder() or 'files'} must be readable and writable, got: "
            f"{error.strerror or error}{where}; make room or mend that and run the "
            "same command again: what was recorded is kept",
            3,
        )
    return 0


def _fail(message: str, code: int = 2) -> int:
    # A message quotes files: what it cannot show, or would do to a terminal, is spelled
    # out, whatever the encoding.
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    print(f"error: {one_line(message)}", file=sys.stderr)
    return code


def _flat(error: Exception | str) -> str:
    """What may have come in several lines, as one."""
    return " ".join(str(error).split())
