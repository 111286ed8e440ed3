"""Whole columns of texts as numbers at once, where every text plainly is one.

The rules are those of ``tunekit.data.kinds``, which looks at each different text: what
is refused here (None) is looked at there, only more slowly.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

__all__ = ["MISSING_WORDS", "WRITTEN_MISSING", "plain_numbers"]

MISSING_WORDS = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
"""What stands for a missing number, date or truth value in a text file."""

WRITTEN_MISSING = sorted(
    {form(word) for word in MISSING_WORDS for form in (str, str.upper, str.capitalize)}
    | {"NaN"}
)
"""The same as people write them; rarer forms take the slower way."""

_FIGURES = b"0123456789+-.eE\n"
_IDENTIFIER = re.compile(rb"\n[+-]?0[0-9]")
_SOME = 100


def plain_numbers(texts: np.ndarray) -> np.ndarray | None:
    """A column of texts as float64, NaN where missing; None if not all are numbers.

    Numbers with leading zeros are names made of figures, and so no numbers here.

    Example:
        >>> plain_numbers(np.array(["1", "NA", "-2.5"], dtype=object))
        array([ 1. ,  nan, -2.5])
        >>> plain_numbers(np.array(["1", "07"], dtype=object)) is None
        True
    """
    # Most columns that hold anything else show it early.
    if len(texts) > _SOME and plain_numbers(texts[:_SOME]) is None:
        return None
    absent_N = pd.Series(texts, dtype=object).isin(WRITTEN_MISSING).to_numpy()
    present = (texts[~absent_N] if absent_N.any() else texts).tolist()
    try:
        written = ("\n" + "\n".join(present)).encode("ascii")
        # Python's own reading takes more than we do (1_000, other scripts' figures).
        if written.translate(None, _FIGURES) or _IDENTIFIER.search(written):
            return None
        numbers = np.fromiter(map(float, present), np.float64, len(present))
    except (TypeError, ValueError):
        return None
    numbers[np.isinf(numbers)] = np.nan
    values_N = np.full(len(texts), np.nan)
    values_N[~absent_N] = numbers
    return values_N
