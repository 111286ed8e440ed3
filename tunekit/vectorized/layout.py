"""Where the runs of a stack lie in memory.

Hidden units of all runs stand side by side: a layer is one matrix (rows of the batch,
columns of all runs), so batch norm, activation and dropout are one call for all. A
run's columns begin at a multiple of 32; what is left between runs stays zero. torch
computes what is left over from whole vectors by other functions, which round otherwise;
no run has such a rest, so that its last bit does not depend on who stands beside it.
Gains, shifts and running statistics of a layer are vectors over the same columns. Each
run's weights lie together, so that its optimizer takes one step over few tensors.

Shapes: K runs, F inputs, R columns of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tunekit.trial import ACTIVATIONS
from tunekit.vectorized.member import Member

__all__ = ["ALIGNED", "Columns", "Memory", "aligned", "columns_of", "in_order"]

ALIGNED = 32
"""Columns of a run begin at its multiples: two of the widest vectors of floats."""


@dataclass(frozen=True)
class Columns:
    """One hidden layer of a stack.

    Attributes:
        members: Which runs have this layer.
        starts: The first column of each of them.
        widths: Their units.
        total: Columns in all, R.
        activations: (name, first column, one past the last) of each stretch of runs
            with the same activation.
    """

    members: list[int]
    starts: list[int]
    widths: list[int]
    total: int
    activations: list[tuple[str, int, int]]


def in_order(members: Sequence[Member]) -> list[Member]:
    """Runs as they stand in a stack: those with one activation side by side."""
    return sorted(
        members, key=lambda m: (ACTIVATIONS.index(m.run.recipe.activation), m.run.key)
    )


def columns_of(members: Sequence[Member]) -> list[Columns]:
    """The layers of a stack, up to the deepest run's."""
    layers = []
    for layer in range(max(len(m.widths) for m in members)):
        having = [k for k, m in enumerate(members) if len(m.widths) > layer]
        starts, at = [], 0
        stretches: list[tuple[str, int, int]] = []
        for k in having:
            starts.append(at)
            begin, at = at, at + aligned(members[k].widths[layer])
            name = members[k].run.recipe.activation
            if stretches and stretches[-1][0] == name:
                begin = stretches.pop()[1]
            stretches.append((name, begin, at))
        if [name for name, _, _ in stretches] == ["gelu"]:
            # Of a whole matrix torch has another GELU, which rounds otherwise and is
            # the slower one: a rest of columns makes it part of one.
            at += ALIGNED
        widths = [members[k].widths[layer] for k in having]
        layers.append(Columns(having, starts, widths, at, stretches))
    return layers


class Memory:
    """Parameters, gradients, moments and running statistics of all runs of a stack.

    Attributes:
        state: All that changes from step to step but the gradients, in one tensor: a
            copy of it is a copy of every run.
        gammas, betas: Per layer (R,), views of the parameters.
        d_gammas, d_betas: Their gradients.
        running_means, running_vars: Per layer (R,).
        d_biases: Gradients of the output layers' biases, (K, C).
        lists: For each run, its (parameters, gradients, first moments, second moments)
            as lists of tensors that the optimizer takes.
        nets, grads: For each run, its tensors and gradients by name.
    """

    def __init__(
        self,
        members: Sequence[Member],
        layers: Sequence[Columns],
        n_classes: int,
        like: Tensor,
    ) -> None:
        bodies = [
            aligned(sum(m.net[n].numel() for n in m.parameters if m.net[n].dim() == 2))
            for m in members
        ]
        per_layer = sum(columns.total for columns in layers)
        n_biases = aligned(len(members) * n_classes)
        size = sum(bodies) + n_biases + 2 * per_layer
        self.state = like.new_zeros(3 * size + 2 * per_layer)
        params, first, second, running = torch.split(
            self.state, [size] * 3 + [2 * per_layer]
        )
        gradients = like.new_zeros(size)
        flats = (params, gradients, first, second)
        cut = [*bodies, n_biases, *[c.total for c in layers for _ in range(2)]]
        pieces = [torch.split(flat, cut) for flat in flats]
        n_members = len(members)
        blocks = [
            piece[n_members][: n_members * n_classes].view(n_members, n_classes)
            for piece in pieces
        ]
        vectors = [piece[n_members + 1 :] for piece in pieces]
        self.d_biases = blocks[1]
        self.gammas, self.betas = vectors[0][::2], vectors[0][1::2]
        self.d_gammas, self.d_betas = vectors[1][::2], vectors[1][1::2]
        statistics = torch.split(running, cut[n_members + 1 :])
        self.running_means, self.running_vars = statistics[::2], statistics[1::2]
        self.lists: list[list[list[Tensor]]] = []
        found: list[list[dict[str, Tensor]]] = []
        for k, member in enumerate(members):
            lists, named = [], []
            for piece, block, vector in zip(pieces, blocks, vectors, strict=True):
                tensors, names = _views(k, member, layers, piece[k], block[k], vector)
                lists.append(tensors)
                named.append(names)
            self.lists.append(lists)
            found.append(named)
        self.nets = [named[0] for named in found]
        self.grads = [named[1] for named in found]
        self._moments = [(named[2], named[3]) for named in found]
        for k, member in enumerate(members):
            for layer, columns in enumerate(layers[: len(member.widths)]):
                where = _where(k, columns)
                name = f"hidden.{4 * layer + 1}.running_"
                self.nets[k][name + "mean"] = self.running_means[layer][where]
                self.nets[k][name + "var"] = self.running_vars[layer][where]

    def take(self, members: Sequence[Member]) -> None:
        """Copy the runs' tensors in; from now on they are views of this memory."""
        for k, member in enumerate(members):
            first, second = self._moments[k]
            for mine, theirs in (
                (self.nets[k], member.net),
                (first, member.first),
                (second, member.second),
            ):
                names = list(theirs)
                torch._foreach_copy_(
                    [mine[name] for name in names], [theirs[name] for name in names]
                )
            member.net, member.first, member.second = self.nets[k], first, second


def _views(
    k: int,
    member: Member,
    layers: Sequence[Columns],
    body: Tensor,
    bias: Tensor,
    vectors: Sequence[Tensor],
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """One run's tensors in one of the flat memories: few and large, and by name."""
    weights = [name for name in member.parameters if member.net[name].dim() == 2]
    sizes = [member.net[name].numel() for name in weights]
    whole = body[: sum(sizes)]
    names = {
        name: piece.view(member.net[name].shape)
        for name, piece in zip(weights, torch.split(whole, sizes), strict=True)
    }
    names["output.bias"] = bias
    tensors = [whole, bias]
    for layer, columns in enumerate(layers[: len(member.widths)]):
        where = _where(k, columns)
        for i, name in enumerate(("weight", "bias")):
            vector = vectors[2 * layer + i][where]
            names[f"hidden.{4 * layer + 1}.{name}"] = vector
            tensors.append(vector)
    return tensors, names


def _where(k: int, columns: Columns) -> slice:
    i = columns.members.index(k)
    return slice(columns.starts[i], columns.starts[i] + columns.widths[i])


def aligned(n: int) -> int:
    """The next multiple of ``ALIGNED``."""
    return -(-n // ALIGNED) * ALIGNED
