"""What may vary in a search: scales, conditions, and the default space of a recipe."""

from tunekit.space.recipe import batch_sizes, recipe_space
from tunekit.space.scales import (
    Categorical,
    IntLogUniform,
    IntUniform,
    LogUniform,
    OneMinusLogUniform,
    Range,
    Scale,
    Uniform,
)
from tunekit.space.space import Condition, Space, scale_of

__all__ = [
    "Categorical",
    "Condition",
    "IntLogUniform",
    "IntUniform",
    "LogUniform",
    "OneMinusLogUniform",
    "Range",
    "Scale",
    "Space",
    "Uniform",
    "batch_sizes",
    "recipe_space",
    "scale_of",
]
