"""One optimizer step of K runs at once: forward, backward, update, without autograd.

A step is written out: the matrix products of each run, and between them one call for
all runs of batch norm, activation, dropout and loss, over matrices in which their units
stand side by side (:mod:`tunekit.vectorized.layout`). The gradient is that of
:class:`tunekit.mlp.MLP` under :func:`tunekit.metrics.cross_entropy`, by the chain rule;
batch norm's two passes are torch's own kernels (Ioffe & Szegedy 2015).

Shapes: K runs, B rows of a mini-batch, F inputs, R columns of a layer, C classes,
S steps of a chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from tunekit.vectorized.arithmetic import BN_EPS, BN_MOMENTUM, backward_, forward
from tunekit.vectorized.layout import Columns, Memory, aligned
from tunekit.vectorized.member import Member

__all__ = ["Step"]

_mm = torch.mm
_batch_norm = torch.native_batch_norm
_batch_norm_backward = torch.ops.aten.native_batch_norm_backward


class Step:
    """Steps over mini-batches of ``n`` rows.

    The matrices are laid out and cut into the runs' parts once; a step only computes.

    Args:
        n: Rows of a mini-batch.
        members: The runs.
        layers: Their columns.
        memory: Their parameters and gradients.
        like: A tensor of the device and precision.
        n_classes: Classes in all.
    """

    def __init__(
        self,
        n: int,
        members: Sequence[Member],
        layers: Sequence[Columns],
        memory: Memory,
        like: Tensor,
        n_classes: int,
    ) -> None:
        self._n, self._members, self._layers = n, members, layers
        self._memory, self._n_classes = memory, n_classes
        n_members = len(members)
        # z before batch norm, a after activation and dropout, da and dz their
        # gradients; what lies between two runs stays zero in all of them.
        self._z, self._a, self._da, self._dz = (
            [like.new_zeros((n, columns.total)) for columns in layers] for _ in range(4)
        )
        # Logits and what comes of them, (K, C, B); B in whole vectors, so that every
        # run's part begins at a multiple of them.
        shape = (n_members, n_classes, aligned(n))
        self._all_logits = like.new_zeros(shape)
        self._all_p, self._all_d = (torch.empty_like(self._all_logits) for _ in "pd")
        self._logits, self._d_logits = (
            each[:, :, :n] for each in (self._all_logits, self._all_d)
        )
        self._smoothing = [m.run.recipe.label_smoothing for m in members]
        self._smoothing_K = like.new_tensor(self._smoothing)
        self._lay_products()

    def _lay_products(self) -> None:
        """The arguments of every matrix product, in the order of a step."""
        memory = self._memory
        # (run, weight transposed, z): the first layer's input changes with the step.
        self._first: list[tuple[int, Tensor, Tensor]] = []
        self._first_back: list[tuple[int, Tensor, Tensor]] = []
        # Per layer from the second: (input, weight transposed, z).
        self._forward: list[list[tuple[Tensor, Tensor, Tensor]]] = []
        # (dz transposed, input, weight's gradient), (dz, weight, input's gradient).
        self._backward: list[list[tuple[Tensor, Tensor, Tensor]]] = []
        last: dict[int, tuple[Tensor, Tensor]] = {}
        for layer, columns in enumerate(self._layers):
            forward_, backward = [], []
            for k, start, width in zip(
                columns.members, columns.starts, columns.widths, strict=True
            ):
                here = slice(start, start + width)
                z, a, da, dz = (
                    each[layer][:, here]
                    for each in (self._z, self._a, self._da, self._dz)
                )
                name = f"hidden.{4 * layer}.weight"
                weight, gradient = memory.nets[k][name], memory.grads[k][name]
                if layer == 0:
                    self._first.append((k, weight.t(), z))
                    self._first_back.append((k, dz.t(), gradient))
                else:
                    a_before, da_before = last[k]
                    forward_.append((a_before, weight.t(), z))
                    backward.append((dz.t(), a_before, gradient))
                    backward.append((dz, weight, da_before))
                last[k] = (a, da)
            self._forward.append(forward_)
            self._backward.append(backward)
        # (bias, weight, input transposed, logits) of runs with hidden layers, and those
        # without.
        self._output: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._output_back: list[tuple[Tensor, Tensor, Tensor]] = []
        self._linear: list[tuple[int, Tensor, Tensor, Tensor, Tensor, Tensor]] = []
        for k in range(len(self._members)):
            logits, d_logits = self._logits[k], self._d_logits[k]
            net, gradient = memory.nets[k], memory.grads[k]["output.weight"]
            bias, weight = net["output.bias"][:, None], net["output.weight"]
            if k in last:
                a, da = last[k]
                self._output.append((bias, weight, a.t(), logits))
                self._output_back.append((d_logits, a, gradient))
                self._output_back.append((d_logits.t(), weight, da))
            else:
                self._linear.append((k, bias, weight, logits, d_logits, gradient))

    def steps(
        self,
        x_NF: Tensor,
        rows_SK: Iterable[Sequence[Tensor]],
        y_SKB: Tensor,
        masks: list[list[Tensor]],
        steps_K: Tensor,
        updates: list[tuple[Any, float]],
    ) -> tuple[Tensor, Tensor]:
        """Train for some steps.

        Args:
            x_NF: All training rows.
            rows_SK: For each step, each run's mini-batch as indices of rows, (B,).
            y_SKB: Their classes, (S, K, B).
            masks: For each layer, dropout's factors of each step, or none.
            steps_K: Counts the steps of each run.
            updates: The optimizer's step of each run, and its learning rate.

        Returns:
            Sums over the rows of each step of smoothed losses and of hits, (S, K).
        """
        shape = (len(y_SKB), *self._all_logits.shape)
        logp_SKCB, target_SKCB = x_NF.new_zeros(shape), x_NF.new_zeros(shape)
        self._fill_targets(target_SKCB, y_SKB[:, :, None])
        for s, rows_K in enumerate(rows_SK):
            # Gathered step by step: each begins at an address of its own, whose
            # multiple may decide over the last bit of a product.
            x_K = [x_NF.index_select(0, rows) for rows in rows_K]
            mask = [of_layer[s] if of_layer else None for of_layer in masks]
            self._step(x_K, logp_SKCB[s], target_SKCB[s], mask)
            steps_K.add_(1.0)
            for update, lr in updates:
                update(lr)
        return self._sums(logp_SKCB[..., : self._n], y_SKB)

    def _fill_targets(self, target_SKCB: Tensor, y_SKCB: Tensor) -> None:
        """Minus the smoothed target, over B: what p / B lacks to be the gradient."""
        smoothing = self._smoothing_K[:, None, None]
        if any(self._smoothing):
            target_SKCB -= smoothing / (self._n_classes * self._n)
        hit = (-(1.0 - smoothing) / self._n).expand(y_SKCB.shape)
        target_SKCB.scatter_add_(2, y_SKCB, hit)

    def _sums(self, logp_SKCB: Tensor, y_SKB: Tensor) -> tuple[Tensor, Tensor]:
        true_SKB = logp_SKCB.gather(2, y_SKB[:, :, None])[:, :, 0]
        # Right where no class is likelier: argmax takes ten times as long, and differs
        # only where two are equal to the last bit.
        hits_SKB = true_SKB == logp_SKCB.amax(2)
        loss_SKB = -true_SKB
        if any(self._smoothing):
            smoothing = self._smoothing_K[:, None]
            loss_SKB = (1.0 - smoothing) * loss_SKB - smoothing * logp_SKCB.mean(2)
        return loss_SKB.sum(2), hits_SKB.sum(2)

    def _step(
        self,
        x_K: Sequence[Tensor],
        logp: Tensor,
        target: Tensor,
        masks: list[Tensor | None],
    ) -> None:
        """Forward and backward through one mini-batch; gradients are left in memory."""
        memory, layers = self._memory, self._layers
        normed: list[tuple[Tensor, Tensor, Tensor]] = []
        for layer, columns in enumerate(layers):
            if layer == 0:
                for k, weight, z in self._first:
                    _mm(x_K[k], weight, out=z)
            else:
                for a, weight, z in self._forward[layer]:
                    _mm(a, weight, out=z)
            y, mean, scale = _batch_norm(
                self._z[layer],
                memory.gammas[layer],
                memory.betas[layer],
                memory.running_means[layer],
                memory.running_vars[layer],
                True,
                BN_MOMENTUM,
                BN_EPS,
            )
            normed.append((y, mean, scale))
            out = self._a[layer]
            for name, begin, end in columns.activations:
                forward(name, y[:, begin:end], out[:, begin:end])
            mask = masks[layer]
            if mask is not None:
                out.mul_(mask)
        for bias, weight, a, logits in self._output:
            torch.addmm(bias, weight, a, out=logits)
        for k, bias, weight, logits, _, _ in self._linear:
            torch.addmm(bias, weight, x_K[k].t(), out=logits)
        torch.log_softmax(self._all_logits, 1, out=logp)
        torch.exp(logp, out=self._all_p)
        torch.add(target, self._all_p, alpha=1.0 / self._n, out=self._all_d)
        torch.sum(self._d_logits, 2, out=memory.d_biases)
        for k, _, _, _, d_logits, gradient in self._linear:
            _mm(d_logits, x_K[k], out=gradient)
        for left, right, product in self._output_back:
            _mm(left, right, out=product)
        for layer in range(len(layers) - 1, -1, -1):
            y, mean, scale = normed[layer]
            da = self._da[layer]
            mask = masks[layer]
            if mask is not None:
                da.mul_(mask)
            for name, begin, end in layers[layer].activations:
                here = slice(begin, end)
                backward_(name, da[:, here], y[:, here])
            dz, d_gamma, d_beta = _batch_norm_backward(
                da,
                self._z[layer],
                memory.gammas[layer],
                memory.running_means[layer],
                memory.running_vars[layer],
                mean,
                scale,
                True,
                BN_EPS,
                [True, True, True],
            )
            self._dz[layer].copy_(dz)
            memory.d_gammas[layer].copy_(d_gamma)
            memory.d_betas[layer].copy_(d_beta)
            if layer == 0:
                for k, dz_t, gradient in self._first_back:
                    _mm(dz_t, x_K[k], out=gradient)
            else:
                for left, right, product in self._backward[layer]:
                    _mm(left, right, out=product)
