"""Softmax with two outputs beside logistic regression with one.

Softmax's gradient for its two rows of weights is the same but for the sign, so that
their difference takes two steps of logistic regression's at once.

Shapes: N rows, F inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tunekit.optim import build_optimizer
from tunekit.trial import Recipe

__all__ = ["OPTIMIZERS", "alike", "logistic_of", "optimum", "probability", "softmax"]

OPTIMIZERS = {
    "gradient descent": Recipe(optimizer="sgd", momentum=0.0, lr=0.1),
    "momentum": Recipe(optimizer="sgd", momentum=0.9, nesterov=False, lr=0.01),
    "Adam": Recipe(optimizer="adam", lr=0.01),
}


def softmax(n_inputs: int, generator: torch.Generator) -> nn.Linear:
    """Two outputs, at random weights."""
    model = nn.Linear(n_inputs, 2, dtype=torch.float64)
    with torch.no_grad():
        for each in model.parameters():
            each.normal_(0.0, 0.5, generator=generator)
    return model


def logistic_of(model: nn.Linear) -> nn.Linear:
    """One output, the difference of those two."""
    found = nn.Linear(model.in_features, 1, dtype=torch.float64)
    with torch.no_grad():
        found.weight.copy_(model.weight[1:] - model.weight[:1])
        found.bias.copy_(model.bias[1:] - model.bias[:1])
    return found


def probability(model: nn.Linear, x_NF: Tensor) -> Tensor:
    """Of the second class, (N,)."""
    with torch.no_grad():
        out = model(x_NF)
        return out.softmax(1)[:, 1] if out.shape[1] == 2 else out.sigmoid()[:, 0]


def alike(
    batches: Sequence[tuple[Tensor, Tensor]],
    x_NF: Tensor,
    recipe: Recipe,
    times: float,
    generator: torch.Generator,
) -> tuple[float, float]:
    """Both trained on the same mini-batches from equivalent starts.

    Args:
        batches: The mini-batches.
        x_NF: Rows whose probabilities are compared after every step.
        recipe: The optimizer of both.
        times: Logistic regression's learning rate over softmax's.
        generator: Draws the start.

    Returns:
        The largest difference of a probability, and how far the sum of softmax's two
        rows of weights has moved.
    """
    two = softmax(x_NF.shape[1], generator)
    one = logistic_of(two)
    recipe = replace(recipe, weight_decay=0.0)
    optimizers = [
        build_optimizer(recipe, two.parameters()),
        build_optimizer(replace(recipe, lr=times * recipe.lr), one.parameters()),
    ]
    start = two.weight.detach().sum(0)
    apart = 0.0
    for x_BF, y_B in batches:
        for model, optimizer in zip((two, one), optimizers, strict=True):
            optimizer.zero_grad()
            _loss(model, x_BF, y_B).backward()
            optimizer.step()
        gap_N = probability(two, x_NF) - probability(one, x_NF)
        apart = max(apart, float(gap_N.abs().max()))
    moved = two.weight.detach().sum(0) - start
    return apart, float(moved.abs().max())


def optimum(model: nn.Linear, x_NF: Tensor, y_N: Tensor) -> float:
    """Train to the lowest loss there is; that loss."""
    optimizer = torch.optim.LBFGS(
        model.parameters(),
        max_iter=1000,
        tolerance_grad=1e-12,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = _loss(model, x_NF, y_N)
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(_loss(model, x_NF, y_N).detach())


def _loss(model: nn.Linear, x_NF: Tensor, y_N: Tensor) -> Tensor:
    out = model(x_NF)
    if out.shape[1] == 2:
        return F.cross_entropy(out, y_N)
    return F.binary_cross_entropy_with_logits(out[:, 0], y_N.to(out.dtype))
