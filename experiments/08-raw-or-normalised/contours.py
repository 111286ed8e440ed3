"""The cost of logistic regression over two weights, and gradient descent's way down.

Around its optimum the cost is a quadratic form: its contours are ellipses. The bias is
at its best for any two weights, so that what is drawn has two dimensions.

Shapes: N rows, 3 parameters: two weights and the bias.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from embedded import Rows

__all__ = ["contours"]

_NEWTON = 50
_NEAR = 0.01
"""There is who has come this near, as a share of the way down from zero weights."""
_MOST = 1_000_000
_DRAWN = 60


def contours(rows: Rows) -> dict[str, Any]:
    """The optimum, the curvature there, and the first steps of gradient descent.

    Args:
        rows: Two inputs, and two classes that no line parts without a fault.
    """
    x_N3 = np.column_stack([rows.x_NF, np.ones(len(rows.y_N))])
    best_3 = np.zeros(3)
    for _ in range(_NEWTON):
        gradient_3, curvature_33 = _derivatives(x_N3, rows.y_N, best_3)
        best_3 = best_3 - np.linalg.solve(curvature_33, gradient_3)
    _, at_best_33 = _derivatives(x_N3, rows.y_N, best_3)
    _, at_zero_33 = _derivatives(x_N3, rows.y_N, np.zeros(3))
    # With the bias at its best: the Schur complement.
    across_2 = at_best_33[:2, 2]
    curvature_22 = at_best_33[:2, :2] - np.outer(across_2, across_2) / at_best_33[2, 2]
    lr = 1 / np.linalg.eigvalsh(at_zero_33)[-1]
    steps, way = _descend(x_N3, rows.y_N, best_3, float(lr))
    return {
        "optimum": best_3[:2].tolist(),
        "curvature": curvature_22.tolist(),
        "condition": float(np.linalg.cond(curvature_22)),
        "drop": _cost(x_N3, rows.y_N, np.zeros(3)) - _cost(x_N3, rows.y_N, best_3),
        "lr": float(lr),
        "steps": steps,
        "way": way,
    }


def _descend(
    x_N3: np.ndarray, y_N: np.ndarray, best_3: np.ndarray, lr: float
) -> tuple[int, list[list[float]]]:
    """Steps until it is near, at most all; and where the first ones lead."""
    w_3 = np.zeros(3)
    lowest = _cost(x_N3, y_N, best_3)
    near = lowest + _NEAR * (_cost(x_N3, y_N, w_3) - lowest)
    way, steps = [w_3[:2].tolist()], _MOST
    for step in range(1, _MOST + 1):
        w_3 = w_3 - lr * (x_N3.T @ (_sigmoid(x_N3 @ w_3) - y_N)) / len(y_N)
        if step <= _DRAWN:
            way.append(w_3[:2].tolist())
        if steps == _MOST and _cost(x_N3, y_N, w_3) <= near:
            steps = step
        if step >= _DRAWN and steps < _MOST:
            break
    return steps, way


def _cost(x_N3: np.ndarray, y_N: np.ndarray, w_3: np.ndarray) -> float:
    z_N = x_N3 @ w_3
    return float((np.logaddexp(0, z_N) - y_N * z_N).mean())


def _derivatives(
    x_N3: np.ndarray, y_N: np.ndarray, w_3: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The first and the second."""
    p_N = _sigmoid(x_N3 @ w_3)
    gradient_3 = x_N3.T @ (p_N - y_N) / len(y_N)
    return gradient_3, (x_N3.T * (p_N * (1 - p_N))) @ x_N3 / len(y_N)


def _sigmoid(z_N: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -z_N))
