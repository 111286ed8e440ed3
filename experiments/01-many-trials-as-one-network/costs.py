"""Where the rest goes: what else a load costs, each measured on its own.

    products     the load's matrix products at their own shapes, not at the peak
    updates      the optimizers' updates at each network's own size
    one by one   whole steps of a plain torch loop: the same networks, one at a time,
                 batches by index, fused updates, no Trainer and no study
    records      the search's loop with an engine that trains nothing: journal,
                 TensorBoard, kept weights

The first three take the better of two ways: one after the other with all threads, or
with one thread each on all cores at once (counted as that many times faster).

    python costs.py JOB.json RESULT.json
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from by_tunekit import search
from roofline import best_seconds, layers, parameters, steps
from torch import Tensor

from tunekit.metrics import cross_entropy
from tunekit.mlp import MLP
from tunekit.optim import build_optimizer
from tunekit.trial import Feed, Fitted, Heard, Metrics, Recipe, Run, Verdict

_THREADS = torch.get_num_threads()
_LEAST = 0.004
"""Seconds over which the quickest call is sought."""


class Replay:
    """An engine that trains nothing: fresh weights and a made-up curve."""

    name = "replay"

    def __init__(self, shape: dict[str, int]) -> None:
        self.shape = shape

    def train_all(self, feed: Feed, slots: int) -> None:
        """Let every run live through its epochs, so many at once."""
        opened: dict[str, list[Metrics]] = {}
        runs: dict[str, Run] = {}
        while True:
            heard = [self._epoch(runs[key], curve) for key, curve in opened.items()]
            with feed.turn():
                verdicts = feed.epochs(heard) if heard else []
                for each, verdict in zip(heard, verdicts, strict=True):
                    if each.over or verdict is Verdict.STOP:
                        feed.end(each.run, self._fitted(each.run, opened))
                while len(opened) < slots and (run := feed.next()) is not None:
                    runs[run.key], opened[run.key] = run, []
            if not opened:
                return

    def close(self) -> None:
        """Nothing is held."""

    def _epoch(self, run: Run, curve: list[Metrics]) -> Heard:
        loss = 1.0 / (1 + len(curve))
        curve.append(Metrics(loss, loss, 0.5, 0.5, run.recipe.lr, 1e-3))
        return Heard(run, len(curve), curve[-1], len(curve) >= run.max_epochs)

    def _fitted(self, run: Run, opened: dict[str, list[Metrics]]) -> Fitted:
        curve, shape = opened.pop(run.key), self.shape
        net = MLP.of(run.recipe, shape["n_inputs"], shape["n_classes"])
        return Fitted(
            curve=curve,
            best_epoch=len(curve),
            weights=net.state_dict(),
            diverged=False,
        )


def quickest(work: Callable[[], Any]) -> float:
    """The better of all threads together and one thread on every core."""
    torch.set_num_threads(1)
    alone = best_seconds(work, _LEAST) / _THREADS
    torch.set_num_threads(_THREADS)
    return min(alone, best_seconds(work, _LEAST))


@cache
def _product(rows: int, n_in: int, n_out: int) -> float:
    """One matrix product of these sizes; sizes of others share it."""
    a, b = torch.rand(rows, n_in), torch.rand(n_in, n_out)
    out = torch.empty(rows, n_out)
    return quickest(lambda: torch.mm(a, b, out=out))


@cache
def _update(optimizer: str, n: int) -> float:
    """One update of so many parameters."""
    weights = torch.nn.Parameter(torch.rand(n))
    weights.grad = torch.rand(n)
    recipe = Recipe(optimizer=optimizer, lr=1e-4)  # type: ignore[arg-type]
    return quickest(build_optimizer(recipe, [weights]).step)


def products(recipe: dict[str, Any], shape: dict[str, int]) -> float:
    """Seconds an epoch of a network's products at their own shapes."""
    size = recipe["batch_size"]
    # A short last batch counts for its share of a whole one.
    batches = shape["n_train"] / size
    seconds = 0.0
    for place, (n_in, n_out) in enumerate(layers(recipe, shape)):
        step = _product(size, n_in, n_out) + _product(n_in, size, n_out)
        if place:
            step += _product(size, n_out, n_in)
        seconds += batches * step + _product(shape["n_valid"], n_in, n_out)
    return seconds


def one_by_one(
    values: dict[str, Any], shape: dict[str, int], arrays: dict[str, Tensor]
) -> float:
    """Seconds an epoch of a network in a plain torch loop."""
    recipe = Recipe(**values)
    net = MLP.of(recipe, shape["n_inputs"], shape["n_classes"])
    optimizer = build_optimizer(recipe, net.parameters())
    order = torch.randperm(shape["n_train"])[: recipe.batch_size]

    def step() -> None:
        x_BF, y_B = arrays["x_train"][order], arrays["y_train"][order]
        optimizer.zero_grad()
        cross_entropy(net(x_BF), y_B, recipe.label_smoothing).backward()
        optimizer.step()

    @torch.no_grad()
    def validate() -> None:
        cross_entropy(net(arrays["x_valid"]), arrays["y_valid"])

    net.train()
    seconds = shape["n_train"] / recipe.batch_size * quickest(step)
    net.eval()
    return seconds + quickest(validate)


def records(job: dict[str, Any]) -> float:
    """Seconds of the search's loop alone."""
    with tempfile.TemporaryDirectory() as folder:
        engine = Replay(job["shape"])
        found = search(job, lambda table: engine, accelerator="cpu", out=folder)
    seconds: float = found["seconds_search"]
    return seconds


def main(job: dict[str, Any]) -> dict[str, float]:
    """All of it, in seconds of the whole load."""
    shape, epochs = job["shape"], job["epochs"]
    with np.load(job["arrays"]) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files}
    found = dict.fromkeys(("products", "updates", "one_by_one"), 0.0)
    for values in job["recipes"]:
        found["products"] += epochs * products(values, shape)
        update = _update(values["optimizer"], parameters(values, shape))
        found["updates"] += epochs * steps(values, shape) * update
        found["one_by_one"] += epochs * one_by_one(values, shape, arrays)
    found["records"] = records(job)
    return {name: float(f"{seconds:.4g}") for name, seconds in found.items()}


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    began = time.perf_counter()
    result = main(asked)
    print(f"{asked['load']}: {time.perf_counter() - began:.0f} s of measuring")
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")
