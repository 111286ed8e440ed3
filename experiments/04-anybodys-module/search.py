"""One search written twice: what each is, survives, leaves behind and hands over."""

from __future__ import annotations

import io
import random
import shutil
import signal
import tokenize
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from forked import Done, script
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

__all__ = ["HERE", "SCRIPTS", "came_to", "fresh", "measure", "trials_of"]

HERE = Path(__file__).resolve().parent
SCRIPTS = {"by hand": "by_hand.py", "by tunekit": "by_tunekit.py"}
_N_TRIALS = 20
_MANY = {"by hand": 110, "by tunekit": 62}
"""So many trials that fifty and some are pruned."""
_SAME = 1e-6
"""Two sums of the same losses differ by no more."""


def measure(work: Path, runs: int, kills: int, many: bool, seed: int) -> dict[str, Any]:
    """Both scripts, one after the other.

    Args:
        work: An empty folder.
        runs: Searches that are let run to their end.
        kills: SIGKILLs.
        many: Whether fifty trials and more are pruned with loaders of two workers each.
        seed: Of the moments of the kills.
    """
    found: dict[str, Any] = {}
    faults: list[str] = []
    for name, file in SCRIPTS.items():
        found[name] = {"lines": lines_of((HERE / file).read_text("utf-8")), "whole": []}
    for _ in range(runs):  # in turns: the machine is not alike all the time
        for name, file in SCRIPTS.items():
            whole = _whole(HERE / file, fresh(work / "whole"), faults)
            found[name]["whole"].append(whole)
            print(name, whole, flush=True)
    for name, file in SCRIPTS.items():
        path, seconds = HERE / file, min(e["seconds"] for e in found[name]["whole"])
        killed = _killed(name, path, work, kills, seconds, seed, faults)
        found[name]["kills"] = killed
    for name, file in SCRIPTS.items():
        left = _with_workers(name, HERE / file, work, many, faults)
        found[name]["workers"] = left
        print(name, left, flush=True)
    return {"n_trials": _N_TRIALS, "scripts": found, "faults": faults}


def lines_of(text: str) -> int:
    """Lines of code: neither empty, nor a comment, nor a docstring."""
    counted: set[int] = set()
    fresh = True  # at the start of a statement, where a string is a docstring
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in _SILENT:
            fresh = fresh or token.type == tokenize.NEWLINE
            continue
        if not (fresh and token.type == tokenize.STRING):
            counted.update(range(token.start[0], token.end[0] + 1))
        fresh = False
    return len(counted)


_SILENT = (
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER),
    *(tokenize.INDENT, tokenize.DEDENT),
)


def _whole(path: Path, folder: Path, faults: list[str]) -> dict[str, Any]:
    """A search that nobody kills."""
    done = script(path, folder, _N_TRIALS, 0)
    if done.code:
        faults.append(f"{path.name}: {done.code}: {done.told[-300:]}")
        return {"seconds": done.seconds}
    return {
        "seconds": round(done.seconds, 1),
        **came_to(trials_of(folder), done),
        **_files(folder),
    }


def came_to(trials: list[FrozenTrial], done: Done) -> dict[str, Any]:
    """What a search has come to, and whether its best weights are in our hands."""
    lowest = min(value for t in trials for value in t.intermediate_values.values())
    value, told = done.found["value of the model"], done.found["best value"]
    states = Counter(t.state.name for t in trials)
    return {
        "states": dict(sorted(states.items())),
        "epochs": sum(len(t.intermediate_values) for t in trials),
        "best value": round(told, 6),
        "the model has it": abs(value - told) < _SAME,
        "it is the lowest of all epochs": abs(lowest - told) < _SAME,
    }


def _killed(
    name: str,
    path: Path,
    work: Path,
    kills: int,
    seconds: float,
    seed: int,
    faults: list[str],
) -> dict[str, Any]:
    """Kill searches until so many kills are done; each goes on until it ends."""
    random_moment = random.Random(seed)
    found: Counter[str] = Counter()
    never = None
    if name == "by tunekit":
        script(path, fresh(work / "never"), _N_TRIALS, 0)
        never = values_of(trials_of(work / "never"))
    while found["kills"] < kills:
        folder = fresh(work / "killed")
        found["studies"] += 1
        done = None
        while done is None or done.code == -signal.SIGKILL:
            left = found["kills"] < kills
            # Early enough that most searches are killed more than once.
            after = random_moment.uniform(0.2, 0.6 * seconds) if left else None
            done = script(path, folder, _N_TRIALS, 0, kill_after=after)
            found["kills"] += done.code == -signal.SIGKILL
        if done.code:
            faults.append(f"{path.name}, killed: {done.code}: {done.told[-300:]}")
            continue
        trials = trials_of(folder)
        lost = [t for t in trials if not t.state.is_finished()]
        found["lost trials"] += len(lost)
        found["lost epochs"] += sum(len(t.intermediate_values) for t in lost)
        found["reached"] += len(trials) - len(lost) == _N_TRIALS
        found["same values"] += values_of(trials) == never
        print(name, dict(found), flush=True)
    names = ("kills", "studies", "lost trials", "lost epochs", "reached", "same values")
    return {each: found[each] for each in names}


def _with_workers(
    name: str, path: Path, work: Path, many: bool, faults: list[str]
) -> dict[str, Any]:
    """What fifty pruned trials leave in their process and on disk."""
    folder = fresh(work / "workers")
    n_trials = _MANY[name] if many else 4
    done = script(path, folder, n_trials, 2, patience=1800.0)
    if done.code != 0:
        faults.append(f"{path.name}, workers: {done.code}: {done.told[-300:]}")
        return {}
    return {
        "n_trials": n_trials,
        "seconds": round(done.seconds, 1),
        **came_to(trials_of(folder), done),
        "left": done.found["left"],
        "left once all is deleted": done.found["left once all is deleted"],
        **_files(folder),
    }


def _files(folder: Path) -> dict[str, Any]:
    found = [*folder.rglob("*")]
    return {
        "folders": sum(path.is_dir() for path in found),
        "files": sum(path.is_file() for path in found),
        "MB": round(sum(p.stat().st_size for p in found if p.is_file()) / 1e6, 2),
    }


def trials_of(folder: Path) -> list[FrozenTrial]:
    """All trials, as Optuna's own reader finds them."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage: Any = f"sqlite:///{folder / 'study.db'}"
    if not (folder / "study.db").is_file():
        journal = folder / "study" / "journal.log"
        storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.load_study(study_name="study", storage=storage).trials


def values_of(trials: list[FrozenTrial]) -> list[Any]:
    """What can be compared to the last bit."""
    return [(t.number, t.state, t.params, t.intermediate_values) for t in trials]


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
