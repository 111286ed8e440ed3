"""How cost grows: milliseconds per trial-epoch, by trials open at once and by width.

The engine alone, on digits, without a study around it: 2 hidden layers, batches of 64,
AdamW, dropout 0.1. The first report of epochs starts the clock: what building a stack
costs once is left out of ``ms`` and counted in ``ms_whole``. The second process has
started before.

    python growth.py RESULT.json [--repeats 3] [--quick]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

from tunekit.data import load
from tunekit.trial import Fitted, Heard, Recipe, Run, State, Verdict
from tunekit.vectorized import VectorizedEngine

KS = (1, 4, 16, 64, 256)
WIDTHS = (16, 32, 64, 128, 256, 512)
_CELL_SECONDS = 2.0
"""About how long one measurement is to last, where a few epochs allow it."""
_START_SECONDS = 10.0
_FEWEST, _MOST = 3, 60
"""Epochs of a measurement."""


class Clock:
    """Feeds so many runs and notes when epochs are heard of."""

    def __init__(self, width: int, k: int, epochs: int) -> None:
        recipe = Recipe(n_layers=2, width=width, batch_size=64, dropout=0.1)
        self._waiting = [
            Run(
                recipe=recipe,
                max_epochs=epochs,
                patience=epochs,
                seed=0,
                key=f"trial-{number}",
            )
            for number in reversed(range(k))
        ]
        self.heard: list[tuple[float, int]] = []
        """When, and of how many trial-epochs."""

    def turn(self) -> AbstractContextManager[None]:
        """Nothing is written down."""
        return nullcontext()

    def next(self) -> Run | None:
        """The next run, while there is one."""
        return self._waiting.pop() if self._waiting else None

    def epochs(self, heard: Sequence[Heard]) -> list[Verdict]:
        """All go on."""
        self.heard.append((time.perf_counter(), len(heard)))
        return [Verdict.GO_ON] * len(heard)

    def paused(self, run: Run, state: State | None) -> None:
        """Nobody is paused."""

    def end(self, run: Run, fitted: Fitted) -> None:
        """Nothing is kept."""

    def fail(self, run: Run, error: Exception) -> None:
        """A failure spoils the measurement."""
        raise RuntimeError(run.key) from error


def measure(
    engine: VectorizedEngine, width: int, k: int, epochs: int
) -> tuple[float, float]:
    """Milliseconds per trial-epoch: after the first report, and in all."""
    clock = Clock(width, k, epochs)
    began = time.perf_counter()
    engine.train_all(clock, k)
    whole = time.perf_counter() - began
    (first, n_first), (last, _) = clock.heard[0], clock.heard[-1]
    n = sum(count for _, count in clock.heard)
    assert n == k * epochs, (n, k, epochs)
    return 1e3 * (last - first) / (n - n_first), 1e3 * whole / n


def epochs_for(width: int, k: int, n_rows: int) -> int:
    """Epochs that last about as long as a measurement should."""
    weights = 64 * width + width**2
    guess = 6 * weights * n_rows / 60e9 + n_rows / 64 * (1e-4 + 28 * weights / 10e9)
    return max(_FEWEST, min(_MOST, round(_CELL_SECONDS / (k * guess))))


def main(*, repeats: int, quick: bool) -> dict[str, Any]:
    """Every cell, the cells interleaved."""
    table = load("digits")
    arrays = (table.x_train, table.y_train, table.x_valid, table.y_valid)
    ks, widths = (KS[:2], WIDTHS[:2]) if quick else (KS, WIDTHS)
    found: dict[tuple[int, int], list[tuple[float, float]]] = {}
    with closing(VectorizedEngine(*arrays, len(table.classes), "cpu")) as engine:
        # Its processes start when there is enough to do, and take a while.
        began = time.perf_counter()
        while time.perf_counter() - began < (0.0 if quick else _START_SECONDS):
            engine.train_all(Clock(64, 64, 30), 64)
        for turn in range(repeats):
            for width in widths:
                for k in ks:
                    epochs = _FEWEST
                    if not quick:
                        epochs = epochs_for(width, k, len(table.y_train))
                    cell = measure(engine, width, k, epochs)
                    found.setdefault((width, k), []).append(cell)
            print(f"growth: turn {turn + 1} of {repeats}", flush=True)
    return {
        "repeats": repeats,
        "cells": [
            {
                "width": width,
                "k": k,
                "ms": _median([steady for steady, _ in cells]),
                "ms_min": _median([min(steady for steady, _ in cells)]),
                "ms_max": _median([max(steady for steady, _ in cells)]),
                "ms_whole": _median([whole for _, whole in cells]),
            }
            for (width, k), cells in found.items()
        ],
    }


def _median(values: list[float]) -> float:
    return float(f"{statistics.median(values):.4g}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    result = main(repeats=options.repeats, quick=options.quick)
    options.result.write_text(json.dumps(result), encoding="utf-8")
