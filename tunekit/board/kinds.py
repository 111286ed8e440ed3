"""The types that TensorBoard gives hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["kind_of"]


def kind_of(domain: Sequence[Any]) -> type:
    """The type TensorBoard gives a hyperparameter: bool, float, or else str."""
    if domain and all(isinstance(value, bool) for value in domain):
        return bool
    if domain and all(
        isinstance(value, int | float) and not isinstance(value, bool)
        for value in domain
    ):
        return float
    return str
