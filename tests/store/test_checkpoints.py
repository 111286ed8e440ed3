"""Weights of the best trials."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from optuna.trial import TrialState
from safetensors.torch import load_file

from tunekit.store import Store

from .conftest import always, suggest


@pytest.mark.parametrize(("keep", "n_kept"), [(None, 5), (2, 2), (0, 0)])
def test_only_the_best_weights_are_kept_and_can_be_loaded(
    folder: Path, keep: int | None, n_kept: int
) -> None:
    store = Store(folder)
    if keep is not None:
        store.extend({**store.settings, "keep_checkpoints": keep})
    losses = [0.9, 0.3, 0.8, 0.1, 0.7, 0.2, 0.6, None, 0.95]
    for n, loss in enumerate(losses):
        trial = store.next_trial(always, suggest)
        assert trial is not None
        state = TrialState.COMPLETE if n % 2 else TrialState.PRUNED
        value = loss if n % 2 else None
        if loss is None:
            state, value = TrialState.FAIL, None
        store.finish(trial, state, {"best_val_loss": loss}, value)
        store.keep_weights(n, {"w": torch.full((2, 3), float(n))})
        ended = sorted((x, k) for k, x in enumerate(losses[: n + 1]) if x is not None)
        kept = sorted(k for _, k in ended[:n_kept])
        files = sorted((folder / "checkpoints").iterdir())
        assert [f.name for f in files] == [f"trial-{k:05d}.safetensors" for k in kept]
    for number in (3, 5, 1, 6, 4)[:n_kept]:
        weights = load_file(folder / "checkpoints" / f"trial-{number:05d}.safetensors")
        assert weights["w"].tolist() == [[number] * 3] * 2


def test_a_trial_without_weights_takes_no_place(folder: Path) -> None:
    store = Store(folder)
    for n in range(8):
        trial = store.next_trial(always, suggest)
        assert trial is not None
        # All but two failed, after they had come to more than these.
        whole = n in (0, 7)
        state = TrialState.COMPLETE if whole else TrialState.FAIL
        loss = 0.9 if whole else 0.1
        value = loss if whole else None
        store.finish(trial, state, {"best_val_loss": loss}, value)
        if whole:
            store.keep_weights(n, {"w": torch.full((2,), float(n))})
    assert [n for n in range(8) if store.weights(n) is not None] == [0, 7]


def test_weights_that_share_memory_or_are_views_are_kept(folder: Path) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None
    store.finish(trial, TrialState.COMPLETE, {"best_val_loss": 1.0}, 1.0)
    whole = torch.arange(12.0).reshape(3, 4)
    store.keep_weights(0, {"a": whole, "b": whole.T.contiguous()})
    found = load_file(folder / "checkpoints" / "trial-00000.safetensors")
    assert torch.equal(found["b"], whole.T)
