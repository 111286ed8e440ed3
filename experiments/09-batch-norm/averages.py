"""Running averages of the statistics that a batch norm saw, after its last step."""

from __future__ import annotations

import torch
from networks import Seen
from torch import Tensor

__all__ = ["BETAS", "WAYS", "running"]

BETAS = (0.5, 0.9, 0.99, 0.999)
"""The weight of what was before; torch's momentum is 1 less this."""
WAYS = ("from 0 and 1", "from 0", "corrected")
"""Mean and variance begin at 0 and 1, as torch has them; both at 0, as the notes begin
an average; and this one divided by what its weights sum to."""


def running(
    seen: Seen, *, beta: float, way: str = WAYS[0], unbiased: bool = True
) -> tuple[Tensor, Tensor]:
    """The exponentially weighted mean and variance, (1, H) each.

    Args:
        seen: The statistics of every mini-batch, in order.
        beta: The weight of what was before.
        way: One of :data:`WAYS`.
        unbiased: Whether variances are divided by m - 1, as torch does, not by m.
    """
    steps = len(seen.rows)
    weight_S = (1 - beta) * beta ** torch.arange(steps - 1, -1, -1, dtype=torch.float64)
    mean = weight_S @ torch.stack(seen.means).double()
    m_S = torch.tensor(seen.rows, dtype=torch.float64)
    bessel_S = m_S / (m_S - 1) if unbiased else torch.ones_like(m_S)
    variance = (weight_S * bessel_S) @ torch.stack(seen.variances).double()
    if way == "from 0 and 1":
        variance = variance + beta**steps
    elif way == "corrected":
        mean, variance = mean / (1 - beta**steps), variance / (1 - beta**steps)
    like = seen.means[0].dtype
    return mean[None].to(like), variance[None].to(like)
