"""Every random stream of a study, from (study seed, which run, what for).

Nothing here depends on the order of calls, the process or the device: initial weights
and permutations are drawn on the CPU from a seed of their own, and dropout masks are a
pure function of a counter, so that neither resuming nor neighbours change them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ["keep_mask", "numpy_generator", "seed_for", "torch_generator"]


def seed_for(seed: int, *names: int | str) -> int:
    """A seed in [0, 2**63) for the stream that ``names`` name.

    Example:
        >>> seed_for(0, "trial-7", "weights") == seed_for(0, "trial-7", "weights")
        True
        >>> seed_for(0, "trial-7", "weights") == seed_for(0, "trial-8", "weights")
        False
    """
    text = "\x1f".join([str(seed), *(str(name) for name in names)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def numpy_generator(seed: int, *names: int | str) -> np.random.Generator:
    """A NumPy generator for the stream that ``names`` name."""
    return np.random.default_rng(seed_for(seed, *names))


def torch_generator(seed: int, *names: int | str) -> torch.Generator:
    """A CPU torch generator for the stream that ``names`` name."""
    import torch

    return torch.Generator().manual_seed(seed_for(seed, *names))


def keep_mask(
    key: int,
    step: int,
    layer: int,
    shape_BH: tuple[int, int],
    drop: float,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Which units are kept in one step: True with probability ``1 - drop``.

    Each entry hashes its own counter (step, layer, row, unit) under ``key`` with the
    32-bit finalizer of MurmurHash3 (Appleby, public domain), so the mask of a row does
    not depend on how many rows or units stand beside it, nor on the device.

    Args:
        key: The run's dropout seed.
        step: Optimizer steps taken before this one.
        layer: Which hidden layer, from 0.
        shape_BH: Rows and units.
        drop: Probability of leaving a unit out, in [0, 1).
        device: Where the mask is made.

    Example:
        >>> small = keep_mask(1, 0, 0, (2, 3), 0.5)
        >>> large = keep_mask(1, 0, 0, (4, 8), 0.5)
        >>> bool((small == large[:2, :3]).all())
        True
    """
    import torch

    n_rows, n_units = shape_BH
    row_seed = _mix_scalar(_mix_scalar(key ^ (key >> 32)) + step)
    rows = torch.arange(n_rows, dtype=torch.int64, device=device)
    units = torch.arange(n_units, dtype=torch.int64, device=device)
    row_hash = _mix(rows * 0x9E3779B1 + row_seed)
    unit_hash = _mix(units * 0x85EBCA77 + _mix_scalar(layer + 1))
    mixed_BH = _mix(row_hash[:, None] ^ unit_hash[None, :])
    return mixed_BH >= round(drop * 2**32)


def _mix(x: torch.Tensor) -> torch.Tensor:
    """MurmurHash3's finalizer on the low 32 bits of each entry."""
    x = x & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return x ^ (x >> 16)


def _mix_scalar(x: int) -> int:
    """The same on one Python integer."""
    x &= 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return x ^ (x >> 16)
