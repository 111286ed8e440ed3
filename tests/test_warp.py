"""The warp of raw values: monotone, of any sign and scale, calm where runs diverge."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.special import ndtri

from tunekit.surrogate import Warp

INF, NAN = np.inf, np.nan
raw = st.one_of(
    st.floats(-1e300, 1e300),
    st.floats(-1, 1),
    st.integers(-3, 3).map(float),  # ties
    st.sampled_from([INF, NAN, -INF]),
)
whole = st.one_of(st.integers(-1000, 1000).map(float), st.sampled_from([INF, NAN]))


def of(values, queries=None):
    values = np.array(values, dtype=float)
    return Warp(values).of(values if queries is None else np.array(queries))


@given(st.lists(raw, min_size=1, max_size=30), st.lists(raw, max_size=20))
@example([0.0, 1e-300, 1.0], [-1e300])
@example([5.0, 5.0, 5.0, INF], [4.0, 6.0])
@example([INF, NAN], [-1.0, 0.0, 1.0])
def test_what_is_worse_is_never_warped_to_less(values, others):
    queries = np.array([*values, *others])
    warped = of(values, queries)
    assert np.isfinite(warped).all()
    order = np.argsort(np.where(np.isfinite(queries), queries, INF), kind="stable")
    assert (np.diff(warped[order]) >= -1e-12).all()


@given(st.lists(st.integers(-500, 500), min_size=2, max_size=40, unique=True))
def test_different_values_stay_different(values):
    assert (np.diff(of(sorted(values))) > 0).all()


@given(
    st.lists(whole, min_size=1, max_size=30),
    st.integers(-1000, 1000),
    st.integers(-300, 300),
)
def test_neither_shift_nor_scale_makes_a_difference(values, shift, power):
    values = np.array(values)
    expected = of(values)
    for moved in (values + shift, values * 2.0**power, (values + shift) * 2.0**power):
        np.testing.assert_allclose(of(moved), expected, rtol=1e-9, atol=1e-9)


@given(
    st.lists(st.floats(-10, 10), min_size=5, max_size=50, unique=True),
    st.floats(20, 1e300),
)
def test_how_bad_the_bad_half_is_makes_no_difference(values, worst):
    values = np.sort(values)
    mild, wild = values.copy(), values.copy()
    mild[-2:], wild[-2:] = (11.0, 12.0), (worst, INF)
    warped = of(wild)
    np.testing.assert_allclose(warped, of(mild), rtol=1e-12, atol=1e-12)
    beyond_all = of(wild[:-1], [1e301, INF])
    assert (beyond_all <= ndtri(1 - 0.25 / (len(values) - 1))).all()
    middle = (len(values) - 1) // 2
    assert (warped[: middle + 1] <= 0).all()
    assert (warped[middle + 1 :] > 0).all()


def test_the_last_gains_count_most():
    warp = Warp(np.array([0.0, 0.5, 1.0, 1.5, 2.0]))
    near, far = (warp.of(np.array([a, a + 0.1])) for a in (0.0, 0.9))
    assert np.diff(near)[0] > 5 * np.diff(far)[0] > 0


def test_half_of_the_values_are_stretched_to_a_size_of_one():
    warped = of(np.random.default_rng(0).normal(size=101) * 7 + 3)
    assert (warped <= 0).sum() == 51
    assert np.sqrt(np.mean(warped[warped <= 0] ** 2)) == pytest.approx(1.0)


def test_all_that_diverged_shares_the_last_places():
    values = [3.0, INF, 1.0, NAN, 2.0, -INF, 4.0]
    warped = of(values)
    diverged = warped[[1, 3, 5]]
    # Places 5 to 7 of 7, at their middle.
    np.testing.assert_allclose(diverged, ndtri(5.5 / 7))
    assert warped[[0, 2, 4, 6]].max() < diverged[0]


@pytest.mark.parametrize(
    "values",
    [
        [3.0],
        [-1e-30],
        [0.0, 0.0],
        [2.0] * 5,
        [-7.5] * 6,
        [INF],
        [INF, INF, INF],
        [NAN, INF, -INF],
    ],
)
def test_values_that_are_all_alike_are_warped_alike(values):
    warped = of(values)
    assert np.isfinite(warped).all()
    assert (warped == warped[0]).all()
    other = of(values, [values[0], INF, NAN])
    assert other[1] == other[2] >= other[0]


@pytest.mark.parametrize("n_lost", [1, 3, 30])
def test_one_trial_that_works_is_better_than_those_that_fail(n_lost):
    values = [5.0] + [INF] * n_lost
    warped = of(values)
    assert warped[0] < 0
    assert (warped[1:] > 0).all()
    assert (warped[1:] > warped[0] + 1).all()


def test_values_that_differ_by_rounding_alone_are_nearly_one():
    for nearly, apart in ((np.nextafter(0.3, 1.0), False), (0.4, True)):
        warped = of([0.3, nearly, nearly, 2.0, 3.0])
        assert (warped[1] - warped[0] > 0.01) == apart
