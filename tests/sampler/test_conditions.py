"""Conditions: learned from which hyperparameters trials lack, where that is plain."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tunekit.sampler.conditions import Conditions, learned
from tunekit.sampler.cube import Cube

NAN = np.nan
CUBE = Cube(
    {
        "optimizer": CategoricalDistribution(["sgd", "adam", "lion"]),
        "n_layers": IntDistribution(1, 4),
        "lr": FloatDistribution(0.0, 1.0),
        "momentum": FloatDistribution(0.0, 1.0),
        "width": FloatDistribution(0.0, 1.0),
    }
)
SGD, ADAM, LION = (1 / 6, 3 / 6, 5 / 6)
ONE, TWO, THREE, FOUR = (1 / 8, 3 / 8, 5 / 8, 7 / 8)


def point(optimizer, n_layers=ONE, momentum=0.5, width=0.5, lr=0.5):
    return [optimizer, n_layers, lr, momentum, width]


def masked(points, *new):
    return learned(CUBE, np.array(points)).masked(np.array(new))


def test_where_no_trial_lacks_anything_all_counts():
    points = np.random.default_rng(0).random((20, 5))
    assert learned(CUBE, points) == Conditions()
    np.testing.assert_array_equal(Conditions().masked(points), points)


def test_a_choice_decides_whether_another_counts():
    trials = [
        point(SGD, TWO, momentum=0.3),
        point(ADAM, TWO, momentum=NAN),
        point(ADAM, THREE, momentum=NAN),
        point(SGD, THREE),
    ]
    found = masked(trials, point(SGD, FOUR), point(ADAM, ONE))
    np.testing.assert_array_equal(found, [point(SGD, FOUR), point(ADAM, momentum=NAN)])


def test_a_choice_that_nobody_tried_may_need_it():
    trials = [point(SGD), point(ADAM, TWO, momentum=NAN), point(SGD, TWO)]
    assert masked(trials, point(LION))[0, 3] == 0.5


def test_a_whole_number_that_nobody_tried_is_as_the_nearest():
    """The width of the third layer, where there is one."""
    trials = [
        point(SGD, ONE, width=NAN),
        point(ADAM, ONE, width=NAN),
        point(SGD, THREE),
        point(ADAM, THREE),
        point(SGD, FOUR),
    ]
    found = masked(trials, *(point(SGD, n) for n in (ONE, TWO, THREE, FOUR)))
    assert np.isnan(found[[0], 4]).all()
    assert (found[2:, 4] == 0.5).all()
    nearer_one = trials[:2] + trials[4:]
    found = masked(nearer_one, point(SGD, TWO), point(SGD, THREE))
    np.testing.assert_array_equal(found[:, 4], [NAN, 0.5])


def test_two_hyperparameters_have_conditions_of_their_own():
    trials = [
        point(o, n, momentum=0.4 if o == SGD else NAN, width=0.4 if n > 0.5 else NAN)
        for o in (SGD, ADAM)
        for n in (ONE, TWO, THREE, FOUR)
    ]
    new = [point(SGD, ONE), point(SGD, FOUR), point(ADAM, ONE), point(ADAM, FOUR)]
    found = np.isnan(masked(trials, *new))
    assert found[:, 3].tolist() == [False, False, True, True]
    assert found[:, 4].tolist() == [True, False, True, False]


def test_what_explains_it_with_fewer_places_is_believed():
    """By chance, every number of layers was tried with one optimizer alone."""
    trials = [
        point(SGD, ONE),
        point(ADAM, TWO, momentum=NAN),
        point(SGD, THREE),
        point(ADAM, FOUR, momentum=NAN),
    ]
    found = masked(trials, point(SGD, TWO), point(ADAM, THREE))
    assert np.isnan(found[:, 3]).tolist() == [False, True]


def test_what_is_lacking_for_no_reason_is_not_masked():
    """A trial of another space lacks it, as one that failed early does."""
    trials = [point(SGD), point(SGD, momentum=NAN), point(ADAM), point(ADAM, TWO)]
    assert not np.isnan(masked(trials, point(SGD), point(ADAM, TWO))).any()


def test_a_number_without_steps_decides_nothing():
    """Every trial has another: it would explain anything."""
    trials = [point(SGD, lr=0.1), point(SGD, lr=0.9, momentum=NAN)]
    assert learned(CUBE, np.array(trials)) == Conditions()


def test_what_is_lacking_itself_decides_nothing():
    trials = [
        point(NAN, momentum=0.2),
        point(SGD, TWO, momentum=NAN),
        point(ADAM, TWO, momentum=0.2),
        point(SGD, ONE, momentum=NAN),
    ]
    found = masked(trials, point(SGD), point(ADAM))
    assert not np.isnan(found).any()


@pytest.mark.parametrize("n", [0, 1, 5])
def test_what_is_masked_is_a_copy(n):
    conditions = learned(CUBE, np.array([point(SGD), point(ADAM, momentum=NAN)]))
    points = np.array([point(ADAM)] * n).reshape(n, 5)
    found = conditions.masked(points)
    assert found.shape == (n, 5)
    assert np.isnan(found[:, 3]).all()
    assert not np.isnan(points).any()


def test_without_trials_there_are_no_conditions():
    assert learned(CUBE, np.empty((0, 5))) == Conditions()
