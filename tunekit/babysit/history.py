"""The history of a babysat model: a line of JSON for every round and every edit.

It grows for days: it is read line by line, from either end, and never as a whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["History"]

_BLOCK = 1 << 20


class History:
    """A file of lines.

    Args:
        path: Where it is; a file that is not there has no lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def size(self) -> int:
        """The file's size, in bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The lines, the oldest first; one that is damaged is left out."""
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            for line in file:
                yield from _read(line)

    def backwards(self) -> Iterator[dict[str, Any]]:
        """The lines, the newest first; one that is damaged is left out."""
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            place, rest = file.seek(0, os.SEEK_END), b""
            while place > 0:
                size = min(_BLOCK, place)
                place -= size
                file.seek(place)
                first, *lines = (file.read(size) + rest).split(b"\n")
                for line in reversed(lines):
                    yield from _read(line)
                rest = first
            yield from _read(rest)

    def append(self, lines: Sequence[Any]) -> int:
        """Write lines, to the disk itself; the file's size after them, in bytes."""
        with self.path.open("ab") as file:
            for line in lines:
                file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            return file.tell()

    def cut(self, size: int) -> None:
        """What was written of a round that never ended is not history.

        Only who trains this model may say so: another may be writing a round's end.

        Args:
            size: Bytes that are.
        """
        with suppress(FileNotFoundError), self.path.open("r+b") as file:
            if file.seek(0, os.SEEK_END) > size:
                file.truncate(size)


def _read(line: bytes) -> Iterator[dict[str, Any]]:
    # A line that is damaged may be no text, or no table.
    with suppress(ValueError, RecursionError):
        found = json.loads(line)
        if isinstance(found, dict):
            yield found
