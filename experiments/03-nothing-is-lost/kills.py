"""SIGKILL at random moments, each followed by the same command again."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from commands import NAME, Done, command, study, values

__all__ = ["measure"]

_N_TRIALS = 40


def measure(work: Path, kills: int, workers: int, seed: int) -> dict[str, Any]:
    """Kill studies until so many kills are done; each study goes on until it ends.

    With two workers, every other kill hits the command alone and lets its worker live.
    """
    arguments = command(_N_TRIALS, 12, *(["--workers", "2"] if workers == 2 else []))
    whole = _fresh(work / "whole")
    done = study(whole, arguments)
    assert done.code == 0, done.told
    reference, seconds = values(whole / NAME), done.wall
    # Early enough that most studies are killed more than once.
    latest = seconds * 0.6
    print(f"kills, {workers} worker(s): never killed {seconds:.1f} s", flush=True)
    random_moment = random.Random(seed)
    found: Counter[str] = Counter()
    faults: list[str] = []
    while found["kills"] < kills:
        out = _fresh(work / "killed")
        found["studies"] += 1
        while True:
            left = found["kills"] < kills
            after = random_moment.uniform(0.1, latest) if left else None
            whom = "leader" if workers == 2 and found["kills"] % 2 else "group"
            done = study(out, arguments, kill_after=after, whom=whom)
            if done.code != -signal.SIGKILL:
                break
            found["kills"] += 1
            found["of the command alone"] += whom == "leader"
            if "Traceback" in done.told:
                faults.append(done.told[-300:])
        _check(out / NAME, done, reference, workers, found, faults)
        print(dict(found), faults[-1:], flush=True)
    return {
        "workers": workers,
        "n_trials": _N_TRIALS,
        "seconds": round(seconds, 1),
        **{name: found[name] for name in _NAMES},
        "faults": faults,
    }


_NAMES = (
    *("kills", "of the command alone", "studies", "same values"),
    *("left running", "twice", "other than 40 trials"),
)


def _check(
    folder: Path,
    done: Done,
    reference: list[Any],
    workers: int,
    found: Counter[str],
    faults: list[str],
) -> None:
    """Count what a study that went on to its end has come to."""
    if done.broke or done.code:
        faults.append(f"{done.code}: {done.told[-300:]}")
        return
    trials = values(folder)
    found["same values"] += trials == reference
    found["left running"] += sum(state == "RUNNING" for _, state, _ in trials)
    found["other than 40 trials"] += len(trials) != _N_TRIALS
    found["twice"] += _twice(folder)
    if workers == 1 and trials != reference:
        faults.append("other values than the study that was never killed")


def _twice(folder: Path) -> int:
    """Epochs of a trial that the journal tells more than once, and equal trials."""
    told: Counter[tuple[int, int]] = Counter()
    for line in (folder / "journal.log").read_text("utf-8").splitlines():
        log = json.loads(line)
        if "intermediate_value" in log:
            told[log["trial_id"], log["step"]] += 1
    return sum(n > 1 for n in told.values())


def _fresh(folder: Path) -> Path:
    """An empty folder; a worker that outlived its command may still write there."""
    for _ in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(0.1)
    folder.mkdir(parents=True)
    return folder
