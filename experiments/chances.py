"""What a search comes to on average, from configurations that were trained.

The best of n draws without replacement from N that are known: each rank's chance to be
the best is a matter of counting, so that nothing has to be drawn again and again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

__all__ = ["geometric", "of_the_best", "ranks", "share_within"]


def geometric(values: Iterable[float]) -> float:
    """The geometric mean, in which half and double outweigh each other."""
    logs = [math.log(each) for each in values]
    return math.exp(math.fsum(logs) / len(logs))


def ranks(total: int, n: int) -> list[float]:
    """The chance of each of ``total``, the best first, to be the best of ``n``."""
    if not 1 <= n <= total:
        raise ValueError(f"n must be 1 to {total}, got {n}")
    ways = math.comb(total, n)
    return [math.comb(total - 1 - i, n - 1) / ways for i in range(total)]


def of_the_best(
    losses: Sequence[float], n: int, told: Sequence[float] | None = None
) -> float:
    """The geometric mean of what the best of ``n`` draws comes to.

    Args:
        losses: Of all that were trained: who is best goes by them.
        n: Draws.
        told: What is averaged, such as test losses; the losses when None.
    """
    order = sorted(range(len(losses)), key=lambda i: losses[i])
    values = losses if told is None else told
    chances = ranks(len(losses), n)
    terms = (c * math.log(values[i]) for c, i in zip(chances, order, strict=True))
    return math.exp(math.fsum(terms))


def share_within(losses: Sequence[float], limit: float) -> float:
    """The share of draws that come to at most this loss."""
    return sum(each <= limit for each in losses) / len(losses)
