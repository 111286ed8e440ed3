"""Whether a study has room on its disk: known before it begins, as far as it can be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tunekit.errors import ConfigError, StoppedError
from tunekit.sizes import state_bytes
from tunekit.space import Categorical, Range
from tunekit.store import Store
from tunekit.trial import Recipe
from tunekit.workers.setup import Setup

__all__ = ["check_room"]

_TRIAL_BYTES = 8000
"""A trial in the journal: its hyperparameters, and what it came to."""
_EPOCH_BYTES = 150
"""One more epoch of it."""
_SHOWN_BYTES = 8000, 400
"""The same in the curves and in the report."""
_FEW_TRIALS = 30
"""As many as where no budget is given, where none says how many there will be."""
_MOST_PAUSED = 500
"""More trials than these do not wait with a state."""


def check_room(setup: Setup) -> str:
    """Refuse to begin, or to go on, where not even the journal and a state have room.

    Args:
        setup: The study's parts.

    Returns:
        A line where the whole may not have room; else "".

    Raises:
        ConfigError: If a new study does not have room.
        StoppedError: If one that goes on does not.
    """
    config, folder = setup.config, setup.config.folder
    sizes = setup.table.x_train.shape[1], len(setup.table.classes)
    n_trials = min(config.n_trials or _FEW_TRIALS, config.epochs or 10**9)
    n_epochs = config.epochs or n_trials * config.max_epochs
    written = _size(folder / "journal.log")
    journal = max(0, n_trials * _TRIAL_BYTES + n_epochs * _EPOCH_BYTES - written)
    least = journal + state_bytes(setup.default_recipe(), *sizes)
    free = _free(folder)
    if free < least:
        line = (
            f"{folder} must have {_in_words(least)} of room for its journal and one "
            f"checkpoint, got {_in_words(free)}"
        )
        if Store.exists(folder):
            raise StoppedError(f"{line}; make room and run the same command again")
        raise ConfigError(f"{line}; make room or choose another --out")
    state = state_bytes(_largest(setup), *sizes)
    # Two states of each trial that waits; else only weights, a quarter of one.
    states = 2 * min(n_trials, _MOST_PAUSED) if config.pruner == "promote" else 5 / 4
    shown, more = _SHOWN_BYTES
    most = journal + states * state + n_trials * shown + n_epochs * more
    if free >= most:
        return ""
    return (
        f"{folder} has {_in_words(free)} of room, and networks as large as the space "
        f"allows could take {_in_words(most)}; should it get full, make room and run "
        "the same command again"
    )


def _largest(setup: Setup) -> Recipe:
    """The largest network of the space."""
    largest: dict[str, Any] = {}
    for name in ("n_layers", "width"):
        scale = setup.space.scales.get(name)
        if isinstance(scale, Range):
            largest[name] = int(scale.high)
        elif isinstance(scale, Categorical):
            largest[name] = max(int(str(choice)) for choice in scale.choices)
    shape = setup.space.scales.get("shape")
    if isinstance(shape, Categorical) and "block" in shape.choices:
        largest["shape"] = "block"
    return setup.default_recipe().with_params(largest)


def _free(folder: Path) -> float:
    """Bytes of room where a folder is, or will be; infinite where that is not known."""
    for above in (folder, *folder.absolute().parents):
        try:
            usage = shutil.disk_usage(above)
        except OSError:
            continue
        return usage.free if usage.total else float("inf")
    return float("inf")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _in_words(n_bytes: float) -> str:
    """A size as people read it.

    Example:
        >>> _in_words(712_345), _in_words(3e9)
        ('0.7 MB', '3.0 GB')
    """
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
