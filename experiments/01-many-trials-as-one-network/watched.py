"""A command in a process of its own, watched: wall time, processor time, memory.

Memory is that of the whole tree of processes. ``VmHWM`` is what the kernel remembers as
each one's largest resident set, which costs nothing to look at and misses nothing, but
added up over processes it counts what they share more than once. ``Pss`` shares it out;
the kernel has to walk the page tables for that, so it is asked for only when told to,
in runs whose time is not used.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Watched", "run"]

_EVERY = 0.2
_EVERY_PSS = 0.05


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What a command took."""

    seconds: float
    cpu_seconds: float
    """Processor time of the whole tree."""
    rss_mb: float | None
    """The processes' largest resident sets, added up: an upper bound."""
    pss_mb: float | None
    """The largest proportional set of the whole tree, if it was asked for."""


def run(command: list[str], *, pss: bool = False) -> Watched:
    """Run a command to its end.

    Args:
        command: Program and arguments.
        pss: Whether to sample the proportional sets, which slows it down.

    Raises:
        SystemExit: If it fails, with the end of what it said.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        largest: dict[int, float] = {}
        most_pss = 0.0
        pid = 0
        while not pid:
            time.sleep(_EVERY_PSS if pss else _EVERY)
            tree = _tree(process.pid)
            for each in tree:
                largest[each] = max(
                    largest.get(each, 0.0), _kilobytes(f"/proc/{each}/status", "VmHWM:")
                )
            if pss:
                shares = [_kilobytes(f"/proc/{p}/smaps_rollup", "Pss:") for p in tree]
                most_pss = max(most_pss, sum(shares))
            # Not ``Popen.wait``: this one tells the processor time of the tree, too.
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            tail = "".join(said.readlines()[-25:])
            raise SystemExit(f"{' '.join(command)} failed:\n{tail}")
    return Watched(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        rss_mb=sum(largest.values()) / 1024 or None,
        pss_mb=most_pss / 1024 if pss and most_pss else None,
    )


def _tree(root: int) -> list[int]:
    """A process and all below it, where /proc tells; the process alone elsewhere."""
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").glob("*"):
            with suppress(OSError):
                todo += map(int, (task / "children").read_text().split())
    return found


def _kilobytes(path: str, name: str) -> float:
    """One line of a file under /proc; 0 where the process is gone."""
    with suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(name):
                return float(line.split()[1])
    return 0.0
