"""How large a recipe's network is, and what training it takes, without building it."""

from __future__ import annotations

import math

from tunekit.errors import ConfigError
from tunekit.trial import SHAPES, Recipe

__all__ = ["expected_seconds", "hidden_widths", "parameter_count", "state_bytes"]


def hidden_widths(n_layers: int, width: int, shape: str = "block") -> list[int]:
    """Units of each hidden layer.

    Args:
        n_layers: Hidden layers.
        width: Units of the first.
        shape: ``block`` keeps the width, ``funnel`` halves it from layer to layer.

    Example:
        >>> hidden_widths(3, 100, "block"), hidden_widths(3, 100, "funnel")
        ([100, 100, 100], [100, 50, 25])
    """
    if shape not in SHAPES:
        raise ConfigError(f"shape must be one of {', '.join(SHAPES)}, got {shape!r}")
    if shape == "block":
        return [width] * n_layers
    return [max(1, math.ceil(width / 2**layer)) for layer in range(n_layers)]


def parameter_count(recipe: Recipe, n_inputs: int, n_classes: int) -> tuple[int, int]:
    """Parameters and hidden units of a recipe's network, without building it.

    Example:
        >>> parameter_count(Recipe(n_layers=1, width=4), 3, 2)
        (30, 4)
    """
    widths = hidden_widths(recipe.n_layers, recipe.width, recipe.shape)
    sizes = [n_inputs, *widths]
    weights = sum(a * b for a, b in zip(sizes, widths, strict=False))
    return weights + 2 * sum(widths) + (sizes[-1] + 1) * n_classes, sum(widths)


def state_bytes(recipe: Recipe, n_inputs: int, n_classes: int) -> int:
    """Roughly the size of a paused run's state, in bytes.

    The network and its best so far, each with its running statistics, and the two
    moments of an optimizer; float32, and a few kilobytes of description.

    Example:
        >>> state_bytes(Recipe(n_layers=1, width=4), 3, 2)
        4640
    """
    n_params, n_units = parameter_count(recipe, n_inputs, n_classes)
    return 16 * (n_params + n_units) + 2048 * (1 + recipe.n_layers)


def expected_seconds(
    recipe: Recipe, n_inputs: int, n_classes: int, n_rows: int
) -> float:
    """Roughly what an epoch takes on one core of the vectorized engine.

    Runs are compared by it until their own times are known, and it decides whether a
    second process is worth its start. Each step has a price of its own, and each row;
    both grow with the network.
    """
    n_params, n_units = parameter_count(recipe, n_inputs, n_classes)
    steps = max(1, n_rows // recipe.batch_size)
    a_step = 6e-5 + 1e-9 * n_params + 3e-5 * recipe.n_layers
    a_row = 8e-11 * n_params + 3e-9 * n_units
    return steps * a_step + n_rows * a_row
