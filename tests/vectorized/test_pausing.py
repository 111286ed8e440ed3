"""A run that is paused and goes on, anywhere, is the run that was never paused."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunekit.fit import LightningEngine
from tunekit.states import from_bytes, to_bytes
from tunekit.trial import Recipe, Run, Verdict
from tunekit.vectorized import VectorizedEngine
from tunekit.vectorized.shard import Shard

from .conftest import (
    FACTORS,
    NARROW,
    SMALL_RUNS,
    WIDE,
    Pauses,
    Told,
    alone,
    assert_same,
    covering,
    figures,
    runs_of,
)

SINGLE = tuple(
    part.astype(np.float32) if isinstance(part, np.ndarray) and part.ndim == 2 else part
    for part in WIDE
)
RECIPES = [replace(recipe, width=max(2, recipe.width)) for recipe in covering(FACTORS)]
"""Every two values of two settings meet. (Of one unit, in single precision, a product
is a vector, which the library may round by its address.)"""


def assert_equal(found, expected):
    """Not a bit differs."""
    assert (figures(found.curve) == figures(expected.curve)).all()
    assert found.best_epoch == expected.best_epoch
    assert found.diverged == expected.diverged
    assert found.weights.keys() == expected.weights.keys()
    for name, value in expected.weights.items():
        assert found.weights[name].equal(value), name


def assert_equal_states(found, expected):
    assert found.tensors.keys() == expected.tensors.keys()
    for name, value in expected.tensors.items():
        assert found.tensors[name].equal(value), name
    assert (found.steps, found.best_epoch) == (expected.steps, expected.best_epoch)
    assert (figures(found.curve) == figures(expected.curve)).all()


def engine_of(name, table):
    if name == "lightning":
        return LightningEngine(*table, "cpu", threads=1)
    return VectorizedEngine(*table, "cpu", processes=1)


def fed(engine, feed, slots=1):
    engine.train_all(feed, slots)
    assert feed.errors == {}
    return feed


# --- In one engine, to the bit --------------------------------------------------------


@pytest.mark.parametrize("name", ["lightning", "vectorized"])
def test_paused_after_every_epoch_not_a_bit_differs(name):
    """Weights, moments and best weights, too: seen where one more pause is."""
    runs = runs_of(RECIPES[:: 3 if name == "lightning" else 1])
    engine = engine_of(name, SINGLE)
    last = {run.key: {4} for run in runs}
    every = {run.key: {1, 2, 3, 4} for run in runs}
    whole = fed(engine, Pauses(runs, last), slots=16)
    parts = fed(engine, Pauses(runs, every), slots=16)
    for run in runs:
        assert [len(state.curve) for state in parts.kept[run.key]] == [1, 2, 3, 4]
        assert_equal_states(parts.kept[run.key][3], whole.kept[run.key][0])
        assert_equal(parts.fits[run.key], whole.fits[run.key])
        assert_equal(whole.fits[run.key], fed(engine, Told([run])).fits[run.key])


@settings(max_examples=15)
@given(st.data(), st.integers(1, 5), st.booleans())
def test_paused_beside_others_at_any_epochs(data, slots, later):
    order = data.draw(st.permutations(range(len(SMALL_RUNS))))[:8]
    runs = [SMALL_RUNS[i] for i in order]
    at = {run.key: data.draw(st.sets(st.integers(1, 4))) for run in runs}
    feed = fed(engine_of("vectorized", NARROW), Pauses(runs, at, later), slots)
    for run in runs:
        # The fourth epoch is the last: it is over of itself, whatever is said.
        assert len(feed.kept[run.key]) == len(at[run.key] - {4})
        assert_same(feed.fits[run.key], alone(run))
        assert feed.curves[run.key] == feed.fits[run.key].curve


@pytest.mark.parametrize("name", ["lightning", "vectorized"])
@pytest.mark.parametrize("paused_at", [1, 3])
def test_patience_counts_on_over_a_pause(name, paused_at):
    """Wrong classes to validate on: the more is learnt, the higher their loss."""
    x, y, x_valid, y_valid, n_classes = WIDE
    engine = engine_of(name, (x, y, x_valid, np.roll(y_valid, 1), n_classes))
    recipe = Recipe(lr=0.02, width=16, n_layers=1)
    run = Run(recipe=recipe, max_epochs=9, patience=3, seed=0, key="trial-0")
    whole = fed(engine, Told([run])).fits[run.key]
    assert whole.best_epoch < len(whole.curve) - 1 < 8
    feed = fed(engine, Pauses([run], {run.key: {paused_at, len(whole.curve)}}))
    assert len(feed.kept[run.key]) == 1
    assert_equal(feed.fits[run.key], whole)


@pytest.mark.parametrize("name", ["lightning", "vectorized"])
def test_a_run_that_diverges_ends_whatever_is_said(name):
    recipe = Recipe(optimizer="sgd", lr=1e6, weight_decay=0.1, schedule="constant")
    run = Run(recipe=recipe, max_epochs=60, patience=60, seed=0, key="trial-0")
    every = {run.key: set(range(1, 61))}
    feed = fed(engine_of(name, SINGLE), Pauses([run], every))
    whole = fed(engine_of(name, SINGLE), Told([run])).fits[run.key]
    assert feed.fits[run.key].diverged
    assert len(feed.kept[run.key]) == len(whole.curve) - 1
    np.testing.assert_array_equal(
        figures(feed.fits[run.key].curve), figures(whole.curve)
    )


@pytest.mark.parametrize("name", ["lightning", "vectorized"])
def test_a_paused_run_is_told_between_the_epochs_and_the_next_run(name):
    runs = [replace(run, max_epochs=2) for run in SMALL_RUNS[:2]]
    feed = fed(engine_of(name, NARROW), Pauses(runs, {runs[0].key: {1}}, later=True))
    one, other = (run.key for run in runs)
    told = [event for event in feed.log if event[0] not in ("turn", "turned")]
    assert told == [
        ("next", one),
        ("epochs", [(one, 1, False)]),
        ("paused", one, 1),
        ("next", other),
        ("epochs", [(other, 1, False)]),
        ("epochs", [(other, 2, True)]),
        ("end", other, 2),
        ("next", one),
        ("epochs", [(one, 2, True)]),
        ("end", one, 2),
        ("next", None),
    ]


@pytest.mark.parametrize("name", ["lightning", "vectorized"])
def test_a_state_may_be_opened_again_and_stays_what_it_was(name):
    engine = engine_of(name, SINGLE)
    for run in runs_of(RECIPES[:8]):
        feed = fed(engine, Pauses([run], {run.key: {2}}))
        state = feed.kept[run.key][0]
        before = to_bytes(state)
        for _ in range(2):
            again = fed(engine, Told([replace(run, state=state)]))
            assert_equal(again.fits[run.key], feed.fits[run.key])
            assert to_bytes(state) == before


@pytest.mark.parametrize("name", ["lightning", "vectorized"])
def test_what_was_reached_after_the_state_is_trained_again_first(name):
    """The recorded epochs 3 and 4 were lost with the process that trained them."""
    run, other = SMALL_RUNS[3], SMALL_RUNS[5]
    engine = engine_of(name, NARROW)
    state = fed(engine, Pauses([run], {run.key: {1}})).kept[run.key][0]
    feed = fed(engine, Told([other, replace(run, state=state, reached=3)]), slots=2)
    rounds = [event[1] for event in feed.log if event[0] == "epochs"]
    ours = [heard for told in rounds for heard in told if heard[0] == run.key]
    assert ours == [(run.key, 2, False), (run.key, 3, False), (run.key, 4, True)]
    if name == "vectorized":
        assert rounds[:2] == [[each] for each in ours[:2]]
        assert [key for key, _, _ in rounds[2]] == [other.key, run.key]
    assert_equal(feed.fits[run.key], fed(engine, Told([run])).fits[run.key])


def test_a_state_that_cannot_be_taken_fails_that_run_alone(monkeypatch):
    save, broken = Shard.save, SMALL_RUNS[1].key

    def no_memory(shard, key):
        if key == broken:
            raise MemoryError("no memory for it")
        return save(shard, key)

    monkeypatch.setattr(Shard, "save", no_memory)
    runs = SMALL_RUNS[:3]
    feed = Pauses(runs, {run.key: {2} for run in runs})
    engine_of("vectorized", NARROW).train_all(feed, 3)
    assert {key: str(error) for key, error in feed.errors.items()} == {
        broken: "no memory for it"
    }
    for run in (runs[0], runs[2]):
        assert_same(feed.fits[run.key], alone(run))


# --- Elsewhere ------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("lightning", "vectorized"), ("vectorized",) * 2])
def test_back_and_forth_between_engines_the_run_is_the_same(names):
    """In double precision, as equal as both engines are without a pause."""
    runs = runs_of(covering(FACTORS)[:: 2 if len(set(names)) > 1 else 9])
    engines = [engine_of(name, WIDE) for name in names]
    for first, second in ((0, 1), (1, 0)):
        expected = fed(engines[first], Told(runs), slots=8).fits
        stops = lambda each: Verdict.PAUSE  # noqa: E731
        feed = Told(runs, stops)
        for epoch in range(5):
            engine = engines[(first, second)[epoch % 2]]
            fed(engine, feed, slots=8)
            if epoch < 4:
                assert feed.states.keys() == {run.key for run in runs}
                states = {k: from_bytes(to_bytes(s)) for k, s in feed.states.items()}
                feed = Told([replace(r, state=states[r.key]) for r in runs], stops)
        for run in runs:
            assert_same(feed.fits[run.key], expected[run.key], rel=1e-7)


def test_both_engines_name_and_shape_a_state_alike():
    runs = runs_of(covering(FACTORS)[::4])
    at = {run.key: {2} for run in runs}
    one, other = (
        fed(engine_of(name, WIDE), Pauses(runs, at)).kept
        for name in ("lightning", "vectorized")
    )
    for key in at:
        a, b = one[key][0], other[key][0]
        assert (a.steps, a.best_epoch) == (b.steps, b.best_epoch)
        assert {n: (t.shape, t.dtype) for n, t in a.tensors.items()} == {
            n: (t.shape, t.dtype) for n, t in b.tensors.items()
        }


_ELSEWHERE = """
import sys
from pathlib import Path
from tests.vectorized.test_pausing import SINGLE, RECIPES, Told, engine_of, fed, runs_of
from tunekit.states import from_bytes, to_bytes
from tunekit.trial import Verdict
from dataclasses import replace
folder, name, n = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
runs = [
    replace(run, state=from_bytes((folder / run.key).read_bytes()))
    for run in runs_of(RECIPES[:n])
]
feed = Told(runs, lambda each: Verdict.PAUSE if each.epoch == 4 else Verdict.GO_ON)
for key, state in fed(engine_of(name, SINGLE), feed, 8).states.items():
    (folder / key).write_bytes(to_bytes(state))
"""


@pytest.mark.parametrize("name", ["lightning", "vectorized"])
def test_in_another_process_not_a_bit_differs(name, tmp_path):
    runs = runs_of(RECIPES[:6])
    engine = engine_of(name, SINGLE)
    feed = fed(engine, Pauses(runs, {run.key: {1, 4} for run in runs}), slots=8)
    for run in runs:
        (tmp_path / run.key).write_bytes(to_bytes(feed.kept[run.key][0]))
    command = [sys.executable, "-c", _ELSEWHERE, str(tmp_path), name, "6"]
    subprocess.run(command, check=True, timeout=300, cwd=Path(__file__).parents[2])
    for run in runs:
        found = from_bytes((tmp_path / run.key).read_bytes())
        assert_equal_states(found, feed.kept[run.key][1])
        whole = fed(engine, Told([replace(run, state=found)])).fits[run.key]
        assert_equal(whole, feed.fits[run.key])
