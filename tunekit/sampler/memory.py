"""What a search remembers in the study: constants of its model, and how it narrowed.

Finding the constants of a model takes longer than using it. They are found anew when
the history has grown by a third, and written to the study with the region of that
moment, so that every worker, and whoever goes on after a stop, has the same. They are
read from there each time: another worker may have been the last to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna

from tunekit.sampler.belief import Belief, believe, constants_of
from tunekit.sampler.cube import Floats
from tunekit.sampler.history import History

__all__ = ["REGIONS", "Memory", "view_of"]

REGIONS = "regions"
"""The study's user attribute: one entry a narrowing, oldest first."""
_GROWTH = 1.3


def view_of(study: optuna.Study) -> tuple[Any, int, int | None]:
    """What tells a study, or one bracket of Hyperband, from any other.

    A bracket is a study with some of the trials. It shows no attributes; those of its
    storage it has, as every study.
    """
    return study._storage, study._study_id, getattr(study, "_bracket_id", None)


class Memory:
    """Beliefs about one study, or one bracket of it.

    Args:
        study: Where constants are written; a bracket has an attribute of its own.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._storage, self._study_id, bracket = view_of(study)
        self._name = REGIONS if bracket is None else f"{REGIONS} of bracket {bracket}"
        self._latest: tuple[tuple[Any, ...], Belief] | None = None

    def belief(self, history: History, rungs: Sequence[int]) -> Belief:
        """What to believe after this history."""
        entries = self._storage.get_study_user_attrs(self._study_id)
        entries = entries.get(self._name, [])
        if entries and _fits(entries[-1], history):
            constants = np.array(entries[-1]["constants"])
            return self._believe(history, constants, rungs)
        constants = constants_of(history)
        belief = self._believe(history, constants, rungs)
        self._storage.set_study_user_attr(
            self._study_id, self._name, [*entries, _entry(belief, constants)]
        )
        return belief

    def _believe(
        self, history: History, constants: Floats, rungs: Sequence[int]
    ) -> Belief:
        """The belief; that of the last time, if nothing has changed."""
        key = history.cube, history.key, constants.tobytes(), tuple(rungs)
        latest = self._latest
        if latest is None or latest[0] != key:
            latest = self._latest = key, believe(history, constants, rungs)
        return latest[1]


def _fits(entry: dict[str, Any], history: History) -> bool:
    """Whether constants are of about as much history."""
    rows, few = len(history.values), int(entry["rows"])
    return entry["names"] == [*history.cube.axes] and few <= rows < _GROWTH * few


def _entry(belief: Belief, constants: Floats) -> dict[str, Any]:
    history = belief.history
    return {
        "trials": int(history.numbers[-1]) + 1,
        "rows": len(history.values),
        "names": [*history.cube.axes],
        "region": belief.region.described(history.cube),
        "constants": [float(each) for each in constants],
    }
