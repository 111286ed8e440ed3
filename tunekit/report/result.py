"""What ``final.json`` says of the winner, where that is true of the trials now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["most_confused", "told"]

_MOST_CLASSES = 100
"""A confusion matrix of more classes is told by its most confused pairs alone."""
_MOST_PAIRS = 100


def told(
    final: Mapping[str, Any] | None, best: int | None, classes: Sequence[Any]
) -> dict[str, Any]:
    """The winner's part of ``report.json``.

    Once the search has found a better trial, the figures are no longer those of the
    best one: then they stand under ``earlier`` with their own trial's number, and the
    other keys are empty.

    Args:
        final: The content of ``final.json``, if there is one.
        best: The number of the best trial there is now.
        classes: The names of the classes in order.

    Raises:
        KeyError: When ``final`` lacks what belongs in it.

    Example:
        >>> told(None, 3, ["no", "yes"])["test"] is None
        True
    """
    earlier = None
    if final is not None and final["number"] != best:
        earlier = {name: final[name] for name in ("number", "test", "model")}
        final = None
    if final is None:
        names = ("test", "model", "baselines", "asked", "winner", "confusion")
        lists: dict[str, Any] = {"left_out": [], "most_confused": []}
        return dict.fromkeys(names) | lists | {"earlier": earlier}
    matrix = final["confusion"]
    return {
        "test": final["test"],
        "model": final["model"],
        "baselines": final["baselines"],
        "asked": final.get("asked"),
        "left_out": final.get("left_out", []),
        "winner": {name: final[name] for name in ("number", "recipe", "seeds")},
        "confusion": matrix if len(matrix) <= _MOST_CLASSES else None,
        "most_confused": most_confused(matrix, classes),
        "earlier": None,
    }


def most_confused(
    matrix: Sequence[Sequence[int]], classes: Sequence[Any]
) -> list[dict[str, Any]]:
    """The most frequent wrong answers, at most a hundred kinds of them.

    Args:
        matrix: Counts of rows by true class (lines) and answer (columns).
        classes: The names of the classes in order.

    Returns:
        One entry a pair of classes: ``true``, ``answered``, ``rows``, and ``share``,
        those rows' part of the true class.

    Example:
        >>> most_confused([[8, 2], [0, 5]], ["no", "yes"])
        [{'true': 'no', 'answered': 'yes', 'rows': 2, 'share': 0.2}]
    """
    pairs = [
        (n, n / sum(counts), true, answered)
        for true, counts in enumerate(matrix)
        for answered, n in enumerate(counts)
        if n and true != answered
    ]
    pairs.sort(key=lambda pair: (-pair[0], -pair[1]))
    return [
        {
            "true": classes[true],
            "answered": classes[answered],
            "rows": n,
            "share": share,
        }
        for n, share, true, answered in pairs[:_MOST_PAIRS]
    ]
