"""What every run of an experiment goes by, read from its ``study.toml``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from lab import Asked, settings

from tunekit import Config
from tunekit.space import Categorical, LogUniform, recipe_space
from tunekit.trial import Recipe

__all__ = ["Plan", "short"]

_PER_DECADE = 2


@dataclass(frozen=True)
class Plan:
    """Settings, and what is gone through.

    Attributes:
        config: The settings.
        recipe: What they hold fixed.
        choices: What is gone through, by name: the lists that they give.
        lrs: The learning rates: those of a list, or of a range two a decade.
        epochs: How many each run has.
        seeds: Of split, weights and mini-batches.
    """

    config: Config
    recipe: Recipe
    choices: dict[str, tuple[Any, ...]]
    lrs: tuple[float, ...]
    epochs: int
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, asked: Asked) -> Plan:
        """That of an experiment; a small one where it is only to show that it runs."""
        torch.set_num_threads(1)
        config = Config.from_mapping(settings(asked.home))
        space = recipe_space(config.space, 1024)
        lr = space.scales["lr"]
        assert isinstance(lr, Categorical | LogUniform)
        lrs = tuple(lr.choices) if isinstance(lr, Categorical) else _grid(lr)
        # A claim needs two samples.
        n_seeds = 2 if asked.quick else config.final_seeds
        return cls(
            config,
            Recipe().with_params(space.fixed),
            {
                name: tuple(scale.choices)
                for name, scale in space.scales.items()
                if isinstance(scale, Categorical) and name in config.space
            },
            lrs[::3] if asked.quick else lrs,
            3 if asked.quick else config.max_epochs,
            tuple(range(config.seed, config.seed + n_seeds)),
        )


def _grid(lr: LogUniform) -> tuple[float, ...]:
    low, high = math.log10(lr.low), math.log10(lr.high)
    points = range(round((high - low) * _PER_DECADE) + 1)
    return tuple(short(10 ** (low + p / _PER_DECADE)) for p in points)


def short(value: float) -> float:
    """The figures of it that a report keeps."""
    return float(f"{value:.6g}")
