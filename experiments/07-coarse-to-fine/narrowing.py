"""What the notes do by hand: random draws in a region that narrows, and no model.

Draws are uniform, as of random search, but on each hyperparameter's scale between the
ends that the best fifth of the trials so far have there, four at least, and a margin
beyond; of choices, those that have been good or hardly tried. It is tunekit's own rule
(:mod:`tunekit.sampler.region`), for one hyperparameter at a time: for all together it
waits until there are twice as many trials as hyperparameters and more, which is longer
than the searches here that train every trial to its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial

from tunekit.sampler.cube import Cube
from tunekit.sampler.reader import Reader
from tunekit.sampler.region import Region, around

__all__ = ["NarrowingSampler", "kept"]


class NarrowingSampler(RandomSampler):
    """Random draws between the ends of the best trials; the first eight anywhere.

    A random sampler, so that whoever decides between a new trial and a paused one
    weighs a random draw.

    Args:
        space: The distribution of every hyperparameter, by stored name.
        seed: Of all draws.
        last: The epoch at which training ends.
    """

    def __init__(
        self, space: Mapping[str, BaseDistribution], *, seed: int, last: int
    ) -> None:
        super().__init__(seed)
        self._cube, self._seed, self._last = Cube(space), seed, last

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All of the space; what does not count in a trial is not asked for."""
        return self._cube.space

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """A point drawn in the region, as the values that stand there."""
        rng = np.random.default_rng([self._seed, trial.number])
        regions = self._regions(study, trial.number).values()
        point = [region.draw(rng.random((1, 1)))[0, 0] for region in regions]
        return self._cube.params(np.array(point))

    def region(self, study: optuna.Study) -> dict[str, Any]:
        """What it has narrowed to: ends or choices of every hyperparameter."""
        found: dict[str, Any] = {}
        for name, region in self._regions(study).items():
            found |= region.described(Cube({name: self._cube.space[name]}))
        return found

    def _regions(self, study: optuna.Study, but: int = -1) -> dict[str, Region]:
        """That of each hyperparameter alone, by the lowest loss of every trial."""
        # Read anew: a paused trial is shown as one that has ended, and may go on.
        reader = Reader(self._cube, maximize=False, last=self._last)
        history = reader.read(study.get_trials(deepcopy=False), but)
        lowest_T = np.full(len(history), np.inf)
        np.minimum.at(lowest_T, history.trial, history.values)
        return {
            name: around(Cube({name: each}), history.points[:, [i]], lowest_T)
            for i, (name, each) in enumerate(self._cube.space.items())
        }


def kept(region: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> float:
    """The share of a hyperparameter's range or choices that is left, mean over all.

    Args:
        region: Ends or choices by stored name; what is not there is whole.
        space: The distributions by stored name.
    """
    shares = []
    for name, axis in Cube(space).axes.items():
        if name not in region:
            shares.append(1.0)
        elif axis.n_choices:
            shares.append(len(region[name]) / axis.n_choices)
        else:
            low, high = map(axis.unit, region[name])
            # The ends of a whole number's range stand within it, not at its ends.
            begin, end = (axis.unit(axis.value(share)) for share in (0.0, 1.0))
            shares.append((high - low) / (end - begin))
    return sum(shares) / len(shares)
