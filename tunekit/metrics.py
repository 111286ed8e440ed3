"""Losses, scores, and how sure one can be of them.

Shapes: B rows, C classes, S seeds, N rows of a split; ``...`` any leading dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["accuracy", "cross_entropy", "interval", "row_losses"]


def cross_entropy(logits_BC: Tensor, y_B: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of softmax probabilities, computed stably from logits.

    Label smoothing mixes the target with the uniform distribution over the classes
    (Szegedy et al. 2016, section 7).

    Args:
        logits_BC: Logits, (..., B, C).
        y_B: Class indices, (..., B).
        smoothing: Weight of the uniform part, in [0, 1).

    Returns:
        The mean over B, shape (...).

    Example:
        >>> import torch
        >>> cross_entropy(torch.zeros(4, 2), torch.tensor([0, 1, 1, 0])).item()
        0.6931471824645996
    """
    logp_BC = logits_BC.log_softmax(-1)
    loss_B = -logp_BC.gather(-1, y_B.unsqueeze(-1)).squeeze(-1)
    if smoothing:
        loss_B = (1.0 - smoothing) * loss_B - smoothing * logp_BC.mean(-1)
    return loss_B.mean(-1)


def accuracy(logits_BC: Tensor, y_B: Tensor) -> Tensor:
    """Share of rows whose largest logit is the true class; (..., B, C) -> (...).

    Example:
        >>> import torch
        >>> logits_BC = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
        >>> accuracy(logits_BC, torch.tensor([0, 0])).item()
        0.5
    """
    return (logits_BC.argmax(-1) == y_B).to(logits_BC.dtype).mean(-1)


def row_losses(
    proba_NC: NDArray[np.float64], y_N: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Cross-entropy of each row from probabilities; one that is zero counts as 1e-300.

    Example:
        >>> row_losses(np.array([[0.5, 0.5]]), np.array([1])).round(3).tolist()
        [0.693]
    """
    chosen_N = proba_NC[np.arange(len(y_N)), y_N]
    losses_N: NDArray[np.float64] = -np.log(np.maximum(chosen_N, 1e-300))
    return losses_N


def interval(
    values_SN: NDArray[np.float64], *, share: bool = False, level: float = 0.95
) -> tuple[float, float]:
    """A confidence interval of the mean over seeds and rows, both taken as samples.

    The variance of the grand mean is that between seeds over S plus that between rows
    over N (two crossed random factors); the degrees of freedom are Satterthwaite's
    (1946). For a share (an error rate) the same variance enters Wilson's score interval
    (1927) as an effective number of rows, which stays inside [0, 1] and does not shrink
    to nothing when no error was seen.

    Args:
        values_SN: One value per seed and row: losses, or 0/1 errors.
        share: Whether the values are 0/1.
        level: Confidence.

    Returns:
        Low and high end.

    Example:
        >>> low, high = interval(np.zeros((5, 100)), share=True)
        >>> low, round(high, 3)
        (0.0, 0.038)
    """
    from scipy import stats

    n_seeds, n_rows = values_SN.shape
    mean = float(values_SN.mean())
    of_seeds = float(values_SN.mean(1).var(ddof=1)) / n_seeds if n_seeds > 1 else 0.0
    of_rows = float(values_SN.mean(0).var(ddof=1)) / n_rows if n_rows > 1 else 0.0
    variance = of_seeds + of_rows
    spread = 0.0
    if n_seeds > 1:
        spread += of_seeds**2 / (n_seeds - 1)
    if n_rows > 1:
        spread += of_rows**2 / (n_rows - 1)
    df = variance**2 / spread if spread > 0 else max(1, n_rows - 1)
    t = float(stats.t.ppf(0.5 + level / 2, df))
    if not share:
        half = t * variance**0.5
        return mean - half, mean + half
    n = mean * (1 - mean) / variance if variance > 0 else float(n_rows)
    centre = (mean + t**2 / (2 * n)) / (1 + t**2 / n)
    half = t / (1 + t**2 / n) * (mean * (1 - mean) / n + t**2 / (4 * n**2)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)
