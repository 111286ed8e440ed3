"""Grids and random draws in the same spaces, every point of them trained."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lab
from pool import Pool, value

from tunekit.seeds import numpy_generator

__all__ = ["PARTS"]

Params = dict[str, Any]
Report = dict[str, Any]

SPACES: dict[str, Report] = {
    "lr, 1 useless": {
        "optimizer": "adam",
        "useful": ["lr"],
        "useless": ["eps"],
        "values": [2, 3, 4, 5, 6, 8],
    },
    "lr, momentum": {
        "optimizer": "sgd",
        "useful": ["lr", "momentum"],
        "useless": [],
        "values": [2, 3, 4, 5, 6, 9],
    },
    "lr, momentum, 1 useless": {
        "optimizer": "sgd",
        "useful": ["lr", "momentum"],
        "useless": ["eps"],
        "values": [2, 3, 4],
    },
    "lr, momentum, 2 useless": {
        "optimizer": "sgd",
        "useful": ["lr", "momentum"],
        "useless": ["eps", "weight_decay"],
        "values": [2, 3],
    },
}
"""``values``: how many of each hyperparameter a grid tries, one grid each."""
EXAMPLE = ("lr, 1 useless", 5)
"""The grid that is drawn, with as many random draws: 25, as in the notes."""
SEEDS = 10


def searches(asked: lab.Asked) -> Report:
    """Every search in every space, for each seed."""
    spaces = SPACES
    if asked.quick:
        spaces = {
            name: {**each, "values": each["values"][:2]}
            for name, each in SPACES.items()
        }
    found = []
    for seed in range(2 if asked.quick else SEEDS):
        pool = Pool.of({**lab.settings(asked.home), "seed": seed})
        found.append(
            {
                "seed": seed,
                "spaces": {
                    name: _searched(pool, name, each) for name, each in spaces.items()
                },
            }
        )
        asked.say(f"seed {seed}")
    return {"spaces": spaces, "seeds": found}


def example(asked: lab.Asked) -> Report:
    """One grid and as many random draws, point by point."""
    name, values = EXAMPLE
    pool = Pool.of({**lab.settings(asked.home), "seed": 0})
    each = SPACES[name]
    names = _searched_names(each)
    n = values ** len(names)
    sides = {
        "grid": _grid(pool, name, names, values),
        "random": _random(pool, name, names, n),
    }
    points = {
        side: [
            {"params": params, "val_loss": _short(pool.loss(fitted))}
            for params, fitted in zip(
                drawn, pool.train(_whole(pool, each, drawn)), strict=True
            )
        ]
        for side, drawn in sides.items()
    }
    return {"space": name, "trials": n, "points": points}


def _searched(pool: Pool, name: str, space: Mapping[str, Any]) -> Report:
    """By search, [validation loss, test loss]: of all draws, of each grid's best."""
    names = _searched_names(space)
    most = max(space["values"]) ** len(names)
    jobs: dict[tuple[str, int], list[Params]] = {
        ("random", most): _random(pool, name, names, most)
    }
    for values in space["values"]:
        n = values ** len(names)
        jobs["grid", n] = _grid(pool, name, names, values)
        jobs["ends", n] = _grid_with_ends(pool, names, values)
    every = [_whole(pool, space, drawn) for drawn in jobs.values()]
    flat = [params for drawn in every for params in drawn]
    fits = pool.train(flat)
    losses = [pool.loss(fitted) for fitted in fits]

    def told(place: int) -> list[float]:
        test_loss = pool.test_loss(flat[place], fits[place])
        return [_short(losses[place]), _short(test_loss)]

    found: Report = {"random": [], "grid": {}, "ends": {}}
    begin = 0
    for (search, n), drawn in zip(jobs, every, strict=True):
        places = range(begin, begin + len(drawn))
        begin += len(drawn)
        if search == "random":
            found[search] = [told(place) for place in places]
        else:
            found[search][str(n)] = told(min(places, key=losses.__getitem__))
    return found


def _random(pool: Pool, space: str, names: Sequence[str], n: int) -> list[Params]:
    generator = numpy_generator(pool.config.seed, space, "random")
    return [
        {
            name: value(pool.scales[name], share)
            for name, share in zip(names, row, strict=True)
        }
        for row in generator.random((n, len(names))).tolist()
    ]


def _grid(pool: Pool, space: str, names: Sequence[str], values: int) -> list[Params]:
    """Evenly spaced on each scale, laid down at random.

    Each point is then as likely to lie anywhere as a random one: the two searches
    differ in nothing but in how their points lie to each other.
    """
    generator = numpy_generator(pool.config.seed, space, "grid", values)
    offsets = generator.random(len(names)).tolist()
    levels = {
        name: [value(pool.scales[name], (i + offset) / values) for i in range(values)]
        for name, offset in zip(names, offsets, strict=True)
    }
    return _product(levels)


def _grid_with_ends(pool: Pool, names: Sequence[str], values: int) -> list[Params]:
    """As tools lay it: from the low end of every range to the high one."""
    return _product({name: pool.scales[name].levels(values) for name in names})


def _product(levels: Mapping[str, Sequence[Any]]) -> list[Params]:
    return [
        dict(zip(levels, point, strict=True))
        for point in itertools.product(*levels.values())
    ]


def _whole(
    pool: Pool, space: Mapping[str, Any], drawn: Sequence[Params]
) -> list[Params]:
    """With the optimizer, and the middle of its range for what is not searched."""
    middle = {name: pool.scales[name].levels(1)[0] for name in ("eps", "weight_decay")}
    return [{"optimizer": space["optimizer"], **middle, **params} for params in drawn]


def _searched_names(space: Mapping[str, Any]) -> list[str]:
    return [*space["useful"], *space["useless"]]


def _short(number: float) -> float:
    return float(f"{number:.6g}")


PARTS: dict[str, Callable[[lab.Asked], Report]] = {
    "searches": searches,
    "example": example,
}
