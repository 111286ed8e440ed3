"""Batch norm on and off, with a bias before it, and by whose statistics it predicts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import predicting
import torch
from embedded import embedded
from lab import Asked
from networks import norms, train, with_bias, with_memory
from plan import short
from rows import Table, begun
from side_by_side import SideBySide
from torch import Tensor
from torch.nn import functional as F

from tunekit.seeds import torch_generator
from tunekit.trial import Recipe

__all__ = ["PARTS"]

TABLES = ("digits", "wine", "breast_cancer")
_ADAM_LR = 0.003
_STEPS = 300
_LOOK = 2
"""The loss of all training rows is taken every so many steps."""
_REACHED = (0.1, 0.01)
"""Losses to come to, as shares of that of knowing the classes' shares alone."""

Found = dict[str, Any]


def _rates(asked: Asked) -> Found:
    """Steps to a loss at every learning rate, with batch norm and without."""
    plan = begun(asked)
    n_steps = 20 if asked.quick else _STEPS
    found: Found = {
        "lrs": list(plan.lrs),
        "look": _LOOK,
        "most": n_steps,
        "tables": {},
    }
    for name in TABLES:
        rows = embedded(name)
        share = np.bincount(rows.y_N) / len(rows.y_N)
        chance = -float((share * np.log(share)).sum())
        aims = [reached * chance for reached in _REACHED]
        sides: Found = {"aims": [*map(short, aims)], "with": [], "without": []}
        for seed in plan.seeds:
            table = Table.of(plan, rows, seed, torch.float32)
            for side in ("with", "without"):
                first = table.network(plan.recipe, seed)
                nets = SideBySide(first, plan.lrs, norm=side == "with")
                batches = table.batches(plan.recipe.batch_size, seed)
                sides[side].append(_curves(nets, table, batches, n_steps, aims))
        found["tables"][name] = sides
        asked.say(f"{name}: {len(plan.seeds)} seeds, {len(plan.lrs)} learning rates")
    return found


def _curves(
    nets: SideBySide,
    table: Table,
    batches: Iterator[tuple[Tensor, Tensor]],
    n_steps: int,
    aims: Sequence[float],
) -> Found:
    """For each aim the steps to it by learning rate (None: never); and the curve of
    whichever learning rate ends lowest."""
    looks = []
    for step, (x_BF, y_B) in enumerate(itertools.islice(batches, n_steps), 1):
        nets.step(x_BF, y_B)
        if step % _LOOK == 0:
            looks.append(nets.loss(table.x_train, table.y_train).tolist())
    by_lr = [*zip(*looks, strict=True)]
    steps = [
        [
            next((_LOOK * n for n, loss in enumerate(curve, 1) if loss <= aim), None)
            for curve in by_lr
        ]
        for aim in aims
    ]
    lowest = min(by_lr, key=lambda c: c[-1] if math.isfinite(c[-1]) else math.inf)
    return {"steps": steps, "curve": [short(loss) for loss in lowest]}


def _bias(asked: Asked) -> Found:
    """A bias before batch norm, beside the same network without one."""
    plan = begun(asked)
    recipes = {
        "SGD": plan.recipe,
        "Adam": replace(plan.recipe, optimizer="adam", lr=_ADAM_LR),
    }
    types = {"float64": torch.float64, "float32": torch.float32}
    found: Found = {}
    for (name, recipe), (kind, dtype) in itertools.product(
        recipes.items(), types.items()
    ):
        runs = []
        for seed in plan.seeds:
            table = Table.of(plan, embedded("digits"), seed, dtype)
            runs.append(_biased(table, recipe, seed, 10 if asked.quick else 170))
        found[f"{name}, {kind}"] = runs
        asked.say(f"{name}, {kind}")
    return found


def _biased(table: Table, recipe: Recipe, seed: int, n_steps: int) -> Found:
    plain, biased = (with_memory(table.network(recipe, seed)) for _ in range(2))
    generator = torch_generator(seed, "biases")
    starts = [torch.randn(recipe.width, generator=generator) for _ in norms(plain)]
    with_bias(biased, starts)
    linear = [biased.hidden[place] for place in range(0, len(biased.hidden), 4)]
    batches = [*itertools.islice(table.batches(recipe.batch_size, seed), n_steps)]
    x_BF, y_B = batches[0]
    logits = [net(x_BF) for net in (plain, biased)]
    F.cross_entropy(logits[1], y_B).backward()
    logits = [each.detach() for each in logits]
    gradient = max(float(each.bias.grad.abs().max()) for each in linear)
    of_beta = max(float(each.bias.grad.abs().max()) for each in norms(biased))
    curves = [train(net, batches, recipe) for net in (plain, biased)]
    moved = [
        float((each.bias.detach() - start.to(each.bias.dtype)).abs().max())
        for each, start in zip(linear, starts, strict=True)
    ]
    beta = [float(each.bias.detach().abs().max()) for each in norms(biased)]
    kept = biased(x_BF).detach()
    for each in linear:
        each.bias.data.zero_()
    return {
        "outputs": _apart(*logits),
        "outputs at the end": _apart(biased(x_BF).detach(), kept),
        "gradient": short(gradient / of_beta),
        "moved": short(max(moved)),
        "beta moved": short(max(beta)),
        "curves": short(max(abs(a - b) for a, b in zip(*curves, strict=True))),
        "last loss": short(curves[1][-1]),
    }


def _apart(plain_BC: Tensor, biased_BC: Tensor) -> float:
    """The largest difference, as a share of the largest output."""
    gap = (plain_BC - biased_BC).abs().max() / plain_BC.abs().max()
    return short(float(gap))


PARTS = {
    "rates": _rates,
    "bias": _bias,
    "test time": predicting.at_test_time,
    "momentum": predicting.momentum,
    "variance": predicting.variance,
}
