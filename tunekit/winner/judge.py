"""What networks do on the locked test rows.

Shapes: S seeds, N test rows, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunekit.metrics import interval, row_losses
from tunekit.mlp import MLP
from tunekit.predict import Predictor
from tunekit.trial import Fitted, Recipe

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

    from tunekit.data import Table

__all__ = ["Judge", "confusion", "test_figures"]


class Judge:
    """Evaluates networks on the test rows, which are read and transformed once."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.frame, self.y_N = table.test_rows()
        self._x_NF = table.preprocessor.transform(self.frame)

    def probabilities(self, recipe: Recipe, fitted: Fitted) -> NDArray[np.float64]:
        """Probabilities of the classes for every test row, (N, C)."""
        table = self.table
        network = MLP.of(recipe, table.n_inputs, len(table.classes))
        network.load_state_dict(fitted.weights)
        predictor = Predictor(network, table.preprocessor, table.classes, recipe)
        return predictor.predict_proba_inputs(self._x_NF)

    def figures(
        self, proba_NC: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Loss and error (0 or 1) of every test row, each (N,)."""
        wrong_N = proba_NC.argmax(1) != self.y_N
        return row_losses(proba_NC, self.y_N), wrong_N.astype(float)

    def majority(self) -> NDArray[np.float64]:
        """The share of each class in the training rows, for every test row."""
        # One row more a class keeps the loss finite where a class has none (Laplace).
        n_classes = len(self.table.classes)
        counts_C = np.bincount(self.table.y_train, minlength=n_classes) + 1.0
        return np.tile(counts_C / counts_C.sum(), (len(self.y_N), 1))

    def linear(self, model: LogisticRegression) -> NDArray[np.float64]:
        """Probabilities of a linear model for every test row."""
        proba_NC = np.zeros((len(self.y_N), len(self.table.classes)))
        proba_NC[:, model.classes_] = model.predict_proba(self._x_NF)
        return proba_NC


def test_figures(
    judged: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> dict[str, Any]:
    """Means over seeds and rows, with intervals."""
    losses_SN = np.stack([loss for loss, _ in judged])
    errors_SN = np.stack([error for _, error in judged])
    low, high = interval(losses_SN)
    return {
        "loss": float(losses_SN.mean()),
        # A cross-entropy is never below zero, though a symmetric interval may be.
        "loss_interval": [max(0.0, low), high],
        "error": float(errors_SN.mean()),
        "error_interval": list(interval(errors_SN, share=True)),
        "seeds": losses_SN.shape[0],
        "rows": losses_SN.shape[1],
    }


def confusion(judge: Judge, proba_NC: NDArray[np.float64]) -> list[list[int]]:
    """Test rows by true class (rows) and predicted class (columns)."""
    n_classes = len(judge.table.classes)
    counts = np.bincount(
        judge.y_N * n_classes + proba_NC.argmax(1), minlength=n_classes * n_classes
    )
    rows: list[list[int]] = counts.reshape(n_classes, n_classes).tolist()
    return rows
