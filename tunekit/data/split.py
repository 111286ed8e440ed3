"""Which rows train, which validate and which are locked away for the test.

Stratified: each class is divided alike, to within one row of its share. Our own few
lines, since scikit-learn's splitter costs a second of import and refuses classes of two
rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tunekit.errors import ConfigError
from tunekit.seeds import numpy_generator

__all__ = ["check_shares", "stratified"]


def check_shares(
    split: Sequence[float], own: Sequence[str] = ()
) -> tuple[float, float, float]:
    """The shares of train, validation and test, checked.

    Args:
        split: The shares.
        own: The parts that have a file of their own; their share may be 0.

    Raises:
        ConfigError: Unless there are three, each above 0, that sum to 1.

    Example:
        >>> check_shares((0.6, 0.2, 0.2))
        (0.6, 0.2, 0.2)
    """
    shares = [float(share) for share in split]
    if (
        len(shares) != 3
        or not all(
            share > 0 or (share == 0 and part in own)
            for share, part in zip(shares, ("train", "validation", "test"), strict=True)
        )
        or not math.isclose(sum(shares), 1.0, abs_tol=1e-6)
    ):
        got = ",".join(f"{share:g}" for share in shares)
        raise ConfigError(
            "split must be three shares above 0 that sum to 1 (train, validation, "
            f"test), got {got}; for example 0.6,0.2,0.2"
        )
    return shares[0], shares[1], shares[2]


def stratified(
    y_N: np.ndarray, shares: Sequence[float], *, seed: int
) -> list[np.ndarray]:
    """Divide rows among parts, each class alike.

    Of every class the first part gets at least one row, and every part does when the
    class has as many rows as there are parts. Beyond that a class's rows in a part are
    its share rounded up or down, whichever brings the part nearer to its size in all.

    Args:
        y_N: The class of each row, from 0.
        shares: The share of each part; they need not sum to 1.
        seed: The study's seed.

    Returns:
        The row numbers of each part, ascending.

    Example:
        >>> parts = stratified(np.array([0] * 6 + [1] * 4), (0.5, 0.5), seed=0)
        >>> [len(part) for part in parts]
        [5, 5]
    """
    rng = numpy_generator(seed, "split")
    wanted = np.asarray(shares, dtype=np.float64) / float(sum(shares))
    parts: list[list[np.ndarray]] = [[] for _ in wanted]
    owed = np.zeros(len(wanted))
    order = np.argsort(y_N, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(y_N[order])) + 1):
        counts = _divide(len(rows), wanted, owed)
        owed += len(rows) * wanted - counts
        shuffled = rng.permutation(rows)
        for part, piece in zip(
            parts, np.split(shuffled, np.cumsum(counts)[:-1]), strict=True
        ):
            part.append(piece)
    return [np.sort(np.concatenate(part)).astype(np.int64) for part in parts]


def _divide(n_rows: int, wanted: np.ndarray, owed: np.ndarray) -> np.ndarray:
    """How many of a class's rows each part gets; ``owed``: what parts lack so far."""
    # The nudge keeps 0.2 * 5 from counting as less than 1.
    counts = np.floor(n_rows * wanted + 1e-9).astype(np.int64)
    debt = owed + n_rows * wanted - counts
    rest = n_rows - int(counts.sum())
    counts[np.argsort(-debt, kind="stable")[:rest]] += 1
    due = range(len(wanted)) if n_rows >= len(wanted) else range(1)
    for part in due:
        if counts[part] == 0:
            counts[np.argmax(counts)] -= 1
            counts[part] = 1
    return counts
