"""The roofline: what a load would take if nothing but its arithmetic cost time.

    matrix products   6 operations a weight and row of training, less the 2 that the
                      first layer's input gradient would take; 2 a weight and row of
                      validation; at this machine's measured peak
    optimizer         bytes read and written a parameter and step (float32), at the
                      bandwidth that the fused AdamW update reaches on a stack that no
                      cache holds

The two are added, not overlapped. ``python roofline.py measure RESULT.json`` measures.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tunekit.sizes import hidden_widths
from tunekit.trial import Recipe

__all__ = ["best_seconds", "floor_seconds", "layers", "measure", "steps"]

_BYTES = {"sgd": 20, "rmsprop": 20, "adam": 28, "adamw": 28}
"""Weight, gradient and state read, weight and state written, four bytes each."""
_SIZES = (512, 768, 1024, 1536, 2048)
"""Of the square products, the best of which is the peak."""
_PARAMETERS = 2**24
"""Of the update that measures bandwidth: 256 MB, more than any cache."""
_CACHED = tuple(2**k for k in (14, 16, 18, 20, 22))
"""Of further updates, for the record: smaller ones that caches hold."""


def layers(recipe: dict[str, Any], shape: dict[str, int]) -> list[tuple[int, int]]:
    """Inputs and outputs of each weight matrix."""
    widths = hidden_widths(recipe["n_layers"], recipe["width"], recipe["shape"])
    sizes = [shape["n_inputs"], *widths, shape["n_classes"]]
    return list(itertools.pairwise(sizes))


def steps(recipe: dict[str, Any], shape: dict[str, int]) -> int:
    """Optimizer steps an epoch; a last batch of one row joins the one before it."""
    full, rest = divmod(shape["n_train"], recipe["batch_size"])
    return max(1, full + int(rest > 1))


def parameters(recipe: dict[str, Any], shape: dict[str, int]) -> int:
    """Weights, gamma and beta, and the bias of the output."""
    found = layers(recipe, shape)
    norms = sum(2 * n_out for _, n_out in found[:-1])
    return sum(a * b for a, b in found) + norms + shape["n_classes"]


def floor_seconds(job: dict[str, Any], machine: dict[str, Any]) -> dict[str, float]:
    """The least that a load's products and updates would take.

    Args:
        job: A load as :func:`loads.prepare` wrote it.
        machine: What :func:`measure` returned.
    """
    shape, operations, traffic = job["shape"], 0.0, 0.0
    for values in job["recipes"]:
        found = layers(values, shape)
        weights = sum(a * b for a, b in found)
        first = found[0][0] * found[0][1]
        operations += (6 * weights - 2 * first) * shape["n_train"]
        operations += 2 * weights * shape["n_valid"]
        recipe = Recipe(**values)
        updates = steps(values, shape) * parameters(values, shape)
        traffic += _BYTES[recipe.optimizer] * updates
    return {
        "products": job["epochs"] * operations / machine["peak_gflops"] / 1e9,
        "optimizer": job["epochs"] * traffic / machine["bandwidth_gbs"] / 1e9,
    }


def best_seconds(work: Callable[[], Any], least: float = 0.4) -> float:
    """The quickest of many calls, over at least so many seconds and three calls."""
    work()
    best, began, calls = float("inf"), time.perf_counter(), 0
    while calls < 3 or time.perf_counter() - began < least:
        at = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - at)
        calls += 1
    return best


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Peak of float32 products and bandwidth of the fused update, all threads."""
    import torch

    products = {}
    for n in _SIZES[:2] if quick else _SIZES:
        a, b, out = torch.rand(n, n), torch.rand(n, n), torch.empty(n, n)
        seconds = best_seconds(partial(torch.mm, a, b, out=out))
        products[n] = 2 * n**3 / seconds / 1e9
    bandwidths = {
        n: _bandwidth(n) for n in ((2**20,) if quick else (*_CACHED, _PARAMETERS))
    }
    return {
        "threads": torch.get_num_threads(),
        "peak_gflops": round(max(products.values()), 1),
        "bandwidth_gbs": round(bandwidths[max(bandwidths)], 2),
        "gflops_by_size": {n: round(value, 1) for n, value in products.items()},
        "gbs_by_parameters": {n: round(value, 2) for n, value in bandwidths.items()},
    }


def _bandwidth(n: int) -> float:
    """Gigabytes a second that AdamW's fused update of ``n`` parameters moves."""
    import torch

    weights = torch.nn.Parameter(torch.rand(n))
    weights.grad = torch.rand(n)
    optimizer = torch.optim.AdamW([weights], lr=1e-4, fused=True)
    return _BYTES["adamw"] * n / best_seconds(optimizer.step) / 1e9


def main(arguments: Sequence[str] | None = None) -> None:
    """``measure RESULT.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("measure",))
    parser.add_argument("result", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    found = measure(quick=options.quick)
    options.result.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
