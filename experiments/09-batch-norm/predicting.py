"""By whose statistics a trained network predicts: neighbours, averages, divisors.

Shapes: N rows, F inputs, C classes, G groups of B rows.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import averages
import numpy as np
import torch
from embedded import embedded
from lab import Asked
from networks import norms, train, with_memory
from plan import short
from rows import Table, begun
from torch import Tensor
from torch.nn import functional as F

from tunekit.mlp import MLP
from tunekit.trial import Recipe

__all__ = ["at_test_time", "momentum", "variance"]

_GROUPS = (1, 2, 4, 16, 64)
_SHUFFLES = 20
_BATCHES = (2, 4, 8, 16, 32, 64, 128, 256)
_LOOKS = (1, 3, 10, 30, 100, 300, 1000)

Found = dict[str, Any]


def at_test_time(asked: Asked) -> Found:
    """Running averages against the statistics of the rows that are predicted."""
    plan = begun(asked)
    runs = []
    for seed in plan.seeds:
        table = Table.of(plan, embedded("digits"), seed, torch.float32)
        net = with_memory(table.network(plan.recipe, seed))
        _train(net, table, plan.recipe, seed, 20 if asked.quick else table.steps(plan))
        for norm in norms(net):
            norm.given = averages.running(norm.seen, beta=0.9)
        found: Found = {"running averages": _judged(_logits(net, table.x_test), table)}
        for norm in norms(net):
            norm.given = None
        for size in _GROUPS:
            found[f"{size}"] = _in_groups(net, table, size, seed)
        runs.append(found)
    return {"digits": runs}


def _in_groups(net: MLP, table: Table, size: int, seed: int) -> Found:
    """What becomes of the test rows in random groups of a size, but for the rest."""
    n = len(table.y_test)
    draws = np.random.default_rng(seed)
    predicted_RN = np.full((_SHUFFLES, n), -1)
    sure_RN = np.full((_SHUFFLES, n), np.nan)
    found = []
    for shuffle in range(_SHUFFLES):
        chosen = torch.from_numpy(draws.permutation(n)[: n // size * size])
        x_GBF = table.x_test[chosen].view(-1, size, table.x_test.shape[1])
        logits_NC = _logits(net, x_GBF).flatten(0, 1)
        y = table.y_test[chosen]
        found.append(_judged(logits_NC, table, y))
        predicted_RN[shuffle, chosen] = logits_NC.argmax(1)
        p_NC = logits_NC.softmax(1)
        sure_RN[shuffle, chosen] = p_NC.gather(1, y[:, None])[:, 0]
    highest = predicted_RN.max(0)
    lowest = np.where(predicted_RN < 0, table.n_classes, predicted_RN).min(0)
    return {
        **{key: short(np.mean([each[key] for each in found])) for key in found[0]},
        "changed": short(np.mean(highest != lowest)),
        "deviation": short(np.nanmean(np.nanstd(sure_RN, 0))),
    }


def momentum(asked: Asked) -> Found:
    """Each way of averaging, after few and after many steps of the same training."""
    plan = begun(asked)
    looks = _LOOKS[:3] if asked.quick else _LOOKS
    runs = []
    for seed in plan.seeds:
        table = Table.of(plan, embedded("digits"), seed, torch.float32)
        net = with_memory(table.network(plan.recipe, seed))
        batches = table.batches(plan.recipe.batch_size, seed)
        done, found = 0, []
        for look in looks:
            net.train()
            train(net, itertools.islice(batches, look - done), plan.recipe)
            done = look
            found.append(_by_average(net, table))
        runs.append(found)
    return {"steps": list(looks), "digits": runs}


def _by_average(net: MLP, table: Table) -> Found:
    """The test loss by each way of averaging what was seen so far."""
    found: Found = {"all training rows": _by_all_rows(net, table)}
    for way, beta in itertools.product(averages.WAYS, averages.BETAS):
        for norm in norms(net):
            norm.given = averages.running(norm.seen, beta=beta, way=way)
        loss = _judged(_logits(net, table.x_test), table)["loss"]
        found.setdefault(way, {})[f"{beta}"] = loss
    return found


def _by_all_rows(net: MLP, table: Table) -> float:
    """The loss by the present network's own statistics over all training rows."""
    hidden = table.x_train
    net.eval()
    with torch.no_grad():
        for module in net.hidden:
            if module in norms(net):
                module.given = tuple(
                    reversed(torch.var_mean(hidden, 0, correction=0, keepdim=True))
                )
            hidden = module(hidden)
    return float(_judged(_logits(net, table.x_test), table)["loss"])


def variance(asked: Asked) -> Found:
    """The running variance divided by m (the notes) and by m - 1 (torch)."""
    plan = begun(asked)
    found: Found = {}
    for size in _BATCHES[::4] if asked.quick else _BATCHES:
        # The learning rate goes with the batch, as is usual.
        recipe = replace(
            plan.recipe,
            batch_size=size,
            lr=plan.recipe.lr * size / plan.recipe.batch_size,
        )
        runs = []
        for seed in plan.seeds:
            table = Table.of(plan, embedded("digits"), seed, torch.float32)
            net = with_memory(table.network(recipe, seed))
            n_steps = 20 if asked.quick else table.steps(plan, size)
            _train(net, table, recipe, seed, n_steps)
            run = {"all training rows": _by_all_rows(net, table)}
            for beta, divisor in itertools.product((0.9, 0.999), ("m", "m - 1")):
                for norm in norms(net):
                    norm.given = averages.running(
                        norm.seen, beta=beta, way="corrected", unbiased=divisor != "m"
                    )
                logits = _logits(net, table.x_test)
                run[f"{beta}, {divisor}"] = _judged(logits, table)["loss"]
            runs.append(run)
        found[f"{size}"] = runs
        asked.say(f"batches of {size}")
    return found


def _train(net: MLP, table: Table, recipe: Recipe, seed: int, n_steps: int) -> None:
    batches = table.batches(recipe.batch_size, seed)
    train(net.train(), itertools.islice(batches, n_steps), recipe)


@torch.no_grad()
def _logits(net: MLP, x: Tensor) -> Tensor:
    return net.eval()(x)


def _judged(logits_NC: Tensor, table: Table, y: Tensor | None = None) -> Found:
    y = table.y_test if y is None else y
    loss = float(F.cross_entropy(logits_NC, y))
    return {
        "loss": short(loss),
        "error": short(float((logits_NC.argmax(1) != y).float().mean())),
    }
