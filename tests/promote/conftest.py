"""Engines, a study to begin, and what its folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from made_up import Curves, Rounds, create, reopen

from tunekit.store import Store
from tunekit.trial import Run

ENGINES = [(Curves, 1), (Rounds, 1), (Rounds, 4)]


def begin(folder: Path, **options: Any) -> Path:
    return create(folder, pruner="promote", **{"max_epochs": 9, **options})


def states(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").glob("*-epoch-*"))


def worse(run: Run, epoch: int) -> float:
    """Every trial is worse than the one before it."""
    return int(run.key.removeprefix("trial-")) + 1 / epoch


def larger(folder: Path, **options: Any) -> Store:
    store = reopen(folder)
    store.extend({**store.settings, **options})
    return reopen(folder)
