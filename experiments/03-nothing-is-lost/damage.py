"""Every kind of file of a study folder, cut and with a byte flipped."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.datasets
from commands import NAME, Done, command, figures, predict, report, study, values

__all__ = ["FAILED", "KINDS", "Folders", "measure"]

KINDS = (
    *("journal.log", "journal.copy", "study.toml", "split.json", "final.json"),
    *("report.json", "report.html", "model/*", "checkpoints/*", "leases/*", "tb/*"),
)
FAILED = ("traceback", "other values", "no clear line")
_REPORTED = ("journal.log", "journal.copy", "study.toml", "split.json", "final.json")
_ARGUMENTS = command(12, 12)


class Folders:
    """A finished study, a half-done one, and what both must come to."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.finished = work / "finished"
        self.half = work / "half"
        done = study(self.finished, _ARGUMENTS)
        assert done.code == 0, done.told
        self.values = values(self.finished / NAME)
        self._halve(done.wall)
        self.figures = figures(self.finished / NAME)
        self.figures_of_half = self._reported_half()
        self.rows = work / "rows.npz"
        np.savez(self.rows, X=sklearn.datasets.load_digits().data[:20])
        told = predict(self.finished / NAME, self.rows, work / "predicted.csv")
        assert told.code == 0, told.told
        self.predicted = (work / "predicted.csv").read_bytes()

    def copy(self, which: str) -> Path:
        """A fresh copy of one of them, always at the same place."""
        here = self.work / "here"
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(getattr(self, which), here)
        return here

    def _halve(self, seconds: float) -> None:
        """Kill a study at more than half of its epochs."""
        total = sum(len(each) for *_, each in self.values)
        after = seconds / 2
        for _ in range(200):
            shutil.rmtree(self.half, ignore_errors=True)
            study(self.half, _ARGUMENTS, kill_after=after)
            try:
                n = sum(len(each) for *_, each in values(self.half / NAME))
            except (OSError, KeyError):
                n = 0
            kept = [*(self.half / NAME).glob("checkpoints/trial-*")]
            owners = [*(self.half / NAME).glob("leases/owner-*")]
            if total * 0.5 <= n <= total * 0.95 and kept and owners and self._twice:
                return
            after *= 0.95 if n > total * 0.95 else 1.05
        raise AssertionError("no half-done study came about")

    @property
    def _twice(self) -> bool:
        """Whether the journal of the half-done study and its copy are equally long.

        Killed between the two, its last round stands in one alone, and damage that
        takes it leaves the study of a moment before: two faults in place of one.
        """
        log, copy = (self.half / NAME / f"journal.{end}" for end in ("log", "copy"))
        return log.read_bytes() == copy.read_bytes()

    def _reported_half(self) -> str:
        here = self.copy("half")
        done = report(here / NAME)
        assert done.code == 0, done.told
        return figures(here / NAME)


def measure(work: Path, n: int, seed: int) -> dict[str, Any]:
    """Damage each kind of file ``n`` times by cuts and ``n`` times by flips."""
    folders = Folders(work)
    draw = random.Random(seed)
    counts: dict[str, dict[str, Counter[str]]] = {}
    faults: list[str] = []
    for which, kind, what in _plan(folders):
        found: Counter[str] = Counter()
        for harmed, here in _harmed(folders, which, kind, n, draw):
            outcome, told = _outcome(folders, which, what, here)
            found[outcome] += 1
            if outcome in FAILED:
                faults.append(f"{which}, {what}, {harmed}: {outcome}: {told}")
        counts.setdefault(kind, {})[f"{which}, {what}"] = found
        print(kind, which, what, dict(found), faults[-1:], flush=True)
    return {
        "cuts": n,
        "flips": n,
        "kinds": {
            kind: {each: dict(found) for each, found in of.items()}
            for kind, of in counts.items()
        },
        "faults": faults,
    }


def _plan(folders: Folders) -> Iterator[tuple[str, str, str]]:
    """Which study, which kind of file, which command."""
    for kind in KINDS:
        for which in ("finished", "half"):
            if not _files(getattr(folders, which) / NAME, kind):
                continue
            yield which, kind, "study"
            if kind in _REPORTED:
                yield which, kind, "report"
            if kind == "model/*":
                yield which, kind, "predict"


def _files(folder: Path, kind: str) -> list[Path]:
    """Files of a kind that hold anything; those of leases of others, too."""
    found = folder.rglob(kind) if kind != "tb/*" else (folder / "tb").rglob("*")
    return sorted(path for path in found if path.is_file() and path.stat().st_size)


def _harmed(
    folders: Folders, which: str, kind: str, n: int, draw: random.Random
) -> Iterator[tuple[str, Path]]:
    """Copies of a study with one file damaged, and in words how."""
    files = _files(getattr(folders, which) / NAME, kind)
    for i in range(2 * n):
        path = files[i % len(files)]
        here = folders.copy(which)
        name = path.relative_to(getattr(folders, which))
        content = bytearray(path.read_bytes())
        at = draw.randrange(len(content))
        if i < n:
            content, how = content[:at], "cut at"
        else:
            content[at] ^= draw.randrange(1, 256)
            how = "flipped at"
        (here / name).write_bytes(content)
        yield f"{name} {how} {at}", here


def _outcome(folders: Folders, which: str, what: str, here: Path) -> tuple[str, str]:
    """Recovered, refused in one line, or how it failed; and the last words."""
    folder = here / NAME
    if what == "study":
        done = study(here, _ARGUMENTS)
    elif what == "report":
        done = report(folder)
    else:
        done = predict(folder, folders.rows, here / "predicted.csv")
    last = (done.told.strip().splitlines() or [""])[-1][:300]
    if "Traceback" in done.told:
        return "traceback", last
    if done.broke:
        return "no clear line", f"{done.code}: {last}"
    if done.code:
        return "one line", last
    return ("recovered" if _same(folders, which, what, here, done) else FAILED[1]), last


def _same(folders: Folders, which: str, what: str, here: Path, done: Done) -> bool:
    folder = here / NAME
    if what == "predict":
        return (here / "predicted.csv").read_bytes() == folders.predicted
    if what == "report":
        wanted = folders.figures if which == "finished" else folders.figures_of_half
        return figures(folder) == wanted
    html = (folder / "report.html").read_text("utf-8")
    return (
        values(folder) == folders.values
        and figures(folder) == folders.figures
        and html.rstrip().endswith("</html>")
        and predict(folder, folders.rows, here / "predicted.csv").code == 0
        and (here / "predicted.csv").read_bytes() == folders.predicted
    )
