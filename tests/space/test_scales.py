"""Scales: what they store, draw and refuse."""

import itertools
import math

import numpy as np
import optuna
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from optuna.samplers import RandomSampler
from scipy import stats

from tunekit.errors import SpaceError
from tunekit.space import (
    Categorical,
    IntLogUniform,
    IntUniform,
    LogUniform,
    OneMinusLogUniform,
    Uniform,
)

from .conftest import between, contains, floats, scales


@given(scales, st.floats(0, 1))
def test_what_is_stored_comes_back_as_the_value(scale, share):
    value = between(scale, share)
    stored = scale.to_stored(value)
    assert contains(scale, stored)
    back = scale.from_stored(stored)
    assert scale.low <= back <= scale.high
    # A gap to one keeps 53 bits of one, not of the value.
    assert math.isclose(back, value, rel_tol=0, abs_tol=2**-52 if value != back else 0)
    assert scale.to_stored(back) == pytest.approx(stored, rel=1e-15, abs=2**-52)


@given(scales)
def test_both_ends_come_back_exactly(scale):
    for end in (scale.low, scale.high):
        assert scale.nearest(end) == end
        assert contains(scale, scale.to_stored(end))
        assert scale.from_stored(scale.to_stored(end)) == end


@given(scales, st.floats(0, 1))
def test_a_suggested_value_lies_inside_and_is_read_back_from_the_trial(scale, share):
    assume(scale.distribution().low < scale.distribution().high)
    stored_name = scale.stored_name("x")
    stored = scale.to_stored(between(scale, share))
    value = scale.suggest(optuna.trial.FixedTrial({stored_name: stored}), "x")
    frozen = optuna.trial.create_trial(
        value=0.0,
        params={stored_name: stored},
        distributions={stored_name: scale.distribution()},
    )
    assert value == scale.suggest(frozen, "x") == scale.from_stored(stored)
    assert scale.low <= value <= scale.high


@given(scales, st.one_of(st.integers(-(2**40), 2**40), floats(-1e40, 1e40)))
def test_the_nearest_value_is_inside_and_none_is_nearer(scale, wanted):
    near = scale.nearest(wanted)
    assert scale.low <= near <= scale.high
    if not scale.integer and scale.low <= wanted <= scale.high:
        assert near == wanted
    step = 1 if scale.integer else 0
    assert abs(near - wanted) <= min(
        abs(scale.low - wanted) + step, abs(scale.high - wanted) + step
    )
    assert type(near) is (int if scale.integer else float)


@given(scales, st.integers(2, 9))
def test_levels_run_from_low_to_high_without_repeats(scale, n):
    levels = scale.levels(n)
    assert levels[0] == scale.low
    assert levels[-1] == scale.high
    assert len(levels) <= n
    assert all(a < b for a, b in itertools.pairwise(levels))


@pytest.mark.parametrize(
    ("scale", "middle"),
    [
        (Uniform(0, 1), 0.5),
        (LogUniform(1e-4, 1e-2), 1e-3),
        (IntUniform(2, 8), 5),
        (IntLogUniform(4, 64), 16),
        (OneMinusLogUniform(0.9, 0.999), 0.99),
    ],
)
def test_the_middle_level_is_the_middle_of_its_own_scale(scale, middle):
    assert scale.levels(1) == [pytest.approx(middle)]
    assert scale.levels(3)[1] == pytest.approx(middle)


def drawn(scale, name, n=2000):
    """Values and stored values of ``n`` trials of Optuna's random sampler."""
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    values, stored = [], []
    for _ in range(n):
        trial = study.ask()
        values.append(scale.suggest(trial, name))
        stored.append(trial.params[scale.stored_name(name)])
    return np.array(values), np.array(stored)


def p_of_uniform(shares):
    return stats.kstest(shares, "uniform").pvalue


def test_the_gap_to_one_is_log_uniform():
    low, high = 0.5, 0.999
    values, stored = drawn(OneMinusLogUniform(low, high), "momentum")
    assert ((low <= values) & (values <= high)).all()
    np.testing.assert_allclose(1 - values, stored, rtol=1e-12)
    shares = np.log((1 - low) / (1 - values)) / np.log((1 - low) / (1 - high))
    assert p_of_uniform(shares) > 0.01
    # The same test tells a plain uniform draw apart.
    assert p_of_uniform((values - low) / (high - low)) < 1e-9


@pytest.mark.parametrize("kind", [LogUniform, Uniform])
def test_a_scale_draws_what_its_name_says(kind):
    low, high = 1e-3, 1.0
    values, _ = drawn(kind(low, high), "x")
    even = (values - low) / (high - low)
    by_factor = np.log(values / low) / np.log(high / low)
    right, wrong = (by_factor, even) if kind is LogUniform else (even, by_factor)
    assert p_of_uniform(right) > 0.01
    assert p_of_uniform(wrong) < 1e-9


def test_whole_numbers_are_drawn_as_often_as_each_other():
    values, _ = drawn(IntUniform(1, 4), "n_layers")
    counts = np.bincount(values.astype(int), minlength=5)[1:]
    assert stats.chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LogUniform(0.1, 0.01),
            "low must be below high, got low=0.1, high=0.01",
        ),
        (lambda: Uniform(1, 1), "low must be below high, got low=1, high=1"),
        (
            lambda: LogUniform(0, 1),
            "low must be above 0 on a log scale, got low=0, high=1",
        ),
        (
            lambda: IntLogUniform(0, 8),
            "low must be above 0 on a log scale, got low=0, high=8",
        ),
        (
            lambda: IntUniform(1, 2.5),
            "low and high must be whole numbers, got low=1, high=2.5",
        ),
        (
            lambda: OneMinusLogUniform(0.5, 1),
            "high must be below 1 on a one-minus-log scale, got low=0.5, high=1",
        ),
        (
            lambda: OneMinusLogUniform(0.0, 1e-30),
            "low must be below high by more than rounding, got low=0.0, high=1e-30",
        ),
        (lambda: Uniform("a", 1), "low and high must be numbers, got low=a, high=1"),
        (
            lambda: Uniform(False, 1),
            "low and high must be numbers, got low=False, high=1",
        ),
        (
            lambda: Uniform(0, math.inf),
            "low and high must be finite, got low=0, high=inf",
        ),
        (
            lambda: Uniform(math.nan, 1),
            "low and high must be finite, got low=nan, high=1",
        ),
        (Categorical, "at least one choice must be given, got none"),
        (lambda: Categorical([]), "at least one choice must be given, got none"),
        (
            lambda: Categorical("a", "a"),
            "choices must differ from one another, got ['a', 'a']",
        ),
        (
            lambda: Categorical([[1], [2]]),
            "choices must be plain values, got [[1], [2]]",
        ),
    ],
)
def test_a_scale_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(SpaceError) as caught:
        make()
    assert str(caught.value) == message


def test_a_number_too_large_for_a_float_is_refused_and_not_a_crash():
    with pytest.raises(SpaceError, match="low and high must be finite"):
        Uniform(0, 10**400)


def test_choices_that_python_holds_equal_are_refused():
    """Optuna finds a stored choice by ``==``, so 1 and True would be one."""
    with pytest.raises(SpaceError, match="choices must differ"):
        Categorical(1, True)


@given(
    st.lists(
        st.one_of(st.none(), st.booleans(), st.integers(2, 99), st.text()),
        min_size=1,
        unique_by=lambda c: (type(c), c),
    )
)
def test_every_choice_comes_back_as_itself(choices):
    scale = Categorical(choices)
    for choice in choices:
        assert scale.nearest(choice) == choice
        assert contains(scale, scale.to_stored(choice))
        trial = optuna.trial.FixedTrial({"x": choice})
        if len(choices) > 1:
            got = scale.suggest(trial, "x")
            assert got == choice
            assert type(got) is type(choice)


def test_the_nearest_choice_is_the_nearest_number_or_the_first():
    assert Categorical(16, 64, 256).nearest(100) == 64
    assert Categorical("adam", "sgd").nearest("adamw") == "adam"
    assert Categorical(True, False).nearest(False) is False
