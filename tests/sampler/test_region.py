"""The region: when it narrows, where, how far, and which choices it drops."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tunekit.sampler.cube import Cube
from tunekit.sampler.region import around, whole

PLANE = Cube({name: FloatDistribution(0.0, 1.0) for name in "xy"})
MIXED = Cube(
    {
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "kind": CategoricalDistribution(["a", None, True]),
        "n": IntDistribution(1, 5),
    }
)
A, B, C = (1 / 6, 3 / 6, 5 / 6)
"""Where the three choices stand."""


def spread(n, n_axes=2, seed=0):
    return np.random.default_rng(seed).random((n, n_axes))


def same(one, two):
    return (
        (one.low == two.low).all()
        and (one.high == two.high).all()
        and one.choices == two.choices
    )


def mixed(n, kind, seed=0):
    """Points with given choices."""
    points = spread(n, 3, seed)
    points[:, 1] = kind
    return MIXED.snapped(points)


# --- The box ------------------------------------------------------------------------


def test_of_few_trials_the_region_is_the_whole_space():
    points = spread(10)
    for n in range(10):
        assert same(around(PLANE, points[:n], points[:n, 0]), whole(PLANE))
    assert not same(around(PLANE, points, points[:, 0]), whole(PLANE))


def test_the_region_narrows_around_the_promising_where_it_matters_alone():
    points = spread(100)
    region = around(PLANE, points, abs(points[:, 0] - 0.4))
    assert 0.2 < region.low[0] < 0.3
    assert 0.5 < region.high[0] < 0.6
    assert region.high[1] - region.low[1] > 0.9


def test_all_promising_trials_lie_inside_with_a_margin():
    points = spread(200, seed=1)
    promise = np.linalg.norm(points - [0.6, 0.4], axis=1)
    region = around(PLANE, points, promise)
    best = points[np.argsort(promise)[:40]]
    margin = np.maximum(0.05, 0.1 * np.ptp(best, 0))
    np.testing.assert_allclose(region.low, best.min(0) - margin)
    np.testing.assert_allclose(region.high, best.max(0) + margin)
    assert sum(region.holds(point) for point in points) < 120


@given(st.integers(0, 60), st.integers(0, 99))
def test_a_region_has_no_empty_side_and_stays_in_the_space(n, seed):
    points = MIXED.snapped(spread(n, 3, seed))
    points[spread(n, 3, seed + 1) < 0.3] = np.nan
    region = around(MIXED, points, spread(n, 1, seed + 2)[:, 0])
    assert (region.low >= 0).all()
    assert (region.high <= 1).all()
    assert (region.high - region.low > 0.05 - 1e-12).all()
    assert region.choices[1]
    assert region.choices[::2] == (None, None)


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_region_reaches_further_where_the_best_lies_on_its_edge(mirrored):
    """Trials from 0.3 to 0.7, the lowest the best."""
    column = np.linspace(0.3, 0.7, 100)
    promise = column.copy()
    if mirrored:
        column = 1 - column
    points = np.stack([column, spread(100)[:, 0]], 1)
    region = around(PLANE, points, promise)
    ends = np.sort(column[np.argsort(promise)[[0, 19]]])
    reach = ends[0] - region.low[0], region.high[0] - ends[1]
    assert reach == pytest.approx((0.05, 0.15) if mirrored else (0.15, 0.05))


def test_the_region_reaches_equally_far_where_the_best_lies_within():
    wide = np.stack([np.linspace(0, 1, 100), spread(100)[:, 0]], 1)
    region = around(PLANE, wide, abs(wide[:, 0] - 0.5))
    assert region.low[0] == pytest.approx(0.5 - 0.1 - 0.05, abs=0.01)
    assert region.high[0] == pytest.approx(0.5 + 0.1 + 0.05, abs=0.01)


def test_the_region_moves_to_where_new_trials_are_better():
    old, new = spread(60) * 0.3, spread(60, seed=1) * 0.3 + 0.7
    before = around(PLANE, old, old.sum(1))
    after = around(PLANE, np.concatenate([old, new]), np.r_[old.sum(1), -new.sum(1)])
    assert (before.high < 0.5).all()
    assert (after.low > 0.5).all()


def test_the_region_is_a_pure_function_of_what_was_seen():
    points, promise = MIXED.snapped(spread(80, 3)), spread(80, 1, 1)[:, 0]
    points[::7, 2] = np.nan
    kept = points.copy(), promise.copy()
    region = around(MIXED, points, promise)
    np.testing.assert_array_equal(points, kept[0])
    np.testing.assert_array_equal(promise, kept[1])
    assert same(around(MIXED, points, promise), region)
    order = np.random.default_rng(3).permutation(80)
    assert same(around(MIXED, points[order], promise[order]), region)
    assert same(around(MIXED, points, np.exp(promise)), region)


# --- Choices and conditions ---------------------------------------------------------


def test_a_choice_is_dropped_when_it_was_tried_enough_and_never_promised():
    n_a, n_b = 30, 4
    for n_c, left in ((0, (0, 2)), (1, (0, 2)), (3, (0, 2)), (4, (0,)), (9, (0,))):
        points = mixed(n_a + n_b + n_c, [A] * n_a + [B] * n_b + [C] * n_c)
        promise = (points[:, 1] > A + 0.01) + 0.1 * points[:, 0]
        region = around(MIXED, points, promise)
        assert region.choices == (None, left, None)


def test_a_choice_with_one_promising_trial_stays():
    points = mixed(60, [A] * 30 + [B] * 30)
    promise = (points[:, 1] > A + 0.01) + 0.1 * points[:, 0]
    promise[45] = 0.0
    assert around(MIXED, points, promise).choices[1] == (0, 1, 2)


def test_a_hyperparameter_that_hardly_counts_among_the_promising_is_not_narrowed():
    """With two values of the promising there is no evidence, with three there is."""
    points = mixed(60, [B, C] * 30)
    points[:, 0] = 0.3
    for n_known, narrow in ((0, False), (2, False), (3, True)):
        some = points.copy()
        some[n_known:12, 0] = np.nan
        some[n_known:12, 1] = np.nan
        some[:n_known, 1] = B
        region = around(MIXED, some, np.arange(60.0))
        assert region.choices[1] == ((0, 1) if narrow else (0, 1, 2))
        assert (region.high[0] < 0.5) == narrow
        assert np.isin(region.draw(spread(50, 3))[:, 1], (A, B, C)).all()


# --- What a region does -------------------------------------------------------------


def narrowed():
    points = mixed(60, [A, B] * 10 + [C] * 40)
    promise = np.arange(60.0)
    points[:20, 0] = np.linspace(0.4, 0.6, 20)
    points[:20, 2] = 0.3
    return around(MIXED, points, promise)


def test_draws_fill_the_region_and_lie_in_it():
    region = narrowed()
    assert region.choices == (None, (0, 1), None)
    shares = np.concatenate([spread(500, 3), np.zeros((1, 3)), np.ones((1, 3))])
    kept = shares.copy()
    drawn = region.draw(shares)
    np.testing.assert_array_equal(shares, kept)
    assert drawn.shape == shares.shape
    assert all(region.holds(point) for point in drawn)
    for i in (0, 2):
        expected = region.low[i] + shares[:, i] * (region.high[i] - region.low[i])
        np.testing.assert_allclose(drawn[:, i], expected)
    assert set(drawn[:, 1]) == {A, B}
    assert (drawn[:500, 1] == A).mean() == pytest.approx(0.5, abs=0.1)
    np.testing.assert_array_equal(drawn[:, 1], MIXED.snapped(drawn)[:, 1])


def test_a_point_outside_on_any_axis_is_not_in_the_region():
    region = narrowed()
    inside = np.array([0.5, A, 0.3])
    assert region.holds(inside)
    for i, place in ((0, 0.1), (0, 0.9), (1, C), (2, 0.9)):
        point = inside.copy()
        point[i] = place
        assert not region.holds(point)
        assert whole(MIXED).holds(point)
        point[i] = np.nan
        assert region.holds(point)
    assert region.holds(np.full(3, np.nan))


def test_a_region_is_described_by_plain_values():
    assert whole(MIXED).described(MIXED) == {
        "lr": [pytest.approx(1e-4), pytest.approx(1e-2)],
        "kind": ["a", None, True],
        "n": [1, 5],
    }
    region = narrowed()
    found = region.described(MIXED)
    assert json.loads(json.dumps(found)) == found
    assert found["kind"] == ["a", None]
    low, high = 10 ** (-4 + 2 * region.low[0]), 10 ** (-4 + 2 * region.high[0])
    assert found["lr"] == pytest.approx([low, high])
    assert found["n"] == [1, 3]
