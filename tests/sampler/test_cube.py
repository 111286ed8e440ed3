"""The cube: values to places and back, even shares, and what a model sees."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tunekit.sampler.cube import Axis, Cube

# --- Strategies: a distribution, and a value that it has ----------------------------


def floats(low, high):
    return st.floats(low, high, allow_subnormal=False)


@st.composite
def continuous(draw, log):
    numbers = floats(1e-30, 1e30) if log else floats(-1e30, 1e30)
    low, high = sorted([draw(numbers) + 0.0, draw(numbers) + 0.0])  # no minus zero
    return FloatDistribution(low, high, log=log), draw(floats(low, high))


@st.composite
def stepped_floats(draw):
    """Decimals, as a person would write them."""
    low = Decimal(draw(st.integers(-10_000, 10_000))) / 100
    step = draw(st.sampled_from([Decimal("0.01"), Decimal("0.1"), Decimal("2.5")]))
    n = draw(st.integers(0, 100))
    value = low + step * draw(st.integers(0, n))
    distribution = FloatDistribution(
        float(low), float(low + step * n), step=float(step)
    )
    return distribution, float(value)


@st.composite
def integers(draw, log):
    low = draw(st.integers(1 if log else -(2**31), 2**31))
    step = 1 if log else draw(st.integers(1, 1000))
    n = draw(st.integers(0, 2**31 if log else 1000))
    value = low + step * draw(st.integers(0, n))
    return IntDistribution(low, low + step * n, step=step, log=log), value


@st.composite
def categorical(draw):
    plain = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(2, 99),
        st.text(max_size=3),
        st.sampled_from([0.1, 0.25, 2.5, math.inf]),
    )
    choices = draw(st.lists(plain, min_size=1, max_size=9, unique=True))
    return CategoricalDistribution(choices), draw(st.sampled_from(choices))


KINDS = {
    "float": continuous(log=False),
    "float, log": continuous(log=True),
    "float, step": stepped_floats(),
    "int, step": integers(log=False),
    "int, log": integers(log=True),
    "categorical": categorical(),
}
each_kind = pytest.mark.parametrize("kind", KINDS)
shares = st.floats(0, 1)


def contains(distribution, value):
    return distribution._contains(distribution.to_internal_repr(value))


# --- One axis -----------------------------------------------------------------------


@each_kind
@given(data=st.data())
def test_a_value_comes_back_from_its_place(kind, data):
    distribution, value = data.draw(KINDS[kind])
    axis = Axis(distribution)
    place = axis.unit(value)
    assert 0.0 <= place <= 1.0
    back = axis.value(place)
    assert type(back) is type(value)
    if isinstance(distribution, FloatDistribution):
        size = max(abs(distribution.low), abs(distribution.high))
        rounding = 0.0 if distribution.log else 4e-15 * size
        assert back == pytest.approx(value, rel=1e-12, abs=rounding)
    else:
        assert back == value


@each_kind
@given(data=st.data(), share=shares)
def test_every_place_stands_for_a_value_of_the_distribution(kind, data, share):
    distribution, _ = data.draw(KINDS[kind])
    value = Axis(distribution).value(share)
    assert contains(distribution, value)
    if kind != "categorical":
        assert type(value) is (float if kind.startswith("float") else int)


@each_kind
@given(data=st.data(), share=st.sampled_from([-1e-9, -0.3, -5.0, 1 + 1e-9, 1.3, 7.0]))
def test_places_beyond_an_end_stand_for_what_lies_there(kind, data, share):
    axis = Axis(data.draw(KINDS[kind])[0])
    assert axis.value(share) == axis.value(float(share > 0))


@each_kind
@given(data=st.data(), places=st.lists(shares | st.just(math.nan), max_size=8))
def test_a_snapped_place_stands_for_the_same_value_and_stays(kind, data, places):
    axis = Axis(data.draw(KINDS[kind])[0])
    snapped = axis.snapped(np.array(places, dtype=float))
    assert snapped.shape == (len(places),)
    np.testing.assert_array_equal(axis.snapped(snapped), snapped)
    for before, after in zip(places, snapped, strict=True):
        assert math.isnan(before) == math.isnan(after)
        if not math.isnan(before):
            assert axis.value(after) == axis.value(before)


def test_a_step_is_one_number_wherever_it_is_asked_for():
    """The low end and a step are a little less than the high end: 63.23 + 0.01."""
    axis = Axis(FloatDistribution(63.23, 63.24, step=0.01))
    assert {axis.value(share) for share in (0.6, 0.75, 1.0)} == {63.23 + 0.01}
    # Three times 0.1 is a little more than 0.3, which is no value.
    axis = Axis(FloatDistribution(0.0, 0.3, step=0.1))
    assert {axis.value(share) for share in (0.8, 0.9, 1.0)} == {0.3}


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (IntDistribution(1, 4), [1, 2, 3, 4]),
        (IntDistribution(0, 1), [0, 1]),
        (IntDistribution(-3, 6, step=3), [-3, 0, 3, 6]),
        (FloatDistribution(0.0, 1.0, step=0.25), [0.0, 0.25, 0.5, 0.75, 1.0]),
        (CategoricalDistribution([None, "a", True]), [None, "a", True]),
        (IntDistribution(5, 5), [5]),
    ],
)
def test_every_value_has_the_same_share_and_stands_in_its_middle(distribution, values):
    axis = Axis(distribution)
    found = [axis.value((i + 0.5) / 6000) for i in range(6000)]
    for i, value in enumerate(values):
        assert found.count(value) == 6000 / len(values)
        assert axis.unit(value) == pytest.approx((i + 0.5) / len(values))


def test_whole_numbers_of_a_log_scale_have_shares_by_their_ratio():
    axis = Axis(IntDistribution(1, 100, log=True))
    found = np.array([axis.value((i + 0.5) / 50_000) for i in range(50_000)])
    for value in (1, 2, 10, 99, 100):
        share = math.log((value + 0.5) / (value - 0.5)) / math.log(100.5 / 0.5)
        assert np.mean(found == value) == pytest.approx(share, abs=5e-5)


@pytest.mark.parametrize(
    ("distribution", "value", "place"),
    [
        (FloatDistribution(-1.0, 3.0), -1.0, 0.0),
        (FloatDistribution(-1.0, 3.0), 0.0, 0.25),
        (FloatDistribution(-1.0, 3.0), 3.0, 1.0),
        (FloatDistribution(1e-5, 1e-1, log=True), 1e-5, 0.0),
        (FloatDistribution(1e-5, 1e-1, log=True), 1e-4, 0.25),
        (FloatDistribution(1e-5, 1e-1, log=True), 1e-1, 1.0),
        (FloatDistribution(2.0, 2.0), 2.0, 0.5),
        (FloatDistribution(2.0, 2.0, log=True), 2.0, 0.5),
        (CategoricalDistribution(["only"]), "only", 0.5),
    ],
)
def test_a_value_stands_where_its_scale_has_it(distribution, value, place):
    axis = Axis(distribution)
    assert axis.unit(value) == pytest.approx(place, abs=1e-12)
    assert axis.value(place) == pytest.approx(value)


# --- The cube -----------------------------------------------------------------------

CUBE = Cube(
    {
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "optimizer": CategoricalDistribution(["sgd", "adam", None, True]),
        "n_layers": IntDistribution(1, 5),
        "nesterov": CategoricalDistribution([True, False]),
    }
)


def test_a_configuration_comes_back_from_its_point():
    params = {"nesterov": False, "n_layers": 2, "lr": 1e-3, "optimizer": None}
    point = CUBE.point(params)
    np.testing.assert_allclose(point, [0.5, 0.625, 0.3, 0.75])
    back = CUBE.params(point)
    assert list(back) == list(CUBE.space)
    assert back == params | {"lr": pytest.approx(1e-3)}


def test_what_a_configuration_lacks_is_nan_and_comes_back_as_nothing():
    params = {"optimizer": "adam", "n_layers": 5, "unknown": 3}
    point = CUBE.point(params)
    np.testing.assert_allclose(point, [np.nan, 0.375, 0.9, np.nan])
    assert CUBE.params(point) == {"optimizer": "adam", "n_layers": 5}
    assert CUBE.params(CUBE.snapped(point[None])[0]) == {
        "optimizer": "adam",
        "n_layers": 5,
    }


@given(st.lists(st.lists(shares, min_size=4, max_size=4), min_size=1, max_size=5))
def test_snapped_points_are_the_same_configurations_and_stay(points):
    points = np.array(points)
    snapped = CUBE.snapped(points)
    assert snapped.shape == points.shape
    np.testing.assert_array_equal(CUBE.snapped(snapped), snapped)
    for before, after in zip(points, snapped, strict=True):
        assert CUBE.params(before) == CUBE.params(after)
        np.testing.assert_allclose(CUBE.point(CUBE.params(after)), after, atol=1e-12)


def test_all_choices_and_both_ends_of_a_range_are_one_apart():
    points = CUBE.snapped(np.tile((np.arange(8)[:, None] + 0.5) / 8, 4))
    points[:, [0, 2, 3]] = points[0, [0, 2, 3]]
    seen = CUBE.features(points)
    assert seen.shape == (8, CUBE.n_features) == (8, 1 + 4 + 1 + 2)
    apart = np.linalg.norm(seen[:, None] - seen, axis=2)
    same = np.arange(8)[:, None] // 2 == np.arange(8) // 2
    np.testing.assert_allclose(apart, np.where(same, 0.0, 1.0), atol=1e-12)
    two = CUBE.features(np.array([[0.0, 0.125, 0.1, 0.25], [1.0, 0.125, 0.1, 0.25]]))
    assert np.linalg.norm(two[1] - two[0]) == pytest.approx(1.0)


def test_what_is_missing_stands_as_far_from_all_that_it_could_be():
    """Warnings are errors here: NaN is never made a whole number."""
    points = np.full((6, 4), np.nan)
    points[1:5, 1] = (np.arange(4) + 0.5) / 4
    points[5, 1] = 1.0
    seen = CUBE.features(points)
    assert np.isfinite(seen).all()
    assert (seen[:, [0, 5]] == 0.5).all()
    to_each = np.linalg.norm(seen[1:5] - seen[0], axis=1)
    assert np.ptp(to_each) == 0.0
    assert 0.0 < to_each[0] < 1.0
    np.testing.assert_array_equal(seen[5], seen[4])


def test_no_points_and_no_axes_have_shapes_too():
    none = np.zeros((0, 4))
    assert CUBE.snapped(none).shape == (0, 4)
    assert CUBE.features(none).shape == (0, 8)
    empty = Cube({})
    assert empty.point({"a": 1}).shape == (0,)
    assert empty.params(np.zeros(0)) == {}
    assert empty.snapped(np.zeros((3, 0))).shape == (3, 0)
    assert empty.features(np.zeros((3, 0))).shape == (3, 0)
    assert empty.n_features == 0


@pytest.mark.parametrize(
    "distribution",
    [
        FloatDistribution(-1.0, 2.0),
        FloatDistribution(0.0, 1.0, step=0.1),
        FloatDistribution(1e-3, 1.0, log=True),
        IntDistribution(3, 9, step=2),
        IntDistribution(1, 512, log=True),
        IntDistribution(5, 5),
        CategoricalDistribution(["a", None, True]),
    ],
    ids=str,
)
def test_many_places_are_snapped_as_one_is(distribution):
    axis = Axis(distribution)
    shares = np.concatenate([[-0.1, 0.0, 0.5, 1.0, 1.1], np.linspace(0, 1, 999)])
    expected = [axis.unit(axis.value(share)) for share in shares]
    found = axis.snapped(shares)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(axis.snapped(found), found)
    assert len(np.unique(found)) == len(np.unique(expected)) or not axis.step
    np.testing.assert_array_equal(axis.snapped(np.array([np.nan])), [np.nan])
