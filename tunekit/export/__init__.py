"""Leaving: what a study came to, in the form of other people's projects.

    python -m tunekit.export runs/digits

writes what trains the saved model again, to the same validation loss: ``config.yaml``
and ``cli.py`` for LightningCLI, and ``train.py``, plain Python. Each format is a
function from the winner to files; ``FORMATS`` lists them by name.
"""

from __future__ import annotations

from tunekit.interrupt import is_command

is_command(__name__)  # before the rest is imported

from collections.abc import Callable, Sequence
from pathlib import Path

from tunekit.errors import ConfigError, DataError, did_you_mean
from tunekit.export import lightning, script
from tunekit.export.recorded import Winner, read
from tunekit.files import write_text

__all__ = ["FORMATS", "Winner", "read", "write"]

FORMATS: dict[str, Callable[[Winner], dict[str, str]]] = {
    "lightning": lightning.files,
    "python": script.files,
}
"""What a winner can be written as: from a format's name to its files by theirs."""


def write(
    folder: str | Path,
    into: str | Path | None = None,
    formats: Sequence[str] = ("lightning", "python"),
) -> list[Path]:
    """Write a study's winner as files of other people's projects.

    A file that is there already stays, and must hold the same: people change these.

    Args:
        folder: A study folder whose winner was judged.
        into: Where to write; ``export/`` in the study's folder when None.
        formats: Names of ``FORMATS``.

    Returns:
        The files.

    Raises:
        ConfigError: A format is not known, or the folder is no study.
        DataError: The study has no model yet, a file of it is damaged, or one to be
            written is there and differs.
        OSError: The files cannot be written.
    """
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(
                f'format must be one of {", ".join(FORMATS)}, got "{name}"'
                + did_you_mean(name, FORMATS)
            )
    winner = read(folder)
    target = Path(folder) / "export" if into is None else Path(into)
    texts = {
        target / name: text
        for each in formats
        for name, text in FORMATS[each](winner).items()
    }
    missing = []
    for path, text in texts.items():
        if path.exists():
            _check_same(path, text)
        else:
            missing.append(path)
    for path in missing:
        write_text(path, texts[path])
    return [*texts]


def _check_same(path: Path, text: str) -> None:
    if not path.is_file() or path.read_bytes() != text.encode("utf-8"):
        raise DataError(
            f"{path} must not be there, or hold what is to be written, and differs; "
            "move it away, or name another folder with -o"
        )
