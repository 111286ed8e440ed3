"""What raw and normalised inputs come to, at every learning rate of a grid.

Shapes: N rows, F inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from contours import DESCENTS, DRAWN, contours
from embedded import Rows, embedded, from_csv, normalised, parts, statistics
from lab import Asked
from plan import Plan, short
from training import (
    FORMS,
    NORMALISED,
    TRAIN,
    Curve,
    as_in_the_notes,
    fits,
    shortened,
)

from tunekit.mlp import MLP

__all__ = ["PARTS"]

TABLES = ("digits", "wine", "breast_cancer")
REAL = ("satellite", "winequality")
_TWO_COLUMNS = (1, 10)
"""Of breast_cancer: mean texture and radius error."""
_MOST_ROWS = 1000
_FEW = (1, 4, 16)
"""Rows that are normalised by their own statistics, where they should not be."""

Found = dict[str, Any]


def _curvature(asked: Asked) -> Found:
    """How round the cost of softmax regression is at its start.

    Its matrix of second derivatives at zero weights is that of the inputs' second
    moments, times a matrix of the classes alone whose eigenvalues are 0 and 1 / C.
    """
    plan = Plan.of(asked)
    found: Found = {}
    for name in TABLES:
        found[name] = {}
        for form, make in FORMS.items():
            runs = []
            for seed in plan.seeds:
                train, valid, _ = parts(embedded(name), plan.config.split, seed)
                x_NF = make(train, valid).train.x_NF
                x_NF = np.column_stack([x_NF, np.ones(len(x_NF))])
                # Singular values keep what their squares would lose to rounding.
                s = np.linalg.svd(x_NF / math.sqrt(len(x_NF)), compute_uv=False)
                largest = float(s[0] ** 2)
                runs.append(
                    {
                        "condition": short(largest / float(s[-1] ** 2)),
                        "largest lr": short(2 * train.n_classes / largest),
                    }
                )
            found[name][form] = runs
    return found


def _contours(asked: Asked) -> Found:
    """The notes' picture: the cost over two weights, of columns of unlike units."""
    plan = Plan.of(asked)
    rows = embedded("breast_cancer")
    rows = Rows(rows.x_NF[:, _TWO_COLUMNS], rows.y_N)
    found: Found = {"raw": [], NORMALISED: []}
    for seed in plan.seeds:
        train, _, _ = parts(rows, plan.config.split, seed)
        for form, each in (("raw", train), (NORMALISED, normalised(train)[0])):
            run = contours(each)
            for way in DESCENTS:
                if found[form] or way != DRAWN:  # one is drawn
                    del run[way]["way"]
            found[form].append(shortened(run))
    return found


def _training(asked: Asked) -> Found:
    return _of_tables(asked, {name: embedded(name) for name in TABLES})


def _real(asked: Asked) -> Found:
    """The same on real tables, where there are any."""
    if asked.tables is None or asked.quick:
        return {}
    paths = {name: asked.tables / name / f"{name}.csv" for name in REAL}
    return _of_tables(asked, {n: from_csv(p, _MOST_ROWS) for n, p in paths.items()})


def _of_tables(asked: Asked, tables: Mapping[str, Rows]) -> Found:
    plan = Plan.of(asked)
    found: Found = {"lrs": list(plan.lrs), "tables": {}}
    for name, rows in tables.items():
        chance = _entropy(rows.y_N)
        of_table: Found = {network: [] for network in TRAIN}
        for seed in plan.seeds:
            train, valid, _ = parts(rows, plan.config.split, seed)
            inputs = {form: make(train, valid) for form, make in FORMS.items()}
            for network, trained in TRAIN.items():
                curves = {
                    form: trained(plan, each, seed) for form, each in inputs.items()
                }
                of_table[network].append(_summed_up(plan, curves, chance))
        found["tables"][name] = {"chance": short(chance), **of_table}
        asked.say(f"{name}: {len(plan.seeds)} seeds, {len(plan.lrs)} learning rates")
    return found


def _summed_up(
    plan: Plan, curves: Mapping[str, Sequence[Curve]], chance: float
) -> Found:
    """What is kept of one seed: by form the last loss at each learning rate, the curve
    of the best one, and how soon both it and the normalised form are where the worse of
    the two ends. Where that is above the classes' shares nothing was learned: None."""
    last = {
        form: [c[-1] if len(c) == plan.epochs else None for c in of_form]
        for form, of_form in curves.items()
    }
    best = {form: min(_known(losses)) for form, losses in last.items()}
    aims = {form: max(each, best[NORMALISED]) for form, each in best.items()}
    return {
        form: {
            "last": losses,
            "curve": curves[form][losses.index(best[form])],
            "epochs": [
                _epochs_to(aims[form], curves[each]) if aims[form] < chance else None
                for each in (form, NORMALISED)
            ],
        }
        for form, losses in last.items()
    }


def _known(losses: Sequence[float | None]) -> list[float]:
    return [loss for loss in losses if loss is not None]


def _epochs_to(loss: float, curves: Sequence[Curve]) -> int:
    """The fewest epochs in which any learning rate comes to a loss."""
    return min(
        epoch for curve in curves for epoch, each in enumerate(curve, 1) if each <= loss
    )


def _new_rows(asked: Asked) -> Found:
    """Rows that are predicted, normalised by statistics that are not the training's."""
    plan = Plan.of(asked)
    found: Found = {}
    for name in TABLES:
        runs = []
        for seed in plan.seeds:
            train, valid, _ = parts(embedded(name), plan.config.split, seed)
            inputs = as_in_the_notes(train, valid)
            trained = fits(plan, inputs, seed, plan.recipe)
            best = min(
                (f for f in trained if f.best_epoch), key=lambda f: f.best.train_loss
            )
            net = MLP.of(plan.recipe, inputs.train.x_NF.shape[1], train.n_classes)
            net.load_state_dict(best.weights, strict=False)
            order = np.random.default_rng(seed).permutation(len(valid.y_N))
            runs.append(_losses_of_new(net.eval(), train, valid.at(order)))
        found[name] = runs
    return found


def _losses_of_new(net: MLP, train: Rows, valid: Rows) -> Found:
    mean_F, deviation_F, varies_F = statistics(train)
    used_NF = valid.x_NF[:, varies_F]

    def loss(x_NF: np.ndarray) -> float:
        with torch.no_grad():
            logits = net(torch.from_numpy(x_NF.astype(np.float32)))
        y = torch.from_numpy(valid.y_N)
        return short(float(torch.nn.functional.cross_entropy(logits, y)))

    def own(x_NF: np.ndarray) -> np.ndarray:
        spread_F = x_NF.std(0)
        return (x_NF - x_NF.mean(0)) / np.where(spread_F > 0, spread_F, 1.0)

    found = {"the training rows'": loss((used_NF - mean_F) / deviation_F)}
    found["their own, all at once"] = loss(own(used_NF))
    for few in reversed(_FEW):
        groups = [used_NF[i : i + few] for i in range(0, len(used_NF), few)]
        told = "row" if few == 1 else "rows"
        found[f"their own, {few} {told} at a time"] = loss(
            np.concatenate([own(group) for group in groups])
        )
    found["none: raw"] = loss(used_NF)
    return found


def _entropy(y_N: np.ndarray) -> float:
    share = np.bincount(y_N) / len(y_N)
    return float(-(share * np.log(share)).sum())


PARTS = {
    "curvature": _curvature,
    "contours": _contours,
    "training": _training,
    "new rows": _new_rows,
    "real": _real,
}
