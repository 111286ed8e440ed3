"""Optimizers and learning-rate schedules of a recipe.

The optimizers are torch's own: SGD with momentum (Sutskever et al. 2013) and Nesterov's
variant, RMSprop (Tieleman & Hinton 2012), Adam (Kingma & Ba 2015), AdamW (Loshchilov &
Hutter 2019). A schedule is a factor on the learning rate as a function of the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tunekit.errors import ConfigError, did_you_mean
from tunekit.trial import OPTIMIZERS, Recipe

if TYPE_CHECKING:
    import torch

__all__ = ["RMSPROP_DECAY", "build_optimizer", "build_update", "lr_factor"]

RMSPROP_DECAY = 0.99
"""RMSprop's decay of the mean of squared gradients; beta2 is Adam's alone."""

_LONG_AGO = 1e6
"""Steps after which RMSPROP_DECAY to their power is zero in double precision."""


def lr_factor(schedule: str, lr_decay: float, epoch: int, max_epochs: int) -> float:
    """The factor on the learning rate in an epoch.

    Three schedules start with the same relative decay an epoch, ``lr_decay``:
    ``inverse`` 1 / (1 + d t), ``exponential`` exp(-d t), and ``step``, which halves at
    once whenever ``exponential`` has halved. ``cosine`` falls over the whole horizon
    (Loshchilov & Hutter 2017, without restarts) and ``constant`` stays.

    Args:
        schedule: One of the five names.
        lr_decay: Relative decay an epoch, d.
        epoch: Epochs completed, t, from 0.
        max_epochs: The horizon, for ``cosine``.

    Example:
        >>> [lr_factor("inverse", 1.0, t, 10) for t in range(3)]
        [1.0, 0.5, 0.3333333333333333]
        >>> [lr_factor("step", math.log(2) / 2, t, 10) for t in range(5)]
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    if schedule == "constant":
        return 1.0
    if schedule == "inverse":
        return 1.0 / (1.0 + lr_decay * epoch)
    if schedule == "exponential":
        return math.exp(-lr_decay * epoch)
    if schedule == "step":
        # The small addition keeps a halving that falls on an epoch from being rounded
        # away.
        return 0.5 ** math.floor(epoch * lr_decay / math.log(2) + 1e-9)
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * min(epoch, max_epochs) / max_epochs))
    raise ValueError(f'unknown schedule "{schedule}"')


def build_optimizer(
    recipe: Recipe, parameters: Iterable[torch.nn.Parameter]
) -> torch.optim.Optimizer:
    """The optimizer that a recipe names, over ``parameters``.

    Example:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> type(build_optimizer(Recipe(optimizer="sgd"), [weight])).__name__
        'SGD'
    """
    import torch

    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=recipe.lr,
            momentum=recipe.momentum,
            # Nesterov's look-ahead is defined only with some momentum.
            nesterov=recipe.nesterov and recipe.momentum > 0,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(
            parameters,
            lr=recipe.lr,
            alpha=RMSPROP_DECAY,
            eps=recipe.eps,
            weight_decay=recipe.weight_decay,
        )
    if recipe.optimizer not in OPTIMIZERS:
        raise ConfigError(
            f"optimizer must be one of {', '.join(OPTIMIZERS)}, "
            f"got {recipe.optimizer!r}{did_you_mean(recipe.optimizer, OPTIMIZERS)}"
        )
    adam = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return adam(
        parameters,
        lr=recipe.lr,
        betas=(recipe.beta1, recipe.beta2),
        eps=recipe.eps,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def build_update(
    recipe: Recipe,
    params: list[torch.Tensor],
    grads: list[torch.Tensor],
    first: list[torch.Tensor],
    second: list[torch.Tensor],
    step: torch.Tensor,
) -> Callable[[float], None]:
    """The same step as :func:`build_optimizer`'s, over plain tensors, without autograd.

    One call of torch's fused kernel each. RMSprop has none, but is Adam with beta1 = 0
    after so many steps that nothing is left of its bias corrections.

    Args:
        recipe: Names the optimizer and its constants.
        params: What is updated, in place.
        grads: Their gradients.
        first: Momentum, or the mean of gradients; zeros before the first step.
        second: The mean of squared gradients; zeros before the first step.
        step: Steps taken, this one included: a scalar that the caller counts up.

    Returns:
        A function of the learning rate that takes one step.

    Example:
        >>> import torch
        >>> w, g, a, b = ([torch.full((2,), v)] for v in (1.0, 0.5, 0.0, 0.0))
        >>> recipe = Recipe(optimizer="sgd", momentum=0.0, weight_decay=0.0)
        >>> build_update(recipe, w, g, a, b, torch.ones(()))(0.1)
        >>> w[0]
        tensor([0.9500, 0.9500])
    """
    import torch

    decay = recipe.weight_decay
    if recipe.optimizer == "sgd":
        momentum = recipe.momentum
        nesterov = recipe.nesterov and momentum > 0
        velocity = first if momentum else []

        def sgd(lr: float) -> None:
            torch._fused_sgd_(
                params,
                grads,
                velocity,
                weight_decay=decay,
                momentum=momentum,
                lr=lr,
                dampening=0.0,
                nesterov=nesterov,
                maximize=False,
                is_first_step=False,
            )

        return sgd
    kernel = torch._fused_adamw_ if recipe.optimizer == "adamw" else torch._fused_adam_
    beta1, beta2, eps = recipe.beta1, recipe.beta2, recipe.eps
    if recipe.optimizer == "rmsprop":
        beta1, beta2 = 0.0, RMSPROP_DECAY
        step = torch.full_like(step, _LONG_AGO)
    steps = [step] * len(params)

    def adam(lr: float) -> None:
        kernel(
            params,
            grads,
            first,
            second,
            [],
            steps,
            lr=lr,
            beta1=beta1,
            beta2=beta2,
            weight_decay=decay,
            eps=eps,
            amsgrad=False,
            maximize=False,
        )

    return adam
