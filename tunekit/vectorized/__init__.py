"""Many trials as one network: the vectorized engine."""

from tunekit.vectorized.engine import VectorizedEngine
from tunekit.vectorized.member import State

__all__ = ["State", "VectorizedEngine"]
