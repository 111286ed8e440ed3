"""A run that diverges or raises ends alone; its neighbours do not notice."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tunekit.errors import ConfigError, DataError
from tunekit.fit import LightningEngine
from tunekit.machine import threads
from tunekit.trial import Recipe, Run
from tunekit.vectorized import VectorizedEngine
from tunekit.vectorized.member import Member
from tunekit.vectorized.stack import Stack
from tunekit.vectorized.step import Step

from .conftest import (
    NARROW,
    SMALL_RUNS,
    Told,
    alone,
    assert_same,
    figures,
    runs_of,
    shard_of,
    train_here,
)

ONE_STACK = [
    replace(run, recipe=run.recipe.with_params({"batch_size": 16}))
    for run in SMALL_RUNS[:12]
]
KEYS = [run.key for run in ONE_STACK]


@pytest.fixture
def engine():
    for run in ONE_STACK:
        alone(run)  # what is right, before a test breaks something
    return VectorizedEngine(*NARROW, "cpu", processes=1)


def wild(lr, **recipe):
    """A run that leaves the numbers there are, named to stand between the others."""
    recipe = {"optimizer": "sgd", "lr": lr, "schedule": "constant", **recipe}
    return Run(
        recipe=Recipe(batch_size=16, **recipe),
        max_epochs=9,
        patience=9,
        seed=0,
        key="trial-5b",
    )


WILD = [
    wild(1e300, n_layers=0),
    wild(1e300, n_layers=2, activation="relu", width=20),
    wild(1e150, n_layers=2, activation="gelu", width=7, dropout=0.5),
    wild(1e200, n_layers=3, activation="tanh", width=4, label_smoothing=0.1),
    wild(1e200, n_layers=1, activation="silu", width=16),
]


@pytest.mark.parametrize("place", [0, 12])
@pytest.mark.parametrize("run", WILD, ids=lambda run: run.recipe.activation)
def test_a_run_that_diverges_ends_alone(engine, run, place):
    feed = Told([*ONE_STACK[:place], run, *ONE_STACK[place:]])
    engine.train_all(feed, 13)
    assert feed.errors == {}
    fitted = feed.fits.pop(run.key)
    assert fitted.diverged
    assert len(fitted.curve) < 9
    last = fitted.curve[-1]
    assert not math.isfinite(last.train_loss + last.val_loss)
    assert ("end", run.key, len(fitted.curve)) in feed.log
    for each in ONE_STACK:
        assert_same(feed.fits[each.key], alone(each))


@pytest.mark.parametrize("run", WILD, ids=lambda run: run.recipe.activation)
def test_it_diverges_in_the_epoch_in_which_it_does_under_lightning(engine, run):
    expected = LightningEngine(*NARROW, "cpu", threads=1).train(run, lambda e, m: True)
    found = engine.train(run, lambda epoch, metrics: True)
    assert found.diverged
    assert expected.diverged
    assert found.best_epoch == expected.best_epoch
    ours, theirs = figures(found.curve), figures(expected.curve)
    assert len(ours) == len(theirs)
    assert ours[:-1] == pytest.approx(theirs[:-1], rel=1e-7)
    # Scores of what is no number mean nothing.
    last, lasts = ours[-1, [0, 1, 4]], theirs[-1, [0, 1, 4]]
    assert last == pytest.approx(lasts, rel=1e-7, nan_ok=True)


@settings(max_examples=12)
@given(
    st.integers(0, len(SMALL_RUNS) - 1),
    st.integers(0),
    st.sampled_from([math.nan, math.inf, -math.inf]),
    st.integers(1, 3),
)
def test_a_number_that_is_none_stays_in_its_own_run(which, entry, bad, epochs):
    """Whatever tensor of a run it is that breaks, of the network or the optimizer."""
    runs = [*ONE_STACK, replace(SMALL_RUNS[which], key="trial-5b")]
    runs[-1] = replace(runs[-1], recipe=runs[-1].recipe.with_params({"batch_size": 16}))
    shard = shard_of(NARROW)
    for run in runs:
        shard.open(run)
    train_here(shard, [run.key for run in runs], epochs)
    state = shard.save("trial-5b")
    names = [
        name
        for name, value in state.tensors.items()
        if value.is_floating_point() and value.numel() and not name.startswith("best")
    ]
    flat = state.tensors[names[entry % len(names)]].view(-1)
    flat[entry % len(flat)] = bad
    shard.drop("trial-5b")
    shard.open(runs[-1], state)
    train_here(shard, [run.key for run in runs])
    for run in ONE_STACK:
        assert_same(shard.fitted(run.key), alone(run))


def test_a_diverged_run_keeps_its_best_weights(engine):
    """Finite for an epoch, then not."""
    run = wild(1e300, n_layers=1, width=5)
    shard = shard_of(NARROW)
    calm = replace(run, recipe=run.recipe.with_params({"lr": 0.01}))
    shard.open(calm)
    train_here(shard, [run.key], epochs=2)
    state = shard.save(run.key)
    shard.drop(run.key)
    shard.open(run, state)
    train_here(shard, [run.key])
    fitted = shard.fitted(run.key)
    assert fitted.diverged
    assert fitted.best_epoch in (1, 2)
    assert len(fitted.curve) == 3
    assert all(value.isfinite().all() for value in fitted.weights.values())
    assert_same(replace(fitted, curve=fitted.curve[:2], diverged=False), alone(calm, 2))


# --- Errors -------------------------------------------------------------------------


def fail_to_open(monkeypatch, bad, error):
    original = Member.__init__

    def init(self, run, *args):
        if run.key in bad:
            raise error
        original(self, run, *args)

    monkeypatch.setattr(Member, "__init__", init)


def fail_in_training(monkeypatch, bad, error, epoch=1, calls=2):
    """Raise in the last steps of an epoch in which one of these is in the stack."""
    original, count = Step.steps, [0]

    def steps(self, *args):
        found = original(self, *args)
        if any(m.run.key in bad and m.epoch == epoch for m in self._members):
            count[0] += 1
            if count[0] % calls == 0:
                raise error
        return found

    monkeypatch.setattr("tunekit.vectorized.stack.CHUNK", 1)
    monkeypatch.setattr(Step, "steps", steps)


@pytest.mark.parametrize("bad", [KEYS[:1], KEYS[5:6], KEYS[-1:], KEYS[3:9:2], KEYS])
@pytest.mark.parametrize("slots", [12, 5])
def test_a_run_that_cannot_be_opened_fails_alone(engine, monkeypatch, bad, slots):
    error = ValueError("no such thing")
    fail_to_open(monkeypatch, bad, error)
    assert_ends_alone(engine, bad, error, slots)


@pytest.mark.parametrize("bad", [KEYS[:1], KEYS[5:6], KEYS[-1:], KEYS[3:9:2], KEYS])
@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_run_whose_training_raises_fails_alone(engine, monkeypatch, bad, calls):
    error = RuntimeError("something broke")
    fail_in_training(monkeypatch, bad, error, calls=calls)
    feed = assert_ends_alone(engine, bad, error, slots=12)
    for key in bad:
        assert figures(feed.curves[key]) == pytest.approx(
            figures(alone(ONE_STACK[KEYS.index(key)]).curve[:1]), rel=1e-9
        )


@pytest.mark.parametrize("bad", [KEYS[4:5], KEYS[2:4]])
def test_a_run_whose_evaluation_raises_fails_alone(engine, monkeypatch, bad):
    original = Stack._evaluate

    def evaluate(self):
        if any(member.run.key in bad for member in self.members):
            raise RuntimeError("something broke")
        return original(self)

    monkeypatch.setattr(Stack, "_evaluate", evaluate)
    assert_ends_alone(engine, bad, None, slots=12)


def assert_ends_alone(engine, bad, error, slots):
    feed = Told(ONE_STACK)
    engine.train_all(feed, slots)
    assert set(feed.errors) == set(bad)
    assert error is None or all(found is error for found in feed.errors.values())
    assert set(feed.fits) == set(KEYS) - set(bad)
    for run in ONE_STACK:
        if run.key not in bad:
            assert_same(feed.fits[run.key], alone(run))
    return feed


@pytest.mark.parametrize("error", [DataError("a b c"), ConfigError("a b c")])
@pytest.mark.parametrize("fail", [fail_to_open, fail_in_training])
def test_what_is_not_a_runs_fault_reaches_the_caller(engine, monkeypatch, fail, error):
    with monkeypatch.context() as patch:
        fail(patch, KEYS[3:4], error)
        feed = Told(ONE_STACK)
        with pytest.raises(type(error), match="a b c"):
            engine.train_all(feed, 12)
        assert feed.errors == {}
    again = Told(ONE_STACK)
    engine.train_all(again, 12)
    for run in ONE_STACK:
        assert_same(again.fits[run.key], alone(run))


def test_train_raises_what_the_run_raised(engine, monkeypatch):
    (run,) = runs_of([Recipe(width=4)])
    fail_to_open(monkeypatch, [run.key], ZeroDivisionError("x"))
    with pytest.raises(ZeroDivisionError):
        engine.train(run, lambda epoch, metrics: True)


def test_no_trace_of_training_is_left_in_torchs_settings(engine):
    torch_state = torch.random.get_rng_state()
    with torch.no_grad(), threads(2):
        fitted = engine.train(ONE_STACK[1], lambda epoch, metrics: True)
        assert not torch.is_grad_enabled()
        assert torch.get_num_threads() == 2
    assert torch.is_grad_enabled()
    assert_same(fitted, alone(ONE_STACK[1]))
    assert not any(value.requires_grad for value in fitted.weights.values())
    assert torch.random.get_rng_state().equal(torch_state)
