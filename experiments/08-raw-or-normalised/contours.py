"""The cost of logistic regression over two weights, and gradient descent's way down.

Drawn is the cost with the bias at its best for any two weights, and a descent that sets
the bias so at every step: it goes down the very contours that are drawn. Beside it all
three are descended, as networks are trained.

Shapes: N rows, 3 parameters: two weights and the bias; P of them are descended.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from embedded import Rows

__all__ = ["DESCENTS", "DRAWN", "contours"]

DRAWN = "two weights"
DESCENTS = (DRAWN, "two weights and the bias")

_NEWTON = 50
_NEAR = 0.01
"""There is who has come this near, as a share of the way down from zero weights."""
_MOST = 1_000_000
_DRAWN = 60


def contours(rows: Rows) -> dict[str, Any]:
    """The optimum, the curvature there, and two ways of gradient descent.

    Args:
        rows: Two inputs, and two classes that no line parts without a fault.
    """
    # A bias at its best takes up the columns' means: without them it hardly moves, and
    # Newton's method finds it from wherever it was.
    drawn = _Cost(Rows(rows.x_NF - rows.x_NF.mean(0), rows.y_N), bias_at_best=True)
    whole = _Cost(rows, bias_at_best=False)
    best_3 = drawn.optimum()
    lowest, highest = drawn(best_3), drawn(drawn.start())
    return {
        "optimum": best_3[:2].tolist(),
        "curvature": drawn.curvature(best_3).tolist(),
        "drop": highest - lowest,
        **dict(zip(DESCENTS, map(_descent, (drawn, whole)), strict=True)),
    }


class _Cost:
    """The mean loss over some rows.

    Args:
        rows: Two inputs and two classes.
        bias_at_best: Whether it is one over two weights, with the bias at its best for
            them; over all three otherwise.
    """

    def __init__(self, rows: Rows, *, bias_at_best: bool) -> None:
        self._x_N3 = np.column_stack([rows.x_NF, np.ones(len(rows.y_N))])
        self._y_N = rows.y_N
        self._bias_at_best = bias_at_best

    def __call__(self, w_3: np.ndarray) -> float:
        z_N = self._x_N3 @ w_3
        return float((np.logaddexp(0, z_N) - self._y_N * z_N).mean())

    def start(self) -> np.ndarray:
        """Zero weights."""
        return self.put(np.zeros(3))

    def optimum(self) -> np.ndarray:
        """By Newton's method over all three."""
        best_3 = np.zeros(3)
        for _ in range(_NEWTON):
            step_3 = np.linalg.solve(self._second(best_3), self.gradient(best_3))
            best_3 = best_3 - step_3
        return best_3

    def gradient(self, w_3: np.ndarray) -> np.ndarray:
        """Where the bias is at its best, its own is 0 and the others' are those of the
        cost over two weights."""
        p_N = _sigmoid(self._x_N3 @ w_3)
        return self._x_N3.T @ (p_N - self._y_N) / len(p_N)

    def curvature(self, w_3: np.ndarray) -> np.ndarray:
        """The second derivatives, (P, P)."""
        full_33 = self._second(w_3)
        if not self._bias_at_best:
            return full_33
        # The bias follows the weights: the Schur complement.
        across_2 = full_33[:2, 2]
        return full_33[:2, :2] - np.outer(across_2, across_2) / full_33[2, 2]

    def put(self, w_3: np.ndarray) -> np.ndarray:
        """The same weights, with the bias at its best where it is to be."""
        if not self._bias_at_best:
            return w_3
        for _ in range(_NEWTON):
            p_N = _sigmoid(self._x_N3 @ w_3)
            step = (p_N - self._y_N).mean() / (p_N * (1 - p_N)).mean()
            w_3 = w_3 - np.array([0.0, 0.0, step])
            if abs(step) < 1e-12:
                break
        return w_3

    def _second(self, w_3: np.ndarray) -> np.ndarray:
        p_N = _sigmoid(self._x_N3 @ w_3)
        return (self._x_N3.T * (p_N * (1 - p_N))) @ self._x_N3 / len(p_N)


def _descent(cost: _Cost) -> dict[str, Any]:
    """Steps until it is near, at most all; and where the first ones lead.

    The learning rate is one over the largest second derivative at zero weights, where
    the cost is curved most; the condition is that derivative over the smallest one at
    the optimum. Along this one's direction a step leaves 1 - 1 / condition of the way.
    """
    w_3, best_3 = cost.start(), cost.optimum()
    lr = 1 / float(np.linalg.eigvalsh(cost.curvature(w_3))[-1])
    near = cost(best_3) + _NEAR * (cost(w_3) - cost(best_3))
    way, steps = [w_3[:2].tolist()], _MOST
    for step in range(1, _MOST + 1):
        w_3 = cost.put(w_3 - lr * cost.gradient(w_3))
        if step <= _DRAWN:
            way.append(w_3[:2].tolist())
        if steps == _MOST and cost(w_3) <= near:
            steps = step
        if step >= _DRAWN and steps < _MOST:
            break
    least = float(np.linalg.eigvalsh(cost.curvature(best_3))[0])
    return {
        "condition": 1 / (lr * least),
        "lr": lr,
        "steps": steps,
        "way": way,
    }


def _sigmoid(z_N: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -z_N))
