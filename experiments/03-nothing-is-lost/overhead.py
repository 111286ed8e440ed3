"""What a study's safety costs: with and without it, in turns."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from commands import NAME, forked, study, values

from tunekit.study import main as study_main

__all__ = ["measure"]


def measure(work: Path, turns: int, n_trials: int) -> dict[str, Any]:
    """Run one study with and without, in turns; the share by which it takes longer.

    As people run it: the whole space on the digits, for a minute or more.
    """
    arguments = ["--name", NAME, "--n-trials", f"{n_trials}"]
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
        "inside": _inside(work, arguments),
        "turns": turns,
        "n_trials": n_trials,
        "seconds": found,
        "more": {
            kind: {"median": round(statistics.median(each), 4), "turns": each}
            for kind, each in ratios.items()
        },
        "faults": faults,
    }


def _inside(work: Path, arguments: list[str]) -> dict[str, dict[str, float]]:
    """Share of one study's time that it spends in what :func:`_without` switches off.

    Noise of the machine cannot hide it, as it does where two runs are compared.
    """
    spent = {
        "waiting for the disk": {"cpu": 0.0, "wall": 0.0},
        "all else": {"cpu": 0.0, "wall": 0.0},
    }

    def timed(real: Callable[..., Any], what: str = "all else") -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            cpu, wall = time.thread_time(), time.perf_counter()
            try:
                return real(*given, **named)
            finally:
                spent[what]["cpu"] += time.thread_time() - cpu
                spent[what]["wall"] += time.perf_counter() - wall

        return call

    def main(given: list[str]) -> int:
        import hashlib
        import os

        import tunekit.files
        import tunekit.lines
        import tunekit.states
        import tunekit.store.journal as journal
        from tunekit.store.leases import Leases

        journal.sealed = timed(journal.sealed)
        journal.opened = timed(journal.opened)
        journal.copy_on = timed(journal.copy_on)
        Leases._say = timed(Leases._say)
        sync = _Patched(os, fsync=timed(os.fsync, "waiting for the disk"))
        tunekit.files.os = journal.os = sync
        tunekit.states.hashlib = _Patched(hashlib, sha256=timed(hashlib.sha256))
        code = study_main(given)
        (work / "spent.json").write_text(json.dumps(spent))
        return code

    done = forked(main, ["--out", str(work / "inside"), *arguments], patience=600)
    assert done.code == 0, done.told
    spent = json.loads((work / "spent.json").read_text())
    shares = {
        what: {
            "cpu": round(each["cpu"] / done.cpu, 4),
            "wall": round(each["wall"] / done.wall, 4),
        }
        for what, each in spent.items()
    }
    print("inside", shares, flush=True)
    return shares


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
    tunekit.files.os = _Patched(tunekit.files.os, fsync=nothing)
    tunekit.store.journal.os = tunekit.files.os


class _Patched:
    """A module, but for some names."""

    def __init__(self, real: Any, **names: Any) -> None:
        self._real = real
        vars(self).update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
