"""K runs with one batch size, trained as one network, without autograd.

An epoch: each run's rows in its own order, chunks of steps for which dropout's masks
are made at once, the steps (:mod:`tunekit.vectorized.step`), then the validation
rows. Runs differ in all but the batch size, which decides how many steps there are.

Shapes: K runs, N rows, B rows of a mini-batch, F inputs, R columns of a layer,
C classes, S steps of a chunk.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tunekit.optim import build_update, lr_factor
from tunekit.seeds import torch_generator
from tunekit.sizes import expected_seconds
from tunekit.trial import Metrics
from tunekit.vectorized.arithmetic import BN_EPS, BN_MOMENTUM, forward
from tunekit.vectorized.layout import Memory, aligned, columns_of, in_order
from tunekit.vectorized.masks import Masks
from tunekit.vectorized.member import Member
from tunekit.vectorized.step import Step

__all__ = ["CHUNK", "VALIDATION_ROWS", "Rows", "Stack"]

CHUNK = 2**17
"""Entries of a chunk's masks or logits: they are made for several steps at once, few
enough to stay in the cache until they are used."""
VALIDATION_ROWS = 1024
"""Rows evaluated at once; were it what memory allows, sums would know of neighbours."""


@dataclass(frozen=True)
class Rows:
    """The table on the device.

    Attributes:
        x_train, x_valid: Inputs, (N, F).
        y_train, y_valid: Classes, (N,).
        n_classes: Classes in all.
    """

    x_train: Tensor
    y_train: Tensor
    x_valid: Tensor
    y_valid: Tensor
    n_classes: int


class Stack:
    """Some open runs with one batch size.

    Args:
        members: The runs; their tensors become views of this stack's memory.
        rows: The table.
    """

    def __init__(self, members: Sequence[Member], rows: Rows) -> None:
        self.members = in_order(members)
        self._data = rows
        n_rows = len(rows.y_train)
        self._batch = min(self.members[0].run.recipe.batch_size, n_rows)
        full, rest = divmod(n_rows, self._batch)
        # A last batch of one row joins the one before: one row has no variance.
        self._n_steps = max(1, full + (rest > 1))
        self._last = n_rows - (self._n_steps - 1) * self._batch
        self._layers = columns_of(self.members)
        self._memory = Memory(self.members, self._layers, rows.n_classes, rows.x_train)
        self._memory.take(self.members)
        largest = max(self._batch, self._last)
        self._masks = Masks(
            self.members, self._layers, self._n_steps, largest, rows.x_train
        )
        self._steps_K = rows.x_train.new_zeros(len(self.members), dtype=torch.float32)
        self._updates = [
            build_update(member.run.recipe, params, grads, first, second, step)
            for member, (params, grads, first, second), step in zip(
                self.members, self._memory.lists, self._steps_K, strict=True
            )
        ]
        self._plans = {
            n: Step(
                n,
                self.members,
                self._layers,
                self._memory,
                rows.x_train,
                rows.n_classes,
            )
            for n in {self._batch, self._last}
        }

    @property
    def is_home(self) -> bool:
        """Whether the runs still live here, and not in a stack built later."""
        nets = self._memory.nets
        return all(m.net is net for m, net in zip(self.members, nets, strict=True))

    def epoch(self) -> list[Metrics]:
        """Train every run for one epoch and evaluate it; metrics in members' order.

        Runs are as they were before if this raises.
        """
        before = self._memory.state.clone()
        try:
            return self._epoch()
        except BaseException:
            self._memory.state.copy_(before)
            raise

    def _epoch(self) -> list[Metrics]:
        began = time.perf_counter()
        with torch.no_grad():
            lrs = [_lr(member) for member in self.members]
            train = self._train(lrs)
            valid = self._evaluate()
            figures = torch.stack([*train, *valid]).tolist()
        for member in self.members:
            member.steps += self._n_steps
        seconds = time.perf_counter() - began
        n_rows, n_inputs = self._data.x_train.shape
        works = [
            expected_seconds(m.run.recipe, n_inputs, self._data.n_classes, n_rows)
            for m in self.members
        ]
        return [
            Metrics(
                train_loss=figures[0][k],
                val_loss=figures[2][k],
                train_score=figures[1][k],
                val_score=figures[3][k],
                lr=lrs[k],
                seconds=seconds * works[k] / sum(works),
            )
            for k in range(len(self.members))
        ]

    def _train(self, lrs: list[float]) -> tuple[Tensor, Tensor]:
        """One epoch of steps; mean loss and accuracy over the training rows, (K,)."""
        data, n_rows = self._data, len(self._data.y_train)
        device = data.x_train.device
        orders = [
            torch.randperm(
                n_rows,
                generator=torch_generator(m.run.seed, m.run.draws, "batches", m.epoch),
            ).to(device)
            for m in self.members
        ]
        self._steps_K.copy_(torch.tensor([float(m.steps) for m in self.members]))
        self._masks.begin()
        # A column a step, so that no sum depends on how steps were put in chunks.
        losses = data.x_train.new_zeros((len(self.members), self._n_steps))
        hits = torch.zeros_like(losses)
        updates = list(zip(self._updates, lrs, strict=True))
        for first, n_steps, n in self._chunks():
            plan = self._plans[n]
            begin = first * self._batch
            chosen = [order[begin : begin + n_steps * n] for order in orders]
            y_KSB = torch.stack([data.y_train[rows] for rows in chosen])
            y_SKB = y_KSB.view(len(chosen), n_steps, n).transpose(0, 1)
            rows_SK = zip(*(torch.split(rows, n) for rows in chosen), strict=True)
            masks = [
                self._masks.of(layer, first, n_steps, n)
                for layer in range(len(self._layers))
            ]
            loss_SK, hits_SK = plan.steps(
                data.x_train, rows_SK, y_SKB, masks, self._steps_K, updates
            )
            losses[:, first : first + n_steps] = loss_SK.t()
            hits[:, first : first + n_steps] = hits_SK.t()
        return losses.sum(1) / n_rows, hits.sum(1) / n_rows

    def _chunks(self) -> list[tuple[int, int, int]]:
        """(first step, steps, rows of each) of stretches of equal steps."""
        logits = len(self.members) * self._data.n_classes
        widest = max([columns.total for columns in self._layers] + [logits])
        at_once = max(1, CHUNK // (self._batch * widest))
        equal = self._n_steps - (self._last != self._batch)
        chunks = [
            (first, min(at_once, equal - first), self._batch)
            for first in range(0, equal, at_once)
        ]
        if equal < self._n_steps:
            chunks.append((equal, 1, self._last))
        return chunks

    def _evaluate(self) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy over the validation rows, (K,)."""
        data = self._data
        n_rows, n_members = len(data.y_valid), len(self.members)
        losses = data.x_train.new_zeros(n_members)
        hits = torch.zeros_like(losses)
        for first in range(0, n_rows, VALIDATION_ROWS):
            x_NF = data.x_valid[first : first + VALIDATION_ROWS]
            y_N = data.y_valid[first : first + VALIDATION_ROWS]
            y_KN = y_N.expand(n_members, 1, -1)
            logp_KCN = self._logits(x_NF).log_softmax(1)
            true_KN = logp_KCN.gather(1, y_KN)[:, 0]
            losses -= true_KN.sum(1)
            hits += (true_KN == logp_KCN.amax(1)).sum(1)
        return losses / n_rows, hits / n_rows

    def _logits(self, x_NF: Tensor) -> Tensor:
        """Logits in evaluation mode, (K, C, N)."""
        memory, n = self._memory, len(x_NF)
        shape = (len(self.members), self._data.n_classes, aligned(n))
        logits_KCN = x_NF.new_empty(shape)[:, :, :n]
        inputs = [x_NF] * len(self.members)
        for layer, columns in enumerate(self._layers):
            z_NR = x_NF.new_zeros((n, columns.total))
            places = list(
                zip(columns.members, columns.starts, columns.widths, strict=True)
            )
            for k, start, width in places:
                weight = memory.nets[k][f"hidden.{4 * layer}.weight"]
                torch.mm(inputs[k], weight.t(), out=z_NR[:, start : start + width])
            y_NR = torch.native_batch_norm(
                z_NR,
                memory.gammas[layer],
                memory.betas[layer],
                memory.running_means[layer],
                memory.running_vars[layer],
                False,
                BN_MOMENTUM,
                BN_EPS,
            )[0]
            for name, begin, end in columns.activations:
                forward(name, y_NR[:, begin:end], z_NR[:, begin:end])
            for k, start, width in places:
                inputs[k] = z_NR[:, start : start + width]
        for k, net in enumerate(memory.nets):
            torch.addmm(
                net["output.bias"][:, None],
                net["output.weight"],
                inputs[k].t(),
                out=logits_KCN[k],
            )
        return logits_KCN


def _lr(member: Member) -> float:
    """The learning rate of the epoch that a run is in."""
    recipe = member.run.recipe
    return recipe.lr * lr_factor(
        recipe.schedule, recipe.lr_decay, member.epoch, member.run.max_epochs
    )
