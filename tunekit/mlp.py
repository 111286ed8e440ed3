"""The network: blocks of Linear, BatchNorm1d, activation, dropout; then Linear.

    [ Linear(bias=False) ─ BatchNorm1d ─ activation ─ dropout ] * n_layers ─ Linear

No bias stands before a batch norm, because subtracting the batch's mean cancels it and
beta does its work (Ioffe & Szegedy 2015, section 3.2). In training, batch norm uses the
mean and variance of the mini-batch; in evaluation, their running averages, so that one
row at a time predicts the same as a batch. No hidden layer is softmax regression.

Shapes: B rows, F inputs, H units of a hidden layer, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tunekit.errors import ConfigError, did_you_mean
from tunekit.seeds import drop_limit, keep_mask
from tunekit.sizes import hidden_widths
from tunekit.trial import Recipe

__all__ = ["MLP", "Dropout"]

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}


class Dropout(nn.Module):
    """Dropout whose mask is a pure function of (key, epoch, step, layer, row, unit).

    Unlike ``torch.nn.Dropout`` it draws from no shared generator, so a run's masks
    depend neither on other runs nor on where training was interrupted. ``step`` counts
    training passes of an epoch; whoever trains sets it and the epoch.

    Shape:
        Input (B, H), output (B, H).

    Example:
        >>> layer = Dropout(0.5, key=7, layer=0)
        >>> layer(torch.ones(4, 3)).shape
        torch.Size([4, 3])
        >>> bool((layer.eval()(torch.ones(4, 3)) == 1).all())
        True
    """

    def __init__(self, p: float, *, key: int, layer: int) -> None:
        super().__init__()
        self.p, self.key, self.layer = p, key, layer
        self.epoch = self.step = 0

    def forward(self, x_BH: Tensor) -> Tensor:
        """Zero each unit with probability p and scale the others by 1 / (1 - p)."""
        if not self.training or not drop_limit(self.p):
            return x_BH
        rows, units = x_BH.shape
        keep_BH = keep_mask(
            self.key,
            self.epoch,
            self.step,
            self.layer,
            (rows, units),
            self.p,
            x_BH.device,
        )
        self.step += 1
        return x_BH * keep_BH / (1.0 - self.p)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"p={self.p}"


class MLP(nn.Module):
    """A multilayer perceptron for classification that returns logits.

    Shape:
        Input (B, n_inputs), output (B, n_classes).

    Example:
        >>> net = MLP(20, 3, n_layers=2, width=16)
        >>> net(torch.zeros(5, 20)).shape
        torch.Size([5, 3])
        >>> net.predict_proba(torch.zeros(5, 20)).sum(1).allclose(torch.ones(5))
        True
    """

    def __init__(
        self,
        n_inputs: int,
        n_classes: int,
        *,
        n_layers: int = 2,
        width: int = 128,
        shape: str = "block",
        activation: str = "relu",
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
        dropout_key: int = 0,
    ) -> None:
        """Build the network.

        Args:
            n_inputs: Inputs, F.
            n_classes: Classes, C.
            n_layers: Hidden layers; 0 is softmax regression.
            width: Units of the first hidden layer.
            shape: ``block`` or ``funnel``, see :func:`tunekit.sizes.hidden_widths`.
            activation: ``relu``, ``silu``, ``gelu`` or ``tanh``.
            dropout: Probability of leaving a hidden unit out, in [0, 1).
            generator: Draws the initial weights (CPU); torch's global one when None.
            dropout_key: Seed of the dropout masks.
        """
        super().__init__()
        if activation not in _ACTIVATIONS:
            raise ConfigError(
                f"activation must be one of {', '.join(_ACTIVATIONS)}, "
                f"got {activation!r}{did_you_mean(activation, _ACTIVATIONS)}"
            )
        blocks: list[nn.Module] = []
        n_in = n_inputs
        for layer, n_out in enumerate(hidden_widths(n_layers, width, shape)):
            blocks += [
                _Linear(n_in, n_out, bias=False),
                nn.BatchNorm1d(n_out),
                _ACTIVATIONS[activation](),
                Dropout(dropout, key=dropout_key, layer=layer),
            ]
            n_in = n_out
        self.hidden = nn.Sequential(*blocks)
        self.output = _Linear(n_in, n_classes)
        self.reset_parameters(generator)

    @classmethod
    def of(cls, recipe: Recipe, n_inputs: int, n_classes: int) -> MLP:
        """The network that a recipe describes, for weights that will be loaded."""
        return cls(
            n_inputs,
            n_classes,
            n_layers=recipe.n_layers,
            width=recipe.width,
            shape=recipe.shape,
            activation=recipe.activation,
            dropout=recipe.dropout,
        )

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew, in order: torch's own uniform (1 / sqrt(fan in))."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                bound = 1.0 / math.sqrt(max(1, module.in_features))
                nn.init.uniform_(module.weight, -bound, bound, generator=generator)
                if module.bias is not None:
                    nn.init.uniform_(module.bias, -bound, bound, generator=generator)
            elif isinstance(module, nn.BatchNorm1d):
                module.reset_parameters()

    def forward(self, x_BF: Tensor) -> Tensor:
        """Logits, one row each."""
        logits: Tensor = self.output(self.hidden(x_BF))
        return logits

    def predict_proba(self, x_BF: Tensor) -> Tensor:
        """Probabilities of the classes: the softmax of the logits (its one place)."""
        return F.softmax(self(x_BF), dim=-1)

    def set_step(self, epoch: int, step: int) -> None:
        """Say which epoch and mini-batch (both from 0) comes next; dropout depends."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.epoch, module.step = epoch, step


class _Linear(nn.Linear):
    """Leaves its weights to the network, so that torch's own stream stays as it is."""

    def reset_parameters(self) -> None:
        """Nothing: :meth:`MLP.reset_parameters` draws them."""
