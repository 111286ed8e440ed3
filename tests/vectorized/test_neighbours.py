"""Whoever stands beside a run, and wherever it is moved: its curve is its own."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tunekit.vectorized import VectorizedEngine
from tunekit.vectorized.remote import RemoteShard

from .conftest import (
    FACTORS,
    NARROW,
    SMALL_RUNS,
    Told,
    alone,
    assert_same,
    covering,
    figures,
    runs_of,
    shard_of,
    table_of,
    train_here,
)

KEYS = {run.key: run for run in SMALL_RUNS}
INDEX = st.integers(0, len(SMALL_RUNS) - 1)


@st.composite
def plans(draw):
    """Which runs, when each joins, leaves, and moves to the other shard."""
    chosen = draw(st.lists(INDEX, min_size=2, max_size=10, unique=True))
    return [
        (
            SMALL_RUNS[i],
            draw(st.integers(0, 2)),
            draw(st.sampled_from([4, 4, 3, 1])),
            draw(st.sets(st.integers(1, 3), max_size=2)),
        )
        for i in chosen
    ]


@settings(max_examples=20)
@given(plans(), st.randoms(use_true_random=False))
def test_joining_leaving_and_moving_change_no_curve(plan, random):
    shards = [shard_of(NARROW), shard_of(NARROW)]
    where = {}
    for turn in range(7):
        for run, joins, _, _ in plan:
            if joins == turn:
                where[run.key] = random.randrange(2)
                shards[where[run.key]].open(run)
        for run, joins, leaves, moves in plan:
            key, epochs = run.key, turn - joins
            if key in where and epochs == leaves:
                shard = shards[where.pop(key)]
                assert_same(shard.fitted(key), alone(run, leaves))
                shard.drop(key)
            elif key in where and epochs in moves:
                shard, other = shards[where[key]], shards[1 - where[key]]
                other.open(run, shard.save(key))
                shard.drop(key)
                where[key] = 1 - where[key]
        for i, shard in enumerate(shards):
            keys = [key for key in where if where[key] == i]
            random.shuffle(keys)
            assert set(shard.advance(keys)) == set(keys)
    assert not where


@settings(max_examples=8)
@given(st.permutations(range(16)), INDEX)
@example(list(range(16)), 0)
@example(list(range(15, -1, -1)), 0)
def test_fifteen_others_in_any_order_change_nothing(order, first):
    """With one batch size all sixteen are in one stack."""
    runs = [SMALL_RUNS[(first + i) % len(SMALL_RUNS)] for i in order]
    runs = [
        replace(run, recipe=run.recipe.with_params({"batch_size": 16})) for run in runs
    ]
    shard = shard_of(NARROW)
    for run in runs:
        shard.open(run)
    train_here(shard, [run.key for run in runs])
    for run in runs:
        assert_same(shard.fitted(run.key), alone(run))


@pytest.mark.parametrize("slots", [1, 3, 16])
def test_how_many_slots_there_are_changes_no_curve(slots):
    engine = VectorizedEngine(*NARROW, "cpu", processes=1)
    feed = Told(SMALL_RUNS)
    engine.train_all(feed, slots)
    assert list(feed.errors) == []
    assert set(feed.fits) == set(KEYS)
    for key, fitted in feed.fits.items():
        assert_same(fitted, alone(KEYS[key]))
        assert feed.curves[key] == fitted.curve


def test_saved_here_and_loaded_in_another_process_and_back():
    here, there = shard_of(NARROW), RemoteShard((*NARROW, "cpu"))
    try:
        for run in SMALL_RUNS:
            here.open(run)
        train_here(here, KEYS, epochs=1)
        for run in SMALL_RUNS:
            there.open(run, here.save(run.key))
            here.drop(run.key)
        for _ in range(2):
            there.start(KEYS)
            told = there.wait()
        for run in SMALL_RUNS:
            assert told[run.key][0] == there.fitted(run.key).curve[2]
            here.open(run, there.save(run.key))
            there.drop(run.key)
        train_here(here, KEYS)
    finally:
        there.close()
    for run in SMALL_RUNS:
        assert_same(here.fitted(run.key), alone(run))


def test_a_saved_state_is_a_copy():
    """Training goes on where the state was taken; the state stays what it was."""
    shard = shard_of(NARROW)
    run = SMALL_RUNS[0]
    shard.open(run)
    train_here(shard, [run.key], epochs=2)
    state = shard.save(run.key)
    before = {name: value.clone() for name, value in state.tensors.items()}
    train_here(shard, [run.key])
    assert state.steps * 2 == shard.save(run.key).steps
    assert len(state.curve) == 2
    assert all(state.tensors[name].equal(value) for name, value in before.items())
    for _ in range(2):  # and it can be taken up more than once
        again = shard_of(NARROW)
        again.open(run, state)
        train_here(again, [run.key])
        assert_same(again.fitted(run.key), alone(run))
        assert all(state.tensors[name].equal(value) for name, value in before.items())


def test_runs_differ_from_each_other():
    """Else equality would prove nothing."""
    losses = {alone(run).curve[0].val_loss for run in SMALL_RUNS}
    assert len(losses) == len(SMALL_RUNS)


@pytest.mark.parametrize("batch_size", [16, 21, 64])
def test_in_single_precision_not_a_bit_differs(batch_size):
    """So that a search decides alike wherever its trials were trained.

    (Of one unit a product is a vector, which the library may round by its address.)
    """
    table = table_of(203, 1100, 9, np.float32)
    recipes = [
        replace(recipe, batch_size=batch_size, width=width)
        for recipe, width in zip(
            covering(FACTORS)[:20], itertools.cycle([2, 7, 33, 64, 100]), strict=False
        )
    ]
    runs = runs_of(recipes)
    together = shard_of(table)
    for run in runs:
        together.open(run)
    train_here(together, [run.key for run in runs], epochs=3)
    for run in runs:
        single = shard_of(table)
        single.open(run)
        train_here(single, [run.key], epochs=3)
        found, expected = together.fitted(run.key), single.fitted(run.key)
        assert (figures(found.curve) == figures(expected.curve)).all(), run.recipe
        for name, value in single._members[run.key].net.items():
            assert together._members[run.key].net[name].equal(value), run.recipe
