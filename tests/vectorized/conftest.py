"""Tables, lists of recipes, a feed that remembers, and what "the same" means here."""

import contextlib
import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tunekit.states import from_bytes, to_bytes
from tunekit.trial import (
    ACTIVATIONS,
    OPTIMIZERS,
    SCHEDULES,
    SHAPES,
    Recipe,
    Run,
    Verdict,
)
from tunekit.vectorized.shard import Shard

N_CLASSES = 4

FACTORS = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "activation": ACTIVATIONS,
    "n_layers": (0, 1, 2, 3, 4),
    "width": (1, 7, 64, 300),
    "shape": SHAPES,
    # Of 203 rows: one row or two are left over, eleven, none; all in one batch.
    "batch_size": (101, 67, 16, 29, 300),
    "dropout": (0.0, 0.2, 0.5),
    "label_smoothing": (0.0, 0.1),
    "momentum": (0.9, 0.0),
    "nesterov": (True, False),
    "weight_decay": (1e-2, 0.0),
}
SMALL = {**FACTORS, "width": (1, 5, 16, 20), "batch_size": (30, 59, 16, 100)}


def pairs(choice):
    """Every two of its values, with the names of what they are values of."""
    return set(itertools.combinations(choice.items(), 2))


def covering(factors):
    """Few recipes in which every two values of two factors meet."""
    rng = np.random.default_rng(0)
    names = list(factors)
    left = {
        ((a, x), (b, y))
        for a, b in itertools.combinations(names, 2)
        for x, y in itertools.product(factors[a], factors[b])
    }
    found = []
    while left:
        drawn = [
            {
                name: values[rng.integers(len(values))]
                for name, values in factors.items()
            }
            for _ in range(40)
        ]
        # One of the missing pairs at least, so that this comes to an end.
        missing = dict(min(left, key=str))
        best = max(
            ({**choice, **missing} for choice in drawn),
            key=lambda choice: len(left & pairs(choice)),
        )
        left -= pairs(best)
        found.append(best)
    return [
        Recipe(
            **choice, lr=(0.003, 0.02)[i % 2], lr_decay=0.3, beta2=(0.999, 0.9)[i % 2]
        )
        for i, choice in enumerate(found)
    ]


def runs_of(recipes, **options):
    options = {"max_epochs": 5, "patience": 99, "seed": 3, **options}
    return [
        Run(recipe=recipe, key=f"trial-{i}", **options)
        for i, recipe in enumerate(recipes)
    ]


RUNS = runs_of(covering(FACTORS))
SMALL_RUNS = runs_of(covering(SMALL), max_epochs=4)


def table_of(n_train, n_valid, n_features, dtype=np.float64):
    """Rows whose class is their largest input but for some noise: (x, y, x, y, C)."""
    rng = np.random.default_rng(n_train)
    x = rng.normal(size=(n_train + n_valid, n_features))
    noisy = x[:, :N_CLASSES] + 0.3 * rng.normal(size=(len(x), N_CLASSES))
    x, y = x.astype(dtype), noisy.argmax(1)
    return x[:n_train], y[:n_train], x[n_train:], y[n_train:], N_CLASSES


WIDE = table_of(203, 77, 9)
NARROW = table_of(60, 23, 5)


def shard_of(table):
    return Shard(*table, "cpu")


def train_here(shard, keys, epochs=None):
    """Train runs of a shard, to their ends or for some epochs each."""
    left = list(keys)
    for epoch in itertools.count(1):
        found = shard.advance(left)
        left = [key for key in left if epoch != epochs and not found[key][1]]
        if not left:
            return


@cache
def alone(run, epochs=None):
    """What a run comes to that nobody stands beside (over the narrow table)."""
    shard = shard_of(NARROW)
    shard.open(run)
    train_here(shard, [run.key], epochs)
    return shard.fitted(run.key)


def figures(curve):
    """Curves as numbers, without the wall time."""
    return np.array(
        [(m.train_loss, m.val_loss, m.train_score, m.val_score, m.lr) for m in curve]
    )


def assert_close(found, expected, rel, what=""):
    """Equal tensors but for rounding, relative to the largest entry."""
    assert found.shape == expected.shape, what
    assert found.dtype == expected.dtype, what
    if not expected.is_floating_point():
        assert found.equal(expected), what
    elif expected.numel():
        gap = (found - expected).abs().max().item()
        assert gap <= rel * max(expected.abs().max().item(), 1e-30), what


def assert_same(found, expected, rel=1e-9):
    """Two trainings came to the same."""
    assert figures(found.curve) == pytest.approx(
        figures(expected.curve), rel=rel, abs=0
    )
    assert found.best_epoch == expected.best_epoch
    assert found.diverged == expected.diverged
    assert found.weights
    assert set(found.weights) == set(expected.weights)
    for name, value in expected.weights.items():
        assert_close(found.weights[name], value, rel, name)


def _verdict(answer):
    if isinstance(answer, Verdict):
        return answer
    return Verdict.GO_ON if answer else Verdict.STOP


class Told:
    """A feed of some runs that remembers all that it is told and asked.

    Args:
        runs: What it feeds.
        go_on: Its answer to an epoch: whether the run goes on, or a verdict.
        before: Called before every answer, with the name of the question.
    """

    def __init__(self, runs, go_on=lambda each: True, before=lambda what: None):
        self._waiting, self._go_on, self._before = list(runs), go_on, before
        self.log, self.fits, self.errors, self.curves = [], {}, {}, {}
        self.states = {}

    @contextlib.contextmanager
    def turn(self):
        self._note("turn")
        yield
        self._note("turned")

    def next(self):
        run = self._waiting.pop(0) if self._waiting else None
        self._note("next", run and run.key)
        return run

    def epochs(self, heard):
        self._note("epochs", [(each.run.key, each.epoch, each.over) for each in heard])
        for each in heard:
            self.curves.setdefault(each.run.key, []).append(each.metrics)
        return [_verdict(self._go_on(each)) for each in heard]

    def paused(self, run, state):
        self._note("paused", run.key, len(state.curve))
        self.states[run.key] = state

    def end(self, run, fitted):
        self._note("end", run.key, len(fitted.curve))
        self.fits[run.key] = fitted

    def fail(self, run, error):
        self._note("fail", run.key)
        self.errors[run.key] = error

    def _note(self, what, *more):
        self._before(what)
        self.log.append((what, *more))


class Pauses(Told):
    """Pauses runs after some epochs, and opens them again from their states' bytes.

    Args:
        runs: What it feeds.
        at: By key, the epochs at which to pause.
        later: Whether others are opened before a paused run is.
        before: See :class:`Told`.
    """

    def __init__(self, runs, at, later=False, before=lambda what: None):
        super().__init__(runs, self._judge, before)
        self._at, self._later = at, later
        self.kept = {run.key: [] for run in runs}

    def _judge(self, each):
        pause = each.epoch in self._at.get(each.run.key, ())
        return Verdict.PAUSE if pause else Verdict.GO_ON

    def paused(self, run, state):
        super().paused(run, state)
        self.kept[run.key].append(state)
        again = replace(run, state=from_bytes(to_bytes(state)))
        self._waiting.insert(len(self._waiting) if self._later else 0, again)
