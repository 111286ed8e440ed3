"""A damaged journal is mended when its study is opened, and what it was is kept.

    journal-damaged-1.log     the journal as it was; of one only torn, what was cut off

Whoever has the journal's lock may cut off a torn line: no reader knows of it. All else
writes the journal anew, for which nobody may be at work on the study: whoever mends
takes all leases first, as for a wider space, and a process that trains nothing at that
moment finds another file under its journal's name, and stops before it writes.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from tunekit.files import write_bytes
from tunekit.reading import COPY, JOURNAL, look
from tunekit.recovered import Recovered
from tunekit.store.folder import writing
from tunekit.store.leases import Leases

__all__ = ["copy_on", "cut_torn", "mend", "set_aside"]

LOCK = "journal.lock"
"""Held by who writes the journal, or writes it anew."""


def mend(folder: Path) -> None:
    """Make a study's journal whole, and say in one line if it was not.

    Args:
        folder: The study's; without a journal, it gets an empty one.

    Raises:
        ResumeError: If it is damaged, and a process is at work on the study.
        StoppedError: If the folder cannot be written.
    """
    with writing(folder):
        (folder / JOURNAL).open("ab").close()
        with FileLock(folder / LOCK):
            found = look(folder)
            if not found.damaged:
                if found.torn:
                    cut_torn(folder)
                with suppress(OSError):
                    if found.stale:
                        (folder / COPY).unlink()
                    copy_on(folder)
                return
        held = (
            f"{folder / JOURNAL} is damaged and must not be written while it is "
            "mended, got a process that trains; stop that first, and run the same "
            "command again"
        )
        with Leases(folder / "leases").all_taken(held), FileLock(folder / LOCK):
            _rewrite(folder)


def _rewrite(folder: Path) -> None:
    found = look(folder)  # another process may have mended it meanwhile
    if found.damaged:
        journal = folder / JOURNAL
        kept = set_aside(folder, journal.read_bytes())
        (folder / COPY).unlink(missing_ok=True)
        write_bytes(journal, found.lines)
        copy_on(folder)
        logging.getLogger("tunekit").warning(
            "%s was damaged: %s; as it was, it is in %s",
            journal,
            _outcome(found),
            kept.name,
        )


def _outcome(found: Recovered) -> str:
    """What became of a damaged journal, in few words."""
    if not found.again:
        return "all that it told is there again"
    numbers = ", ".join(map(str, found.again[:5])) + ", …" * (len(found.again) > 5)
    return f"lines are lost, so that trials are trained again in part ({numbers})"


def cut_torn(folder: Path) -> None:
    """Cut off a last line that was not written to its end; what it was is kept.

    A full disk or a power failure leaves such a line. Readers pass over it, but the
    next one would be glued on to it, and be damaged, too.

    Raises:
        OSError: If nothing but that is there though lines were: not torn, but damaged.
    """
    journal = folder / JOURNAL
    content = journal.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < _size(folder / COPY):
        raise OSError(f"{JOURNAL} was damaged while it was open")
    kept = set_aside(folder, content[end:])
    with journal.open("r+b") as file:
        file.truncate(end)
    logging.getLogger("tunekit").warning(
        "%s ended within a line, which is cut off and kept in %s", journal, kept.name
    )


def set_aside(folder: Path, content: bytes, stem: str = "journal-damaged") -> Path:
    """Keep what is taken out of a journal, in a file of its own, numbered."""
    n = 1
    while (kept := folder / f"{stem}-{n}.log").exists():
        n += 1
    write_bytes(kept, content)
    return kept


def copy_on(folder: Path) -> None:
    """Give the copy all that the journal has beyond it.

    Raises:
        OSError: If it cannot be written; the next call then writes what it lacks.
    """
    journal, copy = folder / JOURNAL, folder / COPY
    begun, end = _size(copy), _size(journal)
    if begun < end:
        with journal.open("rb") as whole, copy.open("ab") as file:
            whole.seek(begun)
            file.write(whole.read(end - begun))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
