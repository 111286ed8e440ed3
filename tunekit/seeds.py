"""Every random stream of a study, from (study seed, which run, what for).

Nothing here depends on the order of calls, the process or the device: initial weights
and permutations are drawn on the CPU from a seed of their own, and dropout masks are a
pure function of a counter, so that neither resuming nor neighbours change them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = [
    "drop_limit",
    "keep_mask",
    "keep_on_device",
    "numpy_generator",
    "row_words",
    "scramble",
    "seed_for",
    "torch_generator",
    "unit_words",
]


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
    epoch: int,
    step: int,
    layer: int,
    shape_BH: tuple[int, int],
    drop: float,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Which units are kept in one step: True with probability ``1 - drop``.

    Each entry hashes its own counter (epoch, step, layer, row, unit) under ``key``, so
    the mask of a row does not depend on how many rows or units stand beside it, nor on
    the device. Probabilities are multiples of 2**-16.

    Args:
        key: The run's dropout seed.
        epoch: Epochs completed.
        step: Which mini-batch of the epoch, from 0.
        layer: Which hidden layer, from 0.
        shape_BH: Rows and units.
        drop: Probability of leaving a unit out, in [0, 1).
        device: Where the mask is made.

    Example:
        >>> small = keep_mask(1, 0, 0, 0, (2, 3), 0.5)
        >>> large = keep_mask(1, 0, 0, 0, (4, 8), 0.5)
        >>> bool((small == large[:2, :3]).all())
        True
    """
    import torch

    n_rows, n_units = shape_BH
    rows_B = row_words(step, 1, n_rows)[0]
    units_P = unit_words(key, epoch, layer, n_units)
    if torch.device(device).type != "cpu":
        # Widened, because signed words would be shifted with their sign.
        words_B = torch.from_numpy(rows_B.astype(np.int64)).to(device)
        words_P = torch.from_numpy(units_P.astype(np.int64)).to(device)
        return keep_on_device(words_B, words_P, drop_limit(drop))[:, :n_units]
    words_BP = rows_B[:, None] * units_P[None, :]
    scramble(words_BP, np.empty_like(words_BP))
    halves_BH = words_BP.view(np.uint16)[:, :n_units]
    return torch.from_numpy(halves_BH >= np.uint16(drop_limit(drop)))


def drop_limit(drop: float) -> int:
    """The 16-bit hash below which a unit is left out."""
    return min(2**16 - 1, round(drop * 2**16))


def row_words(first_step: int, n_steps: int, n_rows: int) -> NDArray[np.uint32]:
    """One odd word for each row of each step of an epoch, (n_steps, n_rows)."""
    steps_S = _mixed(np.arange(first_step, first_step + n_steps, dtype=np.uint32))
    rows_B = np.arange(n_rows, dtype=np.uint32) * np.uint32(0x9E3779B1)
    return _mixed(steps_S[:, None] + rows_B) | np.uint32(1)


def unit_words(key: int, epoch: int, layer: int, n_units: int) -> NDArray[np.uint32]:
    """One odd word for every two units of a layer in an epoch, (n_units / 2,)."""
    start = np.array([key ^ (key >> 32), epoch, layer + 1], dtype=np.uint64)
    words = start.astype(np.uint32)
    seed = _mixed(_mixed(_mixed(words[:1]) + words[1:2]) + words[2:])
    pairs_P = np.arange((n_units + 1) // 2, dtype=np.uint32) * np.uint32(0x85EBCA77)
    return _mixed(pairs_P + seed) | np.uint32(1)


def scramble(words: NDArray[np.uint32], spare: NDArray[np.uint32]) -> None:
    """Hash products of row and unit words in place; each half decides over one unit.

    A product of two odd random words is a multiply-shift hash (Dietzfelbinger et al.
    1997); one more round of MurmurHash3's finalizer (Appleby, public domain) spreads it
    over all bits.

    Args:
        words: The products.
        spare: Memory of the same shape.
    """
    np.right_shift(words, 15, out=spare)
    np.bitwise_xor(words, spare, out=words)
    np.multiply(words, np.uint32(0x85EBCA6B), out=words)
    np.right_shift(words, 16, out=spare)
    np.bitwise_xor(words, spare, out=words)


def keep_on_device(
    rows_B: torch.Tensor, units_P: torch.Tensor, limits: torch.Tensor | int
) -> torch.Tensor:
    """The same masks by torch's operations, for a device that NumPy cannot reach.

    Args:
        rows_B: Row words, (B,) int64.
        units_P: Unit words, (P,) int64.
        limits: Limits of the 2 P units, or one of all.
    """
    import torch

    x_BP = (rows_B[:, None] * units_P) & 0xFFFFFFFF
    x_BP = ((x_BP ^ (x_BP >> 15)) * 0x85EBCA6B) & 0xFFFFFFFF
    x_BP = x_BP ^ (x_BP >> 16)
    halves_BH = torch.stack([x_BP & 0xFFFF, x_BP >> 16], -1).flatten(1)
    return halves_BH >= limits


def _mixed(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """MurmurHash3's 32-bit finalizer of each entry."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))
