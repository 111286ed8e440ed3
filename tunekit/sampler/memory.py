"""What a search remembers in the study: constants of its model, and how it narrowed.

Finding the constants of a model takes longer than using it. They are found anew when
the history has grown by a third, and written to the study with the region of that
moment, so that every worker, and whoever goes on after a stop, has the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna

from tunekit.sampler.belief import Belief, believe, constants_of
from tunekit.sampler.cube import Floats
from tunekit.sampler.history import History

__all__ = ["REGIONS", "Memory"]

REGIONS = "regions"
"""The study's user attribute: one entry a narrowing, oldest first."""
_GROWTH = 1.3


class Memory:
    """Beliefs about one study.

    Args:
        study: Where constants are written, if it takes attributes.
    """

    def __init__(self, study: optuna.Study) -> None:
        # A view of one bracket of Hyperband takes none.
        self._study = study if isinstance(study, optuna.Study) else None
        self._entries: list[dict[str, Any]] = []

    def belief(self, history: History, rungs: Sequence[int]) -> Belief:
        """What to believe after this history."""
        entry = self._fitting(history)
        if entry is None:
            constants = constants_of(history)
            belief = believe(history, constants, rungs)
            self._remember(belief, constants)
            return belief
        return believe(history, np.array(entry["constants"]), rungs)

    def _fitting(self, history: History) -> Mapping[str, Any] | None:
        """The latest constants, if they are of about as much history."""
        for again in (False, True):
            if again and self._study is not None:
                self._entries = list(self._study.user_attrs.get(REGIONS, []))
            last = self._entries[-1] if self._entries else None
            if (
                last is not None
                and last["names"] == [*history.cube.axes]
                and last["rows"] <= len(history.values) < _GROWTH * last["rows"]
            ):
                return last
        return None

    def _remember(self, belief: Belief, constants: Floats) -> None:
        history = belief.history
        entry = {
            "trials": int(history.numbers[-1]) + 1,
            "rows": len(history.values),
            "names": [*history.cube.axes],
            "region": belief.region.described(history.cube),
            "constants": [float(each) for each in constants],
        }
        self._entries = [*self._entries, entry]
        if self._study is not None:
            self._study.set_user_attr(REGIONS, self._entries)
