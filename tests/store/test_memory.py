"""The store without a folder: what it lets go of."""

from __future__ import annotations

import gc
import weakref

import torch

from tunekit.choosers import Halving
from tunekit.draws import UniformSampler
from tunekit.store import MemoryStore
from tunekit.trial import Metrics, State

from .conftest import always, suggest


def test_at_the_end_only_the_best_weights_of_paused_trials_stay() -> None:
    settings = {"max_epochs": 9, "patience": 9, "seed": 0}
    sampler = UniformSampler(seed=0)
    store = MemoryStore("s", settings, sampler, None, lambda study: Halving(9))
    trial = store.next_trial(always, suggest)
    assert trial is not None
    curve = []
    for epoch in range(1, trial.user_attrs["to_epoch"] + 1):
        store.report(trial, 1 / epoch, epoch)
        curve.append(Metrics(0.0, 1 / epoch, 0.5, 0.5, 1e-3, 0.1))
    moments = torch.zeros(1000)
    tensors = {"checkpoint.0": moments, "best.w": torch.ones(2)}
    state = State(tensors=tensors, steps=4, best_epoch=len(curve), curve=curve, extra=1)
    store.pause(trial, state)
    gone = weakref.ref(moments)
    del moments, tensors, state
    gc.collect()
    assert gone() is not None
    store.end_paused(lambda frozen: {})
    gc.collect()
    assert gone() is None
    weights = store.weights(0)
    assert weights is not None
    assert torch.equal(weights["w"], torch.ones(2))
