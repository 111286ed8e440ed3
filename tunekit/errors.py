"""What can go wrong, as one small tree.

    TunekitError
    ├── ConfigError (ValueError)          an option, key or range that cannot be used
    │   └── SpaceError                    a hyperparameter's range or choices
    ├── DataError (ValueError)            a table, column or row that cannot be used
    ├── ResumeError (RuntimeError)        a folder that does not fit what was asked
    ├── StoppedError (RuntimeError)       a study that had to stop and can be resumed
    └── MissingExtraError (ImportError)   an optional package that is not installed

Every message is one line: what must hold, what was got, what to do.

Example:
    >>> try:
    ...     raise ConfigError("n-trials must be at least 1, got 0")
    ... except TunekitError as error:
    ...     print(error)
    n-trials must be at least 1, got 0
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ConfigError",
    "DataError",
    "MissingExtraError",
    "ResumeError",
    "SpaceError",
    "StoppedError",
    "TunekitError",
    "did_you_mean",
    "one_line",
]


class TunekitError(Exception):
    """Whatever tunekit raises on purpose; the command line prints it as one line."""


class ConfigError(TunekitError, ValueError):
    """An option, a key of the configuration or a range that cannot be used."""


class SpaceError(ConfigError):
    """A hyperparameter's scale, range or choices that cannot be used."""


class DataError(TunekitError, ValueError):
    """A table, a column or a row that cannot be used."""


class ResumeError(TunekitError, RuntimeError):
    """A study folder that does not fit what was asked of it.

    Args:
        problem: What must hold and what was got, in one line.
        other_name: A study's name that is free, where another name would help.

    Attributes:
        on_command_line: The same line with the option as it is typed there.

    Example:
        >>> error = ResumeError("it was made with seed 0, now 1", "s-2")
        >>> print(error)
        it was made with seed 0, now 1; choose another name, such as name="s-2"
        >>> print(error.on_command_line)
        it was made with seed 0, now 1; choose another name, such as --name s-2
    """

    def __init__(self, problem: str, other_name: str | None = None) -> None:
        here = there = ""
        if other_name is not None:
            offer = "; choose another name, such as "
            here, there = f'{offer}name="{other_name}"', f"{offer}--name {other_name}"
        super().__init__(problem + here)
        self.on_command_line = problem + there


class StoppedError(TunekitError, RuntimeError):
    """A study that had to stop (disk, failures in a row) and can be resumed."""


class MissingExtraError(TunekitError, ImportError):
    """An optional package that is not installed.

    Example:
        >>> print(MissingExtraError.of("Reading Parquet", "pyarrow", "parquet"))
        Reading Parquet needs pyarrow: pip install "optuna-tunekit[parquet]"
    """

    @classmethod
    def of(cls, what: str, package: str, extra: str) -> MissingExtraError:
        """The error that names the one command which mends it."""
        return cls(f'{what} needs {package}: pip install "optuna-tunekit[{extra}]"')


def did_you_mean(
    got: str, known: Iterable[str], *, also: dict[str, str] | None = None
) -> str:
    """The end of a message about an unknown name: the nearest known one, or nothing.

    Args:
        got: The name that was not known.
        known: The names that are.
        also: Other people's names for known ones, such as ``{"learning_rate": "lr"}``.

    Example:
        >>> did_you_mean("n-tirals", ["n-trials", "seed"])
        '; did you mean "n-trials"?'
        >>> did_you_mean("zzz", ["n-trials", "seed"])
        ''
    """
    if also and got in also:
        return f'; did you mean "{also[got]}"?'
    near = difflib.get_close_matches(got, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def one_line(text: str) -> str:
    r"""Text that came from a file, fit to be printed: one line, no control characters.

    A column name or a message may hold line breaks, or escape sequences that would
    recolour or clear the terminal; they are shown as Python writes them.

    Example:
        >>> print(one_line("a\nb \x1b[31mred"))
        a\nb \x1b[31mred
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
