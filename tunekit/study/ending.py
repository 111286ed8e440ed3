"""The end of a study: by one process at a time, and whether what it made is whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from tunekit.errors import DataError, StoppedError

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

__all__ = ["one_judge", "read_only", "unjudged"]

_POLL_SECONDS = 0.1
_ENDS = ("n_trials", "budget_epochs", "timeout", "final_seeds", "stop_when_flat")
"""Settings that decide when a study has ended."""


@contextmanager
def one_judge(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time judge the winner; the lock dies with its process.

    Args:
        folder: The study's.
        say: Hears of it when another process is waited for.
    """
    lock = FileLock(folder / "leases" / "ending.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say("another command judges the winner: waiting for it")
        lock.acquire(poll_interval=_POLL_SECONDS)
    try:
        # What a process left that was killed while it saved a model: the lock is ours.
        # Where there is no model, what it left may be the only one.
        if (folder / "model").exists():
            for left in folder.glob(".model-*"):
                shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()


def unjudged(folder: Path, best: FrozenTrial | None) -> str:
    """What is missing or damaged of the winner's files, in words; empty for nothing.

    Args:
        folder: The study's.
        best: The winning trial.
    """
    from tunekit.predict.model import FOLDER, read
    from tunekit.report.reading import read_final

    try:
        final = read_final(folder)
    except DataError:
        return "final.json is damaged"
    if final is None:
        return "final.json is missing"
    if best is None or final["number"] != best.number:
        return "final.json is of another trial"
    if not (folder / FOLDER).exists():
        return f"{FOLDER}/ is missing"
    try:
        described, _ = read(folder / FOLDER)
    except DataError:
        return f"{FOLDER}/ is damaged"
    info = {"trial": final["number"], **final["model"]}
    return "" if described.get("info") == info else f"{FOLDER}/ is of another trial"


def read_only(
    folder: Path, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], optuna.Study]:
    """The report and the study of a folder that cannot be written, if it has ended.

    Args:
        folder: The study's; it is the very one that is asked for.
        settings: Those that are asked for.

    Raises:
        StoppedError: If there is anything left to do.
    """
    from optuna.trial import TrialState

    from tunekit.budget import best_of
    from tunekit.report import build
    from tunekit.report.reading import open_study
    from tunekit.store import settings_of

    before, study = settings_of(folder), open_study(folder)
    trials = study.get_trials(deepcopy=False)
    running = any(trial.state == TrialState.RUNNING for trial in trials)
    if any(before.get(name) != settings.get(name) for name in _ENDS):
        left = "another budget needs that"
    elif running or not study.user_attrs.get("finished"):
        left = "the study has not ended"
    else:
        left = unjudged(folder, best_of(trials))
    if left:
        raise StoppedError(
            f"{folder} must be writable, and is read-only ({left}); mend that, or copy "
            "the folder and name its new place with --out"
        )
    return build(folder), study
