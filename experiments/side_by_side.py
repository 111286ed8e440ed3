"""Networks of one shape side by side, a learning rate each; batch norm or none.

The same initial weights and mini-batches for all, and gradient descent without anything
added, written out over stacked weights: what differs is the learning rate alone. A
network without batch norm is :class:`tunekit.mlp.MLP` with a bias in its place.

Shapes: K networks, B rows, F inputs, H units of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tunekit.mlp import MLP

__all__ = ["SideBySide"]

_EPS = nn.BatchNorm1d(1).eps


class SideBySide:
    """K copies of a network, each with its own learning rate.

    Args:
        first: Gives the initial weights; ReLU, no dropout.
        lrs: The learning rates.
        norm: Whether hidden layers have batch norm; by the batch's own statistics.
    """

    def __init__(self, first: MLP, lrs: Sequence[float], *, norm: bool) -> None:
        self._lr_K = torch.tensor(lrs, dtype=first.output.weight.dtype)
        self._norm = norm
        linear = [each for each in first.hidden if isinstance(each, nn.Linear)]
        self._layers = [self._stacked(each.weight.detach().t()) for each in linear]
        # Beta where there is batch norm, a bias where there is none; both begin at 0.
        zeros = [each.weight.new_zeros(1, each.out_features) for each in linear]
        self._shifts = [self._stacked(each) for each in zeros]
        self._gammas = [self._stacked(each + 1) for each in zeros] if norm else []
        self._out = self._stacked(first.output.weight.detach().t())
        self._out_bias = self._stacked(first.output.bias.detach()[None])

    def step(self, x_BF: Tensor, y_B: Tensor) -> Tensor:
        """One step of each network; the losses before it, (K,)."""
        params = self._params
        loss_K = self._losses(x_BF, y_B)
        # No network's loss depends on another's weights.
        grads = torch.autograd.grad(loss_K.sum(), params)
        with torch.no_grad():
            for param, grad in zip(params, grads, strict=True):
                param -= self._lr_K[:, None, None] * grad
        return loss_K.detach()

    def epoch(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        """A step a mini-batch; the mean loss over their rows, (K,)."""
        rows, total_K = 0, torch.zeros_like(self._lr_K)
        for x_BF, y_B in batches:
            total_K += len(y_B) * self.step(x_BF, y_B)
            rows += len(y_B)
        return total_K / rows

    @torch.no_grad()
    def loss(self, x_BF: Tensor, y_B: Tensor) -> Tensor:
        """The loss of each network over some rows as one batch, (K,)."""
        return self._losses(x_BF, y_B)

    @property
    def _params(self) -> list[Tensor]:
        hidden = [*self._layers, *self._shifts, *self._gammas]
        return [*hidden, self._out, self._out_bias]

    def _stacked(self, value: Tensor) -> Tensor:
        return value.expand(len(self._lr_K), -1, -1).clone().requires_grad_()

    def _losses(self, x_BF: Tensor, y_B: Tensor) -> Tensor:
        n = len(self._lr_K)
        a_KBH = x_BF.expand(n, -1, -1)
        for layer, (weight, shift) in enumerate(
            zip(self._layers, self._shifts, strict=True)
        ):
            if self._norm:
                z_KBH = a_KBH @ weight
                var, mean = torch.var_mean(z_KBH, 1, correction=0, keepdim=True)
                scale = self._gammas[layer] * torch.rsqrt(var + _EPS)
                z_KBH = (z_KBH - mean) * scale + shift
            else:
                z_KBH = torch.baddbmm(shift, a_KBH, weight)
            a_KBH = torch.relu(z_KBH)
        logits_KBC = torch.baddbmm(self._out_bias, a_KBH, self._out)
        each_KB = F.cross_entropy(
            logits_KBC.flatten(0, 1), y_B.repeat(n), reduction="none"
        ).view(n, -1)
        return each_KB.mean(1)
