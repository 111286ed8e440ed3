"""The peer: scikit-learn's MLPClassifier, with the nearest it can express of a recipe.

It has SGD and Adam, ReLU and tanh, an L2 term; no batch norm, no dropout, no label
smoothing and none of the schedules. So it does *less* work a step than the others.
Every recipe is timed with the nearest there is (AdamW and RMSprop as Adam, SiLU and
GELU as ReLU); on those whose optimizer and activation it has by name, ``expressible``,
there is a ratio of its own. One prediction of the validation rows an epoch, as the
others do; no study around it.

    python by_sklearn.py JOB.json RESULT.json
"""

from __future__ import annotations

import json
import math
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

_SOLVERS = {"sgd": "sgd", "adam": "adam", "adamw": "adam", "rmsprop": "adam"}
_ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "silu": "relu", "gelu": "relu"}


def expressible(recipe: dict[str, Any]) -> bool:
    """Whether its optimizer and its activation are to be had by name."""
    has_optimizer = recipe["optimizer"] in ("sgd", "adam")
    return has_optimizer and recipe["activation"] in ("relu", "tanh")


def classifier(recipe: dict[str, Any]) -> MLPClassifier:
    """The nearest MLPClassifier."""
    width, funnel = recipe["width"], recipe["shape"] == "funnel"
    widths = [
        max(1, math.ceil(width / 2**layer)) if funnel else width
        for layer in range(recipe["n_layers"])
    ]
    return MLPClassifier(
        hidden_layer_sizes=tuple(widths),
        activation=_ACTIVATIONS[recipe["activation"]],
        solver=_SOLVERS[recipe["optimizer"]],
        # Its L2 term is divided by the rows of the batch.
        alpha=recipe["weight_decay"] * recipe["batch_size"],
        batch_size=recipe["batch_size"],
        learning_rate_init=recipe["lr"],
        momentum=recipe["momentum"],
        nesterovs_momentum=recipe["nesterov"],
        beta_1=recipe["beta1"],
        beta_2=recipe["beta2"],
        epsilon=recipe["eps"],
    )


def train(recipe: dict[str, Any], epochs: int, arrays: Any) -> dict[str, Any]:
    """One recipe to its end; one that diverges ends early, as its own error says."""
    began = time.perf_counter()
    network, losses = classifier(recipe), []
    classes = np.unique(arrays["y_train"])
    y_valid = arrays["y_valid"]
    for _ in range(epochs):
        try:
            network.partial_fit(arrays["x_train"], arrays["y_train"], classes=classes)
        except ValueError as error:
            if "non-finite" not in str(error):
                raise
            break
        proba = network.predict_proba(arrays["x_valid"])
        chosen = proba[np.arange(len(y_valid)), y_valid].astype(np.float64)
        losses.append(float(-np.log(np.maximum(chosen, 1e-300)).mean()))
    finite = [loss for loss in losses if math.isfinite(loss)]
    return {
        "epochs": len(losses),
        "best_val_loss": min(finite, default=None),
        "seconds": time.perf_counter() - began,
    }


def main(job: dict[str, Any]) -> dict[str, Any]:
    """All recipes, one after the other."""
    with np.load(job["arrays"]) as file:
        arrays = {name: file[name] for name in file.files}
    # What overflows in a recipe that diverges is known.
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    trials = [train(recipe, job["epochs"], arrays) for recipe in job["recipes"]]
    return {"seconds_search": time.perf_counter() - began, "trials": trials}


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    Path(sys.argv[2]).write_text(json.dumps(main(asked)), encoding="utf-8")
