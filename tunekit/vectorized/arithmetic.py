"""Activations and their derivatives over plain tensors, and batch norm's constants."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["BN_EPS", "BN_MOMENTUM", "backward_", "forward"]

BN_MOMENTUM = 0.1
"""Weight of the newest batch in the running averages: torch's default, the notes' 0.9
for what was before."""
BN_EPS = 1e-5

_aten = torch.ops.aten


def forward(name: str, y: Tensor, out: Tensor) -> None:
    """An activation of ``y`` into ``out``; ``y`` keeps what :func:`backward_` needs."""
    if name == "relu":
        torch.clamp_min(y, 0.0, out=out)
    elif name == "silu":
        _aten.silu.out(y, out=out)
    elif name == "gelu":
        _aten.gelu.out(y, out=out)
    elif name == "tanh":
        # tanh(y) = 2 sigmoid(2 y) - 1, which torch computes five times faster.
        y.mul_(2.0).sigmoid_().mul_(2.0).sub_(1.0)
        out.copy_(y)
    else:
        raise ValueError(f'unknown activation "{name}"')


def backward_(name: str, d: Tensor, y: Tensor) -> None:
    """Multiply a gradient by the activation's derivative, in place.

    Args:
        name: Which activation.
        d: The gradient of the activation's output.
        y: What :func:`forward` left of the activation's input.
    """
    if name == "relu":
        _aten.threshold_backward.grad_input(d, y, 0.0, grad_input=d)
    elif name == "silu":
        _aten.silu_backward.grad_input(d, y, grad_input=d)
    elif name == "gelu":
        _aten.gelu_backward.grad_input(d, y, grad_input=d)
    else:
        _aten.tanh_backward.grad_input(d, y, grad_input=d)
