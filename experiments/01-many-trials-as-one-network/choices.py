"""Why the engine is built as it is: each choice against what else could have been.

stacks       64 random configurations, one epoch, by the most entries of a layer
cores        the same on two cores: one process, two threads, two processes
products     16 networks' products of a hidden layer: one by one, or padded to the
             widest and batched
masks        dropout masks of a layer: NumPy's 32-bit words, torch's 64-bit words
precision    a matrix product in float32 and in bfloat16

python choices.py RESULT.json [--repeats 5] [--quick]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from growth import Clock
from loads import LOADS, prepare

from tunekit.data import load
from tunekit.seeds import drop_limit, keep_mask, keep_on_device, row_words, unit_words
from tunekit.trial import Heard, Recipe, Run, Verdict
from tunekit.vectorized import VectorizedEngine
from tunekit.vectorized.shard import Shard

_EPOCHS = 4
ENTRIES = (2**12, 2**14, 2**16, 2**18, 2**20)
PARAMETERS = (2**14, 2**16, 2**18, 2**20, 2**22)
"""Limits of a stack; without one on parameters, where entries vary."""


def main(*, repeats: int, quick: bool) -> dict[str, Any]:
    """Every choice, its candidates in turn."""
    torch.set_num_threads(1)
    found: dict[str, dict[str, float]] = {}
    for name in ("digits-small", "digits-default"):
        each = LOADS[name].quick() if quick else LOADS[name]
        with tempfile.TemporaryDirectory() as folder:
            job = prepare(each, Path(folder), None)
        runs = [
            Run(
                recipe=Recipe(**fields),
                max_epochs=10**6,
                patience=10**6,
                seed=0,
                key=f"trial-{i}",
            )
            for i, fields in enumerate(job["recipes"])
        ]
        found[f"stacks, {name}, s an epoch"] = _turns(repeats, _stacks(runs))
        found[f"cores, {name}, s an epoch"] = _turns(repeats, _cores(runs))
    found["products of a layer, 16 networks, us"] = _turns(repeats, _products(), 1e6)
    found["masks, 64 x 1024, us"] = _turns(repeats, _masks(), 1e6)
    found["512 x 512 by 512 x 64, us"] = _turns(repeats, _precisions(), 1e6)
    return {"repeats": repeats, "choices": found}


def _turns(
    repeats: int, ways: dict[str, Callable[[], float]], unit: float = 1.0
) -> dict[str, float]:
    """The median of each way, taken in turn."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            seconds = way()
            if turn:  # the first warms up
                taken[name].append(unit * seconds)
    return {
        name: float(f"{statistics.median(all_):.3g}") for name, all_ in taken.items()
    }


def _shard(
    runs: list[Run], entries: int = 2**16, parameters: int | None = 2**18
) -> tuple[Shard, list[str]]:
    table = load("digits")
    arrays = (table.x_train, table.y_train, table.x_valid, table.y_valid)
    shard = Shard(*arrays, len(table.classes), "cpu")
    shard._entries, shard._parameters = entries, parameters
    for run in runs:
        shard.open(run)
    return shard, [run.key for run in runs]


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _stacks(runs: list[Run]) -> dict[str, Callable[[], float]]:
    ways = {}
    limits = [(f"{n:,} entries", n, None) for n in ENTRIES]
    limits += [(f"{n:,} parameters", 2**16, n) for n in PARAMETERS]
    for name, entries, parameters in limits:
        shard, keys = _shard(runs, entries, parameters)
        ways[name] = lambda s=shard, k=keys: _timed(lambda: s.advance(k))
    return ways


def _cores(runs: list[Run]) -> dict[str, Callable[[], float]]:
    one, keys = _shard(runs)
    halves = [_shard(runs[i::2]) for i in range(2)]
    pool = ThreadPoolExecutor(2, initializer=lambda: torch.set_num_threads(1))
    table = load("digits")
    arrays = (table.x_train, table.y_train, table.x_valid, table.y_valid)
    engine = VectorizedEngine(*arrays, len(table.classes), "cpu", processes=2)

    def processes() -> float:
        clock = _Few(runs)
        engine.train_all(clock, len(runs))
        (first, _), (last, _) = clock.heard[0], clock.heard[-1]
        return (last - first) / (len(clock.heard) - 1)

    def start() -> None:
        # Its processes start when there is enough to do, and take a while.
        until = time.perf_counter() + 6.0
        while time.perf_counter() < until:
            processes()

    start()
    return {
        "one process": lambda: _timed(lambda: one.advance(keys)),
        "two threads": lambda: _timed(
            lambda: list(pool.map(lambda half: half[0].advance(half[1]), halves))
        ),
        "two processes": processes,
    }


class _Few(Clock):
    """Ends all its runs after a few epochs, though their horizon is far."""

    def __init__(self, runs: list[Run]) -> None:
        super().__init__(16, 0, 1)
        self._waiting = [*reversed(runs)]

    def epochs(self, heard: Sequence[Heard]) -> list[Verdict]:
        super().epochs(heard)
        return [
            Verdict.GO_ON if each.epoch < _EPOCHS else Verdict.STOP for each in heard
        ]


def _repeated(work: Callable[[], Any], n: int = 200) -> Callable[[], float]:
    def seconds() -> float:
        return _timed(lambda: [work() for _ in range(n)]) / n

    return seconds


def _products() -> dict[str, Callable[[], float]]:
    rng = np.random.default_rng(0)
    ways: dict[str, Callable[[], float]] = {}
    for what, widths in (
        ("widths of 64", [64] * 16),
        ("widths 16 to 128", np.exp(rng.uniform(np.log(16), np.log(128), 16))),
    ):
        sizes = [int(width) for width in widths]
        pairs = [(torch.randn(64, n), torch.randn(n, n)) for n in sizes]
        outs = [torch.empty(64, n) for n in sizes]
        most = max(sizes)
        x, w = torch.randn(16, 64, most), torch.randn(16, most, most)
        out = torch.empty(16, 64, most)

        def single(pairs: Any = pairs, outs: Any = outs) -> None:
            for (a, b), c in zip(pairs, outs, strict=True):
                torch.mm(a, b, out=c)

        def batched(x: Any = x, w: Any = w, out: Any = out) -> None:
            torch.bmm(x, w, out=out)

        ways[f"{what}, one by one"] = _repeated(single)
        ways[f"{what}, padded and batched"] = _repeated(batched)
    return ways


def _masks() -> dict[str, Callable[[], float]]:
    rows = torch.from_numpy(row_words(0, 1, 64)[0].astype(np.int64))
    units = torch.from_numpy(unit_words(1, 0, 0, 1024).astype(np.int64))
    limit = drop_limit(0.5)
    return {
        "32-bit words, NumPy": _repeated(
            lambda: keep_mask(1, 0, 0, 0, (64, 1024), 0.5)
        ),
        "64-bit words, torch": _repeated(lambda: keep_on_device(rows, units, limit)),
    }


def _precisions() -> dict[str, Callable[[], float]]:
    ways = {}
    for kind in (torch.float32, torch.bfloat16):
        a, b = torch.randn(512, 512).to(kind), torch.randn(512, 64).to(kind)
        ways[str(kind).removeprefix("torch.")] = _repeated(lambda a=a, b=b: a @ b)
    return ways


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    result = main(repeats=options.repeats, quick=options.quick)
    options.result.write_text(json.dumps(result), encoding="utf-8")
