"""A run in a Trainer that is paused: it goes on as if it never had been."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from tunekit.batches import Batches
from tunekit.fit import LightningEngine
from tunekit.module import lit_mlp
from tunekit.optim import lr_factor
from tunekit.states import from_bytes, to_bytes
from tunekit.trial import OPTIMIZERS, SCHEDULES, Recipe, Run, State, Verdict

RECIPE = Recipe(n_layers=2, width=12, batch_size=32, lr=0.02, dropout=0.3, lr_decay=0.4)
KINDS = {
    "momentum 0": {"optimizer": "sgd", "momentum": 0.0},
    "no look-ahead": {"optimizer": "sgd", "nesterov": False},
    "softmax regression": {"n_layers": 0},
    "funnel": {"n_layers": 3, "shape": "funnel", "width": 11},
    "no dropout": {"dropout": 0.0},
    "a tail of one row": {"batch_size": 17},
    "all in one batch": {"batch_size": 500},
    "smoothed": {"label_smoothing": 0.2, "activation": "tanh"},
}


def run_of(recipe=RECIPE, **options):
    options = {"max_epochs": 5, "patience": 99, "seed": 0, "key": "trial-7", **options}
    return Run(recipe=recipe, **options)


@pytest.fixture
def engine(table):
    return LightningEngine(*table, n_classes=3, accelerator="cpu")


def figures(curve):
    """The curve without the wall time."""
    return [(m.train_loss, m.val_loss, m.train_score, m.val_score, m.lr) for m in curve]


def at(*epochs):
    def verdict(epoch, metrics):
        return Verdict.PAUSE if epoch in epochs else Verdict.GO_ON

    return verdict


def paused(engine, run, epoch):
    """Its state after an epoch, by way of a file."""
    state = engine.train_until(run, at(epoch))
    assert isinstance(state, State)
    assert len(state.curve) == epoch
    return from_bytes(to_bytes(state))


def assert_goes_on_the_same(engine, run, *epochs):
    whole = engine.train_until(run, at())
    last = paused(engine, run, run.max_epochs - 1)
    state = None
    for epoch in epochs:
        state = paused(engine, replace(run, state=state), epoch)
    again = paused(engine, replace(run, state=state), run.max_epochs - 1)
    for name, value in last.tensors.items():
        assert again.tensors[name].equal(value), name
    fitted = engine.train_until(replace(run, state=state), at())
    assert figures(fitted.curve) == figures(whole.curve)
    assert fitted.curve[: len(state.curve)] == list(state.curve)
    assert fitted.best_epoch == whole.best_epoch
    assert fitted.weights.keys() == whole.weights.keys()
    assert all(fitted.weights[n].equal(v) for n, v in whole.weights.items())


@pytest.mark.parametrize(
    ("optimizer", "schedule"), [*itertools.product(OPTIMIZERS, SCHEDULES)]
)
def test_every_optimizer_and_schedule_goes_on_to_the_last_bit(
    engine, optimizer, schedule
):
    recipe = RECIPE.with_params({"optimizer": optimizer, "schedule": schedule})
    assert_goes_on_the_same(engine, run_of(recipe), 2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_goes_on_to_the_last_bit(engine, kind):
    assert_goes_on_the_same(engine, run_of(RECIPE.with_params(KINDS[kind])), 1, 3)


def test_the_best_epoch_may_lie_before_the_pause(table):
    """Validation rows of wrong classes: the more is learnt, the higher their loss."""
    table = table._replace(y_valid=np.roll(table.y_valid, 1))
    engine = LightningEngine(*table, n_classes=3, accelerator="cpu")
    run = run_of(max_epochs=8)
    whole = engine.train_until(run, at())
    assert 0 < whole.best_epoch < 6
    state = paused(engine, run, whole.best_epoch + 1)
    assert state.best_epoch == whole.best_epoch
    assert_goes_on_the_same(engine, run, whole.best_epoch + 1)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_rate_is_that_of_the_epoch(engine, schedule):
    recipe = RECIPE.with_params({"schedule": schedule})
    run = run_of(recipe)
    fitted = engine.train_until(replace(run, state=paused(engine, run, 3)), at())
    assert [m.lr for m in fitted.curve] == pytest.approx(
        [0.02 * lr_factor(schedule, 0.4, t, 5) for t in range(5)]
    )


def test_the_trainer_counts_epochs_from_the_first_and_keeps_the_horizon(
    engine, monkeypatch
):
    """What modules, callbacks and schedules read; batches are those of the epoch."""
    run = run_of()
    state = paused(engine, run, 3)
    seen = []
    module = lit_mlp("pytorch_lightning")
    step, rows = module.training_step, Batches.__iter__

    def training_step(self, batch, batch_idx):
        seen.append((self.current_epoch, self.trainer.max_epochs, batch_idx))
        return step(self, batch, batch_idx)

    def batches(self):
        seen.append(("batches", self.epoch))
        yield from rows(self)

    monkeypatch.setattr(module, "training_step", training_step)
    monkeypatch.setattr(Batches, "__iter__", batches)
    engine.train_until(replace(run, state=state), at())
    steps = [(epoch, 5, i) for epoch in (3, 4) for i in range(4)]
    assert [each for each in seen if each[0] != "batches"] == steps
    assert [each for each in seen if each[0] == "batches"] == [
        ("batches", 3),
        ("batches", 4),
    ]


def test_a_state_says_what_it_is(engine):
    """Moments are torch's; of those that an optimizer does not keep, zeros."""
    kept = {"sgd": (1, 0), "adam": (1, 1), "adamw": (1, 1), "rmsprop": (0, 1)}
    for optimizer in OPTIMIZERS:
        recipe = RECIPE.with_params({"optimizer": optimizer})
        state = paused(engine, run_of(recipe), 2)
        assert state.steps == 2 * 4
        assert state.tensors["net.hidden.1.num_batches_tracked"].item() == 8
        for part, is_kept in zip(("first", "second"), kept[optimizer], strict=True):
            found = [t for n, t in state.tensors.items() if n.startswith(part)]
            assert len(found) == 2 * 3 + 2
            assert all(bool(t.any()) == bool(is_kept) for t in found)
        assert all(t.device == torch.device("cpu") for t in state.tensors.values())


def test_a_stop_and_an_end_give_no_state(engine):
    stopped = engine.train_until(run_of(), lambda epoch, metrics: Verdict.STOP)
    assert len(stopped.curve) == 1
    ended = engine.train_until(run_of(max_epochs=2), at(2))
    assert len(ended.curve) == 2
