"""Networks with and without hidden layers, by tunekit's engine."""

from __future__ import annotations

from typing import Any

import numpy as np
from embedded import Rows, normalised, parts
from plan import Plan

from tunekit.feed import train_together
from tunekit.mlp import MLP
from tunekit.trial import Fitted, Recipe, Run
from tunekit.vectorized import VectorizedEngine

__all__ = ["best", "divided", "fits"]


def divided(plan: Plan, rows: Rows, seed: int) -> list[Rows]:
    """Training, validation and test rows, normalised."""
    return normalised(*parts(rows, plan.config.split, seed))


def best(
    plan: Plan, train: Rows, valid: Rows, layers: int, seed: int
) -> tuple[MLP, float]:
    """The network with the lowest validation loss of all learning rates, and that."""
    recipes = [
        plan.recipe.with_params({"n_layers": layers, "lr": lr}) for lr in plan.lrs
    ]
    trained = fits(train, valid, recipes, plan.epochs, seed, np.float32)
    place = min(range(len(trained)), key=lambda n: trained[n].best.val_loss)
    net = MLP.of(recipes[place], train.x_NF.shape[1], train.n_classes)
    net.load_state_dict(trained[place].weights, strict=False)
    return net.eval(), recipes[place].lr


def fits(
    train: Rows,
    valid: Rows,
    recipes: list[Recipe],
    epochs: int,
    seed: int,
    dtype: type[np.floating[Any]],
) -> list[Fitted]:
    engine = VectorizedEngine(
        train.x_NF.astype(dtype),
        train.y_N,
        valid.x_NF.astype(dtype),
        valid.y_N,
        train.n_classes,
        "cpu",
        processes=1,
    )
    runs = [
        Run(
            recipe=recipe,
            max_epochs=epochs,
            patience=epochs,
            seed=seed,
            key=f"{n}",
            stream="all",
        )
        for n, recipe in enumerate(recipes)
    ]
    return train_together(engine, runs, lambda heard: True)
