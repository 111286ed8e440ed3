"""One open run of the vectorized engine: where it stands, and what it has come to.

Between epochs a run's whole state can be taken out as plain tensors and numbers, and
put back in this process or another, on any device: the network by the names of
:class:`tunekit.mlp.MLP`, the optimizer's two moments by the same names, the steps and
epochs taken, and the best epoch so far.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from tunekit.mlp import MLP
from tunekit.seeds import seed_for, torch_generator
from tunekit.sizes import hidden_widths
from tunekit.trial import Fitted, Metrics, Run, State

__all__ = ["Member"]


class Member:
    """One run between its epochs.

    Attributes:
        run: What is trained.
        widths: Units of each hidden layer.
        net: The network's tensors by name, on the device; a stack that trains the run
            replaces them by views of its own memory.
        first: The optimizer's first moments (or momentum) by parameter name.
        second: Its second moments.
        steps: Optimizer steps taken.
        size: Parameters of the network.
        curve: The metrics of every epoch.
    """

    def __init__(
        self, run: Run, n_inputs: int, n_classes: int, like: Tensor, state: State | None
    ) -> None:
        """Open a run, from its initial weights or from a state.

        Args:
            run: What is trained.
            n_inputs: Inputs of the network.
            n_classes: Classes.
            like: A tensor of the device and precision to train in.
            state: What :meth:`save` gave.
        """
        recipe = run.recipe
        self.run = run
        self.widths = hidden_widths(recipe.n_layers, recipe.width, recipe.shape)
        self.dropout_key = seed_for(run.seed, run.draws, "dropout")
        self.steps = self.best_epoch = 0
        self.curve: list[Metrics] = []
        self.best_weights: dict[str, Tensor] = {}
        network = MLP(
            n_inputs,
            n_classes,
            n_layers=recipe.n_layers,
            width=recipe.width,
            shape=recipe.shape,
            activation=recipe.activation,
            generator=torch_generator(run.seed, run.origin, "weights"),
        )
        self.parameters = [name for name, _ in network.named_parameters()]
        self.net = {
            name: value.detach().to(like)
            for name, value in network.state_dict().items()
            if value.is_floating_point()
        }
        self.first = {
            name: torch.zeros_like(self.net[name]) for name in self.parameters
        }
        self.second = {
            name: torch.zeros_like(self.net[name]) for name in self.parameters
        }
        self.size = sum(self.net[name].numel() for name in self.parameters)
        if state is not None:
            self._load(state, like)

    @property
    def epoch(self) -> int:
        """Epochs completed."""
        return len(self.curve)

    @property
    def over(self) -> bool:
        """Whether the run has come to its own end: horizon, patience or divergence."""
        if not self.curve:
            return False
        tired = self.epoch - self.best_epoch >= self.run.patience
        return self.diverged or tired or self.epoch >= self.run.max_epochs

    @property
    def diverged(self) -> bool:
        """Whether the last epoch's loss was not finite."""
        return bool(self.curve) and not _finite(self.curve[-1])

    def hear(self, metrics: Metrics) -> None:
        """Note an epoch's metrics, and keep the weights if they are the best so far."""
        best = self.curve[self.best_epoch - 1].val_loss if self.best_epoch else math.inf
        self.curve.append(metrics)
        if _finite(metrics) and metrics.val_loss < best:
            self.best_epoch = self.epoch
            self.best_weights = self._state_dict()

    def fitted(self) -> Fitted:
        """What the run has come to."""
        return Fitted(
            curve=list(self.curve),
            best_epoch=self.best_epoch,
            weights=dict(self.best_weights),
            diverged=self.diverged,
        )

    def save(self) -> State:
        """The whole state, on the CPU."""
        parts: dict[str, dict[str, Any]] = {
            "net": self._state_dict(),
            "first": self.first,
            "second": self.second,
            "best": self.best_weights,
        }
        return State(
            tensors={
                f"{part}.{name}": value.detach().cpu().clone()
                for part, values in parts.items()
                for name, value in values.items()
            },
            steps=self.steps,
            best_epoch=self.best_epoch,
            curve=list(self.curve),
        )

    def park(self) -> None:
        """Move to memory of its own, on the CPU."""
        self.net, self.first, self.second = (
            {name: t.cpu().clone() for name, t in tensors.items()}
            for tensors in (self.net, self.first, self.second)
        )

    def _load(self, state: State, like: Tensor) -> None:
        self.net, self.first, self.second = (
            {name: state.tensors[f"{part}.{name}"].to(like) for name in tensors}
            for part, tensors in (
                ("net", self.net),
                ("first", self.first),
                ("second", self.second),
            )
        )
        self.best_weights = {
            name.removeprefix("best."): value
            for name, value in state.tensors.items()
            if name.startswith("best.")
        }
        self.steps, self.best_epoch = state.steps, state.best_epoch
        self.curve = list(state.curve)

    def _state_dict(self) -> dict[str, Tensor]:
        """The network as :class:`tunekit.mlp.MLP` saves it, on the CPU."""
        found = {name: value.detach().cpu().clone() for name, value in self.net.items()}
        for name in self.net:
            if name.endswith("running_var"):
                counted = name.replace("running_var", "num_batches_tracked")
                found[counted] = torch.tensor(self.steps)
        return found


def _finite(metrics: Metrics) -> bool:
    return math.isfinite(metrics.train_loss + metrics.val_loss)
