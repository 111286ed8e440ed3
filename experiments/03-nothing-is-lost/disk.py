"""Real file systems of memory that fill up in the middle of a study."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from commands import NAME, command, figures, study, values

__all__ = ["measure", "mountable"]

_ARGUMENTS = command(12, 12)


def mountable(work: Path) -> bool:
    """Whether a file system can be mounted here."""
    place = work / "tried"
    place.mkdir(exist_ok=True)
    if not _mount(place, "1m"):
        return False
    _unmount(place)
    return True


def measure(work: Path, shares: list[float]) -> dict[str, Any]:
    """Give a study a share of the room it needs, then enough."""
    whole = work / "whole"
    done = study(whole, _ARGUMENTS)
    assert done.code == 0, done.told
    files = [path for path in whole.rglob("*") if path.is_file()]
    pages = sum(path.stat().st_size // 4096 + 1 for path in files)
    wanted = values(whole / NAME), figures(whole / NAME)
    cases = []
    faults: list[str] = []
    for share in shares:
        place = work / "disk"
        place.mkdir(exist_ok=True)
        assert _mount(place, f"{int(share * pages) * 4}k")
        try:
            case = _case(place, wanted, faults)
        finally:
            _unmount(place)
        cases.append({"share": share, "kB": int(share * pages) * 4, **case})
        print(cases[-1], flush=True)
    return {"kB of the study": pages * 4, "cases": cases, "faults": faults}


def _case(place: Path, wanted: tuple[Any, str], faults: list[str]) -> dict[str, Any]:
    folder = place / NAME
    first = study(place, _ARGUMENTS)
    again = study(place, _ARGUMENTS)
    recorded = 0
    if folder.exists() and (folder / "journal.log").exists():
        try:
            recorded = sum(len(each) for *_, each in values(folder))
        except (OSError, KeyError):
            recorded = 0  # full before the study was there
    assert _mount(place, "64m", "remount,")
    last = study(place, _ARGUMENTS)
    for done in (first, again, last):
        if done.broke:
            faults.append(f"{done.code}: {done.told[-300:]}")
    same = last.code == 0 and (values(folder), figures(folder)) == wanted
    left = [path.name for path in place.rglob(".*")]
    if not same or left:
        faults.append(f"same: {same}, left behind: {left}")
    return {
        "full": first.code,
        "still full": again.code,
        "epochs recorded": recorded,
        "with room": last.code,
        "same values": same,
        "left behind": len(left),
    }


def _mount(place: Path, size: str, how: str = "") -> bool:
    if os.name == "nt" or not shutil.which("mount"):
        return False
    options = ["-t", "tmpfs", "-o", f"{how}size={size}", "tmpfs", str(place)]
    return subprocess.run(["mount", *options], capture_output=True).returncode == 0


def _unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", str(place)], check=True)
