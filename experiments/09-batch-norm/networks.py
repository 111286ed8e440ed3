"""Tunekit's network with other batch norms in the place of its own.

Shapes: G groups of rows, B rows of one, F inputs, H units of a layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tunekit.mlp import MLP
from tunekit.optim import build_optimizer
from tunekit.seeds import torch_generator
from tunekit.trial import Recipe

__all__ = ["Norm", "Seen", "network", "norms", "train", "with_bias", "with_memory"]


@dataclass
class Seen:
    """The statistics of every mini-batch that a layer was trained with."""

    rows: list[int] = field(default_factory=list)
    means: list[Tensor] = field(default_factory=list)
    variances: list[Tensor] = field(default_factory=list)
    """Divided by the number of rows."""


class Norm(nn.Module):
    """Batch norm that keeps what it saw, and is told what to go by.

    Training does not depend on any running average: so one training serves all ways of
    averaging what it saw.

    Shape:
        Input (B, H) or (G, B, H), output the same; G are batches of their own.
    """

    def __init__(self, like: nn.BatchNorm1d) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = like.weight, like.bias, like.eps
        self.seen = Seen()
        self.given: tuple[Tensor, Tensor] | None = None
        """Mean and variance to go by in evaluation; the batch's own when None."""

    def forward(self, z: Tensor) -> Tensor:
        if self.given is not None and not self.training:
            mean, variance = self.given
        else:
            variance, mean = torch.var_mean(z, -2, correction=0, keepdim=True)
        if self.training:
            self.seen.rows.append(z.shape[-2])
            self.seen.means.append(mean.detach().flatten())
            self.seen.variances.append(variance.detach().flatten())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (z - mean) * scale + self.bias


def network(recipe: Recipe, n_inputs: int, n_classes: int, seed: int) -> MLP:
    """As tunekit begins with it."""
    return MLP(
        n_inputs,
        n_classes,
        n_layers=recipe.n_layers,
        width=recipe.width,
        dropout=recipe.dropout,
        generator=torch_generator(seed, "all", "weights"),
    )


def with_memory(net: MLP) -> MLP:
    """The same weights, each batch norm a :class:`Norm`."""
    for place, module in enumerate(net.hidden):
        if isinstance(module, nn.BatchNorm1d):
            net.hidden[place] = Norm(module)
    return net


def norms(net: MLP) -> list[Norm]:
    """Its batch norms, from the first layer."""
    return [module for module in net.hidden if isinstance(module, Norm)]


def with_bias(net: MLP, biases: Sequence[Tensor]) -> MLP:
    """The same weights, with a bias before each batch norm."""
    linear = (module for module in net.hidden if isinstance(module, nn.Linear))
    for module, bias in zip(linear, biases, strict=True):
        module.bias = nn.Parameter(bias.to(module.weight.dtype, copy=True))
    return net


def train(
    net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], recipe: Recipe
) -> list[float]:
    """One pass over mini-batches; the loss of each before its step."""
    optimizer = build_optimizer(recipe, net.parameters())
    losses = []
    for x_BF, y_B in batches:
        loss = F.cross_entropy(net(x_BF), y_B)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
