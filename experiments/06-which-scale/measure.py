"""The same draws on several scales, each of them trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import lab
from pool import Pool, value

from tunekit.seeds import numpy_generator
from tunekit.space import LogUniform, OneMinusLogUniform, Range, Uniform

__all__ = ["PARTS"]

Report = dict[str, Any]

SCALES: dict[str, type[Range]] = {
    "linear": Uniform,
    "log": LogUniform,
    "1-x": OneMinusLogUniform,
}
RATES = (1e-3, 1e-2, 1e-1)
"""Learning rates beside which momentum and the betas are drawn."""
WIDE = (0.0, 0.999)
SEEDS = 8
DRAWS = 24
"""Draws on each scale, for each learning rate."""

SUBJECTS: dict[str, Report] = {
    f"lr, {optimizer}": {
        "name": "lr",
        "optimizer": optimizer,
        "scales": ["linear", "log"],
        "right": "log",
    }
    for optimizer in ("sgd", "adam")
} | {
    f"{name}, {width}": {
        "name": name,
        "optimizer": "sgd" if name == "momentum" else "adam",
        # Nothing has a logarithm from zero on.
        "scales": ["linear", "log", "1-x"] if width == "narrow" else ["linear", "1-x"],
        "right": "1-x",
    }
    for width in ("narrow", "wide")
    for name in ("momentum", "beta1", "beta2")
}
"""``right``: the scale that the notes advise."""


def draws(asked: lab.Asked) -> Report:
    """Every subject for each seed: losses by learning rate and scale."""
    n = 4 if asked.quick else DRAWS
    seeds = []
    for seed in range(2 if asked.quick else SEEDS):
        pool = Pool.of({**lab.settings(asked.home), "seed": seed})
        seeds.append(_one_seed(pool, n))
        asked.say(f"seed {seed}")
    pool = Pool.of(lab.settings(asked.home))
    subjects = {
        key: {**of, "low": (ends := _ends(pool, key))[0], "high": ends[1]}
        for key, of in SUBJECTS.items()
    }
    return {"rates": [*RATES], "subjects": subjects, "seeds": seeds}


def _one_seed(pool: Pool, n: int) -> Report:
    jobs: list[tuple[str, str, str, float]] = []
    params: list[dict[str, Any]] = []
    for key, of in SUBJECTS.items():
        for rate in ("searched",) if of["name"] == "lr" else RATES:
            # Twice as many where there is one set of draws in place of three.
            shares = _shares(pool, key, 2 * n if of["name"] == "lr" else n)
            for scale in of["scales"]:
                for share in shares:
                    drawn = value(SCALES[scale](*_ends(pool, key)), share)
                    jobs.append((key, f"{rate}", scale, drawn))
                    fixed = {} if of["name"] == "lr" else {"lr": rate}
                    params.append(
                        {"optimizer": of["optimizer"], **fixed, of["name"]: drawn}
                    )
    losses = [pool.loss(fitted) for fitted in pool.train(params)]
    found: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for (key, rate, scale, drawn), loss in zip(jobs, losses, strict=True):
        _list(found, key, rate, scale).append(_short(loss))
        _list(values, key, rate, scale).append(_short(drawn))
    told = {"seed": pool.config.seed, "losses": found}
    # Those of one seed are drawn; all others follow from the seed.
    return {**told, "values": values} if pool.config.seed == 0 else told


def _list(into: dict[str, Any], *names: str) -> list[float]:
    *path, last = names
    for name in path:
        into = into.setdefault(name, {})
    found: list[float] = into.setdefault(last, [])
    return found


def _shares(pool: Pool, key: str, n: int) -> list[float]:
    """Where draws lie as shares of a scale: the same for all scales and rates."""
    generator = numpy_generator(pool.config.seed, key, "shares")
    return [float(share) for share in generator.random(n)]


def _ends(pool: Pool, key: str) -> tuple[float, float]:
    """The two ends of what is searched."""
    if key.endswith(", wide"):
        return WIDE
    scale = pool.scales[SUBJECTS[key]["name"]]
    assert isinstance(scale, Range)
    return scale.low, scale.high


def _short(number: float) -> float:
    return float(f"{number:.6g}")


PARTS: dict[str, Callable[[lab.Asked], Mapping[str, Any]]] = {"draws": draws}
