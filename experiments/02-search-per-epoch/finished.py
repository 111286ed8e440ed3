"""Runs of an experiment: each once, several at a time, kept as they end.

A finished run is a JSON file in a folder of its own; asked for again, it is read. One
that was made otherwise (another budget, another way to decide) is run again.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tunekit

__all__ = ["Job", "do_all", "source", "spawned"]

_DECIDING = (
    "sampler",
    "surrogate.py",
    "promising.py",
    "choosers.py",
    "rungs.py",
    "search.py",
    "seeded.py",
    "draws.py",
    "view.py",
)
"""What of tunekit decides which trial runs next."""


@dataclass(frozen=True)
class Job:
    """One run, and how it is known again."""

    name: str
    """``part/search/instance-seed``; the file in the folder of runs."""
    asked: dict[str, Any]
    """All that its result depends on, plain."""
    work: Callable[..., dict[str, Any]]
    """A function of a module, called with ``arguments`` in a process of its own."""
    arguments: tuple[Any, ...]

    def kept(self, folder: Path) -> dict[str, Any] | None:
        """Its result, if it is known."""
        path = folder / f"{self.name}.json"
        if not path.is_file():
            return None
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return found if found["asked"] == self.asked else None


def do_all(jobs: Sequence[Job], folder: Path, processes: int) -> list[dict[str, Any]]:
    """The results of all jobs, in their order; a line for each that had to be run.

    Args:
        jobs: What to do; those that take longest had better come last.
        folder: Where finished runs are kept.
        processes: Runs at a time.
    """
    left = [job for job in jobs if job.kept(folder) is None]
    print(f"{len(jobs)} runs, {len(jobs) - len(left)} known", flush=True)
    if left:
        with spawned(processes) as pool:
            try:
                _wait_for(pool, left, folder)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    results = [job.kept(folder) for job in jobs]
    return [result for result in results if result is not None]


def spawned(processes: int) -> ProcessPoolExecutor:
    """Processes that begin anew: a forked one keeps its parent's threads of BLAS."""
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"))


def _wait_for(pool: ProcessPoolExecutor, jobs: Iterable[Job], folder: Path) -> None:
    waiting = {pool.submit(_do, job, folder): job for job in jobs}
    for n, future in enumerate(as_completed(waiting), start=1):
        seconds = future.result()
        name = waiting[future].name
        print(f"[{n}/{len(waiting)}] {name}: {seconds:.1f} s", flush=True)


def _do(job: Job, folder: Path) -> float:
    """Run a job and keep its result, whole or not at all."""
    began = time.perf_counter()
    result = job.work(*job.arguments)
    seconds = time.perf_counter() - began
    path = folder / f"{job.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    kept = {"asked": job.asked, "seconds": round(seconds, 2), **result}
    unfinished.write_text(json.dumps(kept), encoding="utf-8")
    unfinished.replace(path)
    return seconds


def source() -> str:
    """Short for how tunekit decides: another after its code has changed."""
    root = Path(tunekit.__file__).parent
    found = hashlib.sha256()
    for each in _DECIDING:
        for path in sorted([root / each, *(root / each).glob("*.py")]):
            if path.is_file():
                found.update(path.read_bytes())
    return found.hexdigest()[:12]
