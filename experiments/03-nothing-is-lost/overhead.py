"""What a study's safety costs: with and without it, in turns."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from commands import NAME, command, study, values

__all__ = ["measure"]


def measure(work: Path, turns: int, n_trials: int) -> dict[str, Any]:
    """Run one study with and without, in turns; the share by which it takes longer."""
    arguments = command(n_trials, 30)
    found: dict[str, dict[str, list[float]]] = {}
    told: set[str] = set()
    for turn in range(turns):
        # Who comes first changes from turn to turn, too.
        order: list[tuple[str, Callable[[], None] | None]]
        order = [("with", None), ("without", _without)]
        for name, before in order[:: 1 - 2 * (turn % 2)]:
            shutil.rmtree(work / name, ignore_errors=True)
            done = study(work / name, arguments, before=before, patience=600)
            assert done.code == 0, done.told
            each = found.setdefault(name, {"cpu": [], "wall": []})
            each["cpu"].append(round(done.cpu, 2))
            each["wall"].append(round(done.wall, 2))
            told.add(str(values(work / name / NAME)))
            print(turn, name, f"cpu {done.cpu:.1f} wall {done.wall:.1f}", flush=True)
    faults = [] if len(told) == 1 else ["with and without, values differ"]
    ratios = {
        kind: [
            round(a / b - 1, 4)
            for a, b in zip(found["with"][kind], found["without"][kind], strict=True)
        ]
        for kind in ("cpu", "wall")
    }
    return {
        "turns": turns,
        "n_trials": n_trials,
        "seconds": found,
        "more": {
            kind: {"median": round(statistics.median(each), 4), "turns": each}
            for kind, each in ratios.items()
        },
        "faults": faults,
    }


def _without() -> None:
    """Switch off, in this process: checksums, the copy, the files of owners."""
    import tunekit.files
    import tunekit.states
    import tunekit.store.journal
    import tunekit.store.mending
    from tunekit.store.leases import Leases

    def plain(log: Mapping[str, Any]) -> bytes:
        return json.dumps(log, separators=(",", ":")).encode() + b"\n"

    def nothing(*_: Any, **__: Any) -> None:
        """Not done."""

    def unsaid(self: Leases, number: int, owner: Any) -> None:
        self._owners[number] = owner

    class NoDigest:
        def __init__(self, _: bytes = b"") -> None:
            pass

        def hexdigest(self) -> str:
            return "0" * 64

    class NoHashes:
        sha256 = NoDigest

    tunekit.store.journal.sealed = plain
    tunekit.store.journal.copy_on = nothing
    tunekit.store.mending.copy_on = nothing
    tunekit.states.hashlib = NoHashes
    Leases._say = unsaid
    # Waiting for the disk before a name is given, and before a block counts.
    tunekit.files.os = _NoSync(tunekit.files.os)
    tunekit.store.journal.os = _NoSync(tunekit.store.journal.os)


class _NoSync:
    """The module os, but for ``fsync``."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return (lambda _: None) if name == "fsync" else getattr(self._real, name)
