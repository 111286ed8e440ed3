"""What is trained: forms of the inputs, and networks at every learning rate.

Shapes: N rows, F inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from embedded import Rows, normalised, statistics
from plan import Plan, short
from side_by_side import SideBySide

from tunekit.batches import Batches
from tunekit.data import Column, Preprocessor
from tunekit.feed import train_together
from tunekit.mlp import MLP
from tunekit.seeds import torch_generator
from tunekit.trial import Fitted, Recipe, Run
from tunekit.vectorized import VectorizedEngine

__all__ = [
    "FORMS",
    "NORMALISED",
    "TRAIN",
    "Curve",
    "Inputs",
    "as_in_the_notes",
    "fits",
    "shortened",
]

NORMALISED = "normalised"
_STREAM = "all"
"""All runs of a seed draw the same weights and mini-batches."""

Curve = list[float]


@dataclass(frozen=True)
class Inputs:
    """The rows of one table and seed, in one form."""

    train: Rows
    valid: Rows


def _raw(train: Rows, valid: Rows) -> Inputs:
    _, _, varies_F = statistics(train)
    train, valid = (Rows(part.x_NF[:, varies_F], part.y_N) for part in (train, valid))
    return Inputs(train, valid)


def as_in_the_notes(train: Rows, valid: Rows) -> Inputs:
    return Inputs(*normalised(train, valid))


def _robust(train: Rows, valid: Rows) -> Inputs:
    """What tunekit does unasked: median, quartiles, and extremes drawn in."""
    names = [str(f) for f in range(train.x_NF.shape[1])]
    frames = [pd.DataFrame(part.x_NF, columns=names) for part in (train, valid)]
    fitted = Preprocessor.fit(frames[0], [Column(name, "numeric", 0) for name in names])
    x_train, x_valid = (fitted.transform(f).astype(np.float64) for f in frames)
    return Inputs(Rows(x_train, train.y_N), Rows(x_valid, valid.y_N))


FORMS: dict[str, Callable[[Rows, Rows], Inputs]] = {
    "raw": _raw,
    NORMALISED: as_in_the_notes,
    "tunekit's": _robust,
}


def _softmax_regression(plan: Plan, inputs: Inputs, seed: int) -> list[Curve]:
    return _curves(plan, inputs, seed, plan.recipe.with_params({"n_layers": 0}))


def _with_batch_norm(plan: Plan, inputs: Inputs, seed: int) -> list[Curve]:
    return _curves(plan, inputs, seed, plan.recipe)


def _without_batch_norm(plan: Plan, inputs: Inputs, seed: int) -> list[Curve]:
    recipe, train = plan.recipe, inputs.train
    first = MLP(
        train.x_NF.shape[1],
        train.n_classes,
        n_layers=recipe.n_layers,
        width=recipe.width,
        generator=torch_generator(seed, _STREAM, "weights"),
    )
    nets = SideBySide(first, plan.lrs, norm=False)
    batches = Batches(
        torch.from_numpy(train.x_NF.astype(np.float32)),
        torch.from_numpy(train.y_N),
        batch_size=recipe.batch_size,
        seed=seed,
        key=_STREAM,
    )
    losses = [nets.epoch(batches).tolist() for _ in range(plan.epochs)]
    return [_finite(curve) for curve in zip(*losses, strict=True)]


TRAIN: dict[str, Callable[[Plan, Inputs, int], list[Curve]]] = {
    "softmax regression": _softmax_regression,
    "two hidden layers": _without_batch_norm,
    "two hidden layers, batch norm": _with_batch_norm,
}


def _curves(plan: Plan, inputs: Inputs, seed: int, recipe: Recipe) -> list[Curve]:
    return [
        _finite([metrics.train_loss for metrics in fitted.curve])
        for fitted in fits(plan, inputs, seed, recipe)
    ]


def fits(plan: Plan, inputs: Inputs, seed: int, recipe: Recipe) -> list[Fitted]:
    """Every learning rate of the grid, by tunekit's own engine."""
    train, valid = inputs.train, inputs.valid
    engine = VectorizedEngine(
        train.x_NF.astype(np.float32),
        train.y_N,
        valid.x_NF.astype(np.float32),
        valid.y_N,
        train.n_classes,
        "cpu",
        processes=1,
    )
    runs = [
        Run(
            recipe=recipe.with_params({"lr": lr}),
            max_epochs=plan.epochs,
            # Whoever diverges ends; nobody ends for being slow.
            patience=plan.epochs + 1,
            seed=seed,
            key=f"lr {lr:g}",
            stream=_STREAM,
        )
        for lr in plan.lrs
    ]
    return train_together(engine, runs, lambda heard: True)


def _finite(curve: Sequence[float]) -> Curve:
    """A curve up to where it diverged, if it did."""
    kept: Curve = []
    for loss in curve:
        if not math.isfinite(loss):
            break
        kept.append(short(loss))
    return kept


def shortened(value: Any) -> Any:
    """The same with all of its numbers short."""
    if isinstance(value, dict):
        return {key: shortened(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shortened(each) for each in value]
    return short(value) if isinstance(value, float) else value
