"""Softmax regression: with two classes, at its optimum, and beside a hidden layer.

Shapes: N rows, F inputs, C classes, P points of a grid.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import two_classes
from embedded import Rows, embedded
from lab import Asked
from networks import best, divided, fits
from plan import Plan, short
from sklearn.linear_model import LogisticRegression

from tunekit.batches import Batches
from tunekit.seeds import numpy_generator, torch_generator
from tunekit.trial import Recipe

__all__ = ["PARTS"]

_STEPS = 200
_EPOCHS = 3000
"""Steps over all rows, to the optimum."""
_TO_OPTIMUM = Recipe(
    n_layers=0,
    optimizer="sgd",
    momentum=0.9,
    nesterov=True,
    lr=0.1,
    weight_decay=0.01,
    schedule="constant",
)
_GRID = 60
_PER_CLASS = 100

Found = dict[str, Any]


def _two_classes(asked: Asked) -> Found:
    """Softmax and logistic regression, step by step."""
    plan = Plan.of(asked)
    n_steps = 20 if asked.quick else _STEPS
    found: Found = {}
    for (name, rows), (optimizer, recipe) in itertools.product(
        _PAIRS.items(), two_classes.OPTIMIZERS.items()
    ):
        runs = []
        for seed in plan.seeds:
            train, valid, _ = divided(plan, rows(), seed)
            some = Batches(
                torch.from_numpy(train.x_NF),
                torch.from_numpy(train.y_N),
                batch_size=plan.recipe.batch_size,
                seed=seed,
                key="all",
            )
            endless = itertools.chain.from_iterable(itertools.repeat(some))
            batches = [*itertools.islice(endless, n_steps)]
            run: Found = {}
            for times in (1, 2):
                run[f"{times}"], run["sum moved"] = two_classes.alike(
                    batches,
                    torch.from_numpy(valid.x_NF),
                    recipe,
                    times,
                    torch_generator(seed, "start"),
                )
            runs.append({key: short(value) for key, value in run.items()})
        found.setdefault(name, {})[optimizer] = runs
    return found


def _pair(name: str, classes: tuple[int, int]) -> Rows:
    """The rows of two classes alone."""
    rows = embedded(name)
    rows = rows.at(np.flatnonzero(np.isin(rows.y_N, classes)))
    return Rows(rows.x_NF, (rows.y_N == classes[1]).astype(np.int64))


_PAIRS = {
    "breast_cancer": lambda: embedded("breast_cancer"),
    "digits, 3 or 8": lambda: _pair("digits", (3, 8)),
    "iris, 1 or 2": lambda: _pair("iris", (1, 2)),
}


def _two_at_optimum(asked: Asked) -> Found:
    """Both and scikit-learn's, without regularisation, where there is an optimum.

    With all of its columns the table can be divided without a fault, and the loss falls
    for ever; with the first two it cannot.
    """
    plan = Plan.of(asked)
    rows = embedded("breast_cancer")
    runs = []
    for seed in plan.seeds:
        train, valid, _ = divided(plan, Rows(rows.x_NF[:, :2], rows.y_N), seed)
        x_NF, y_N = torch.from_numpy(train.x_NF), torch.from_numpy(train.y_N)
        two = two_classes.softmax(2, torch_generator(seed, "start"))
        one = two_classes.logistic_of(two)
        losses = [two_classes.optimum(model, x_NF, y_N) for model in (two, one)]
        theirs = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000)
        theirs.fit(train.x_NF, train.y_N)
        p_theirs = theirs.predict_proba(train.x_NF)
        losses.append(float(-np.log(p_theirs[np.arange(len(y_N)), train.y_N]).mean()))
        x_valid = torch.from_numpy(valid.x_NF)
        p = [two_classes.probability(model, x_valid).numpy() for model in (two, one)]
        p.append(theirs.predict_proba(valid.x_NF)[:, 1])
        runs.append(
            {
                "softmax": short(losses[0]),
                "losses apart": short(max(losses) - min(losses)),
                "softmax and logistic": short(np.abs(p[0] - p[1]).max()),
                "softmax and scikit-learn": short(np.abs(p[0] - p[2]).max()),
            }
        )
    return {"breast_cancer, two columns": runs}


def _optimum(asked: Asked) -> Found:
    """Tunekit's network without hidden layers, and scikit-learn's regression.

    A penalty on all weights, the bias among them, gives every table one optimum.
    """
    plan = Plan.of(asked)
    found: Found = {}
    for name in ("digits", "wine", "iris"):
        runs = []
        for seed in plan.seeds:
            train, valid, _ = divided(plan, embedded(name), seed)
            recipe = replace(_TO_OPTIMUM, batch_size=len(train.y_N))
            epochs = 50 if asked.quick else _EPOCHS
            (fitted,) = fits(train, valid, [recipe], epochs, seed, np.float64)
            ours = fitted.curve[-1]
            theirs = _by_sklearn(train, valid)
            runs.append(
                {
                    "tunekit": short(ours.val_loss),
                    "scikit-learn": short(theirs[0]),
                    "apart": short(abs(ours.val_loss - theirs[0])),
                    "errors apart": short(abs(1 - ours.val_score - theirs[1])),
                }
            )
        found[name] = runs
        asked.say(name)
    return found


def _by_sklearn(train: Rows, valid: Rows) -> tuple[float, float]:
    """Validation loss and error under the same penalty."""
    x_train, x_valid = (
        np.column_stack([part.x_NF, np.ones(len(part.y_N))]) for part in (train, valid)
    )
    strength = 1 / (_TO_OPTIMUM.weight_decay * len(train.y_N))
    model = LogisticRegression(
        C=strength, fit_intercept=False, tol=1e-12, max_iter=10_000
    )
    p = model.fit(x_train, train.y_N).predict_proba(x_valid)
    loss = -np.log(p[np.arange(len(p)), valid.y_N]).mean()
    return float(loss), float((p.argmax(1) != valid.y_N).mean())


def _boundaries(asked: Asked) -> Found:
    """Two inputs: whose class every point of the plane is given, and how straight the
    logarithm of two classes' odds lies over it."""
    plan = Plan.of(asked)
    found: Found = {}
    for name, rows in _PLANES.items():
        found[name] = {f"{layers}": [] for layers in plan.choices["n_layers"]}
        for seed in plan.seeds:
            train, valid, _ = divided(plan, rows(), seed)
            low, high = train.x_NF.min(0) - 0.3, train.x_NF.max(0) + 0.3
            axes = [np.linspace(a, b, _GRID) for a, b in zip(low, high, strict=True)]
            x_P2 = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
            for layers in plan.choices["n_layers"]:
                net = best(plan, train, valid, layers, seed)[0].double()
                with torch.no_grad():
                    logits_PC = net(torch.from_numpy(x_P2)).numpy()
                run: Found = {"bent": short(_bent(x_P2, logits_PC))}
                if seed == plan.seeds[0]:
                    run["ends"] = [short(each) for each in (*low, *high)]
                    run["map"] = _map(logits_PC)
                    run["rows"] = _dots(train)
                found[name][f"{layers}"].append(run)
        asked.say(name)
    return found


def _bent(x_P2: np.ndarray, logits_PC: np.ndarray) -> float:
    """The share of the log odds' deviation that no plane explains; of two classes those
    that are bent most."""
    basis_P3 = np.column_stack([x_P2, np.ones(len(x_P2))])
    shares = []
    for a, b in itertools.combinations(range(logits_PC.shape[1]), 2):
        odds_P = logits_PC[:, a] - logits_PC[:, b]
        fit_3, *_ = np.linalg.lstsq(basis_P3, odds_P, rcond=None)
        shares.append(np.std(odds_P - basis_P3 @ fit_3) / np.std(odds_P))
    return float(max(shares))


def _map(logits_PC: np.ndarray) -> list[str]:
    """The likeliest class of every point, a row a text, from the lowest."""
    places = logits_PC.argmax(1).reshape(_GRID, _GRID)
    return ["".join(f"{place}" for place in row) for row in places]


def _dots(train: Rows) -> list[list[float]]:
    return [
        [round(float(a), 2), round(float(b), 2), int(y)]
        for (a, b), y in zip(train.x_NF, train.y_N, strict=True)
    ]


def _rings() -> Rows:
    """Three classes of made-up rows, each around the one before it."""
    draws = numpy_generator(0, "rings")
    y_N = np.repeat(np.arange(3), _PER_CLASS)
    angle_N = draws.uniform(0, 2 * np.pi, len(y_N))
    radius_N = y_N + 0.6 + draws.normal(0, 0.15, len(y_N))
    x_NF = np.column_stack([radius_N * np.cos(angle_N), radius_N * np.sin(angle_N)])
    return Rows(x_NF, y_N)


def _columns(name: str, *chosen: int) -> Rows:
    rows = embedded(name)
    return Rows(rows.x_NF[:, chosen], rows.y_N)


_PLANES = {
    "iris (petal length and width)": lambda: _columns("iris", 2, 3),
    "wine (alcohol and flavanoids)": lambda: _columns("wine", 0, 6),
    "rings (made up)": _rings,
}


def _hidden(asked: Asked) -> Found:
    """What a hidden layer adds, on test rows."""
    plan = Plan.of(asked)
    tables = {
        "digits": lambda: embedded("digits"),
        "breast_cancer": lambda: embedded("breast_cancer"),
        "wine": lambda: embedded("wine"),
        "iris": lambda: embedded("iris"),
        "rings (made up)": _rings,
    }
    found: Found = {}
    for name, rows in tables.items():
        found[name] = {f"{layers}": [] for layers in plan.choices["n_layers"]}
        for seed in plan.seeds:
            train, valid, test = divided(plan, rows(), seed)
            for layers in plan.choices["n_layers"]:
                net, lr = best(plan, train, valid, layers, seed)
                with torch.no_grad():
                    logits = net(torch.from_numpy(test.x_NF.astype(np.float32)))
                y_N = torch.from_numpy(test.y_N)
                loss = float(torch.nn.functional.cross_entropy(logits, y_N))
                error = float((logits.argmax(1) != y_N).float().mean())
                run = {"loss": short(loss), "error": short(error), "lr": lr}
                found[name][f"{layers}"].append(run)
        asked.say(name)
    return found


PARTS = {
    "two classes": _two_classes,
    "two at the optimum": _two_at_optimum,
    "optimum": _optimum,
    "boundaries": _boundaries,
    "hidden": _hidden,
}
