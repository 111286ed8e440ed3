"""The history: which trials count, at which rungs, and with what values."""

import math

import numpy as np
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

from tunekit.sampler.cube import Cube
from tunekit.sampler.history import History, progress, union_space
from tunekit.sampler.reader import Reader

SPACE = {
    "x": FloatDistribution(0.0, 1.0),
    "n": IntDistribution(1, 4),
    "kind": CategoricalDistribution(["a", "b", None]),
}
CUBE = Cube(SPACE)
PARAMS = {"x": 0.5, "n": 1, "kind": "b"}
FREE = 1_000_000
"""The number of a trial that is not among any."""


def trial(
    number, state=None, value=None, curve=None, params=None, space=SPACE, **attributes
):
    if state is None:
        state = TrialState.RUNNING if value is None else TrialState.COMPLETE
    params = PARAMS if params is None else params
    made = create_trial(
        state=state,
        value=value,
        params=params,
        distributions={name: space[name] for name in params},
        intermediate_values=curve or {},
        user_attrs=attributes,
    )
    made.number = number
    return made


def history(*trials, maximize=False, but=FREE, cube=CUBE, last=None) -> History:
    return Reader(cube, maximize=maximize, last=last).read(trials, but)


def steps(found, last):
    """Epochs of the rows."""
    assert found.horizon == last
    return [round(last**t, 6) for t in found.t]


def curve(n, value=lambda step: 1.0 / step):
    return {step: value(step) for step in range(1, n + 1)}


# --- Rows ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "rungs"),
    [
        (1, [1]),
        (2, [1, 2]),
        (9, [1, 3, 9]),
        (27, [1, 3, 9, 27]),
        (50, [1, 2, 6, 17, 50]),
        (100, [1, 2, 4, 12, 34, 100]),
    ],
)
def test_rows_are_rungs_that_are_powers_of_three_away_from_the_end(last, rungs):
    found = history(trial(0, value=1.0 / last, curve=curve(last)))
    assert steps(found, last) == rungs
    assert found.epochs.tolist() == [last]
    np.testing.assert_allclose(found.values, 1.0 / np.array(rungs))
    assert found.t[-1] == 1.0
    assert found.trial.tolist() == [0] * len(rungs)


def test_a_trial_that_stopped_has_its_end_too():
    found = history(
        trial(0, value=1 / 50, curve=curve(50)),
        trial(1, TrialState.PRUNED, curve=curve(20)),
        trial(2, curve=curve(7)),
    )
    assert steps(found, 50) == [1, 2, 6, 17, 50, 1, 2, 6, 17, 20, 1, 2, 6, 7]
    assert found.trial.tolist() == [0] * 5 + [1] * 5 + [2] * 4
    assert found.values[-1] == 1 / 7


def test_a_complete_trial_is_at_the_end_of_training_wherever_it_stopped():
    found = history(
        trial(0, value=1 / 50, curve=curve(50)),
        trial(1, value=0.04, curve=curve(20)),
        trial(2, value=0.3),
    )
    assert steps(found, 50)[5:] == [1, 2, 6, 17, 20, 50, 50]
    assert found.values[5:].tolist() == [1, 1 / 2, 1 / 6, 1 / 17, 1 / 20, 0.04, 0.3]


def test_a_value_is_the_lowest_so_far():
    """Epoch 4 is no rung of 9, and the best all the same."""
    up_and_down = {1: 5.0, 2: 3.0, 3: 4.0, 4: 1.0, 5: 2.0, 8: 7.0, 9: 6.0}
    assert history(trial(0, curve=up_and_down)).values.tolist() == [5.0, 3.0, 1.0]
    done = history(trial(0, value=6.0, curve=up_and_down))
    assert done.values.tolist() == [5.0, 3.0, 1.0]
    done = history(trial(0, value=0.5, curve=up_and_down))
    assert done.values.tolist() == [5.0, 3.0, 0.5]


def test_where_higher_is_better_values_are_turned():
    reports = {1: 0.2, 2: 0.9, 3: 0.4, 9: 0.5}
    trials = trial(0, value=0.5, curve=reports), trial(1, value=0.7)
    found = history(*trials, maximize=True)
    assert found.values.tolist() == [-0.2, -0.9, -0.9, -0.7]


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_what_diverged_is_infinite_until_it_has_a_value(bad, maximize):
    sign = -1 if maximize else 1
    found = history(
        trial(0, curve={1: bad, 3: 2.0 * sign, 9: bad}),
        trial(1, TrialState.PRUNED, curve={1: bad, 2: bad}),
        maximize=maximize,
    )
    assert found.values.tolist() == [math.inf, 2.0, 2.0, math.inf, math.inf]


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("bad", [math.inf, -math.inf])
def test_an_infinite_end_is_bad_of_either_sign(bad, maximize):
    sign = -1 if maximize else 1
    trials = trial(0, value=bad), trial(1, value=bad, curve={1: 3.0 * sign})
    found = history(*trials, maximize=maximize)
    assert found.values.tolist() == [math.inf, 3.0]


def test_reports_of_step_0_are_before_any_epoch():
    zero, both = {0: 0.1}, {0: 0.1, 1: 0.5, 9: 0.4}
    found = history(trial(0, curve=zero), trial(1, curve=both))
    assert found.values.tolist() == [0.5, 0.4]
    assert found.numbers.tolist() == [1]
    assert len(found.pending) == 1
    found = history(trial(0, value=0.3, curve=zero))
    assert (found.t.tolist(), found.values.tolist()) == ([1.0], [0.3])


# --- Trials -------------------------------------------------------------------------


def test_trials_of_every_state_count_once_they_have_a_value():
    reports = {1: 1.0}
    found = history(
        trial(0, value=1.0),
        trial(1, TrialState.PRUNED, curve=reports),
        trial(2, TrialState.FAIL, curve=reports),
        trial(3, TrialState.RUNNING, curve=reports),
        trial(4, TrialState.PRUNED),
        trial(5, TrialState.FAIL),
        trial(6, TrialState.RUNNING, params=PARAMS | {"x": 0.25}),
        trial(7, TrialState.RUNNING, params={}),
        trial(8, TrialState.WAITING, params={}),
        trial(9, value=2.0),
    )
    assert found.numbers.tolist() == [0, 1, 2, 3, 9]
    assert len(found) == 5
    assert found.trial.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found.points, [[0.5, 0.125, 0.5]] * 5)
    np.testing.assert_allclose(found.pending, [[0.25, 0.125, 0.5]])


def test_the_trial_that_is_asked_for_has_no_history():
    trials = trial(0, value=1.0), trial(1), trial(2, curve={1: 1.0})
    for but, numbers, n_pending in ((0, [2], 1), (1, [0, 2], 0), (2, [0], 1)):
        found = history(*trials, but=but)
        assert found.numbers.tolist() == numbers
        assert len(found.pending) == n_pending


@pytest.mark.parametrize(
    ("other", "value", "fits"),
    [
        (FloatDistribution(0.2, 0.4), 0.3, True),
        (FloatDistribution(-5.0, 5.0), 0.3, True),
        (FloatDistribution(-5.0, 5.0), 1.5, False),
        (FloatDistribution(1e-3, 1.0, log=True), 0.3, True),
        (FloatDistribution(0.0, 1.0, step=0.5), 0.5, True),
        (IntDistribution(0, 1), 1, False),
        (CategoricalDistribution([0.3, 0.4]), 0.3, False),
    ],
)
def test_trials_of_another_space_count_where_their_values_are_of_this(
    other, value, fits
):
    space = SPACE | {"x": other}
    params = PARAMS | {"x": value}
    found = history(
        trial(0, value=1.0),
        trial(1, value=2.0, params=params, space=space),
        trial(2, params=params, space=space),
    )
    assert found.numbers.tolist() == [0, 1][: 1 + fits]
    assert len(found.pending) == fits
    if fits:
        assert found.points[1, 0] == value


def test_a_choice_or_a_number_that_is_no_more_is_left_out():
    wider = SPACE | {
        "kind": CategoricalDistribution(["c", "b"]),
        "n": IntDistribution(1, 9),
    }
    found = history(
        trial(0, value=1.0, params=PARAMS | {"kind": "c"}, space=wider),
        trial(1, value=1.0, params=PARAMS | {"n": 5}, space=wider),
        trial(2, value=1.0, params=PARAMS | {"kind": "b", "n": 4}, space=wider),
    )
    assert found.numbers.tolist() == [2]
    np.testing.assert_allclose(found.points, [[0.5, 0.875, 0.5]])


def test_what_a_trial_lacks_is_nan_and_what_the_cube_lacks_is_nothing():
    space = SPACE | {"more": FloatDistribution(0.0, 1.0)}
    found = history(
        trial(0, value=1.0, params={"x": 0.25, "more": 0.1}, space=space),
        trial(1, params={"n": 4}),
    )
    np.testing.assert_array_equal(found.points, [[0.25, np.nan, np.nan]])
    np.testing.assert_array_equal(found.pending, [[np.nan, 0.875, np.nan]])


def test_a_horizon_that_is_told_is_the_end_of_training():
    trials = trial(0, TrialState.PRUNED, curve=curve(9)), trial(1, value=0.2)
    assert steps(history(*trials), 9) == [1, 3, 9, 9]
    assert steps(history(*trials, last=27), 27) == [1, 3, 9, 27]
    assert history(trial(0), last=27).horizon == 27


def test_progress_is_even_between_rungs():
    assert [progress(epoch, 27) for epoch in (1, 3, 9, 27)] == pytest.approx(
        [0, 1 / 3, 2 / 3, 1]
    )
    assert progress(0, 27) == 0.0
    assert progress(30, 27) == progress(1, 1) == progress(5, 0) == 1.0


# --- Trials that are trained to rungs -----------------------------------------------


def test_one_that_runs_to_a_rung_is_pending_there_until_it_has_reached_it():
    found = history(
        trial(0, curve=curve(1), to_epoch=1),
        trial(1, curve=curve(1), to_epoch=3),
        trial(2, params=PARAMS | {"x": 0.25}, to_epoch=1),
        trial(3, curve=curve(3), to_epoch=3),
        trial(4, curve=curve(3), to_epoch=9),
        last=9,
    )
    assert found.numbers.tolist() == [0, 1, 3, 4]
    assert found.epochs.tolist() == [1, 1, 3, 3]
    np.testing.assert_allclose(found.pending[:, 0], [0.5, 0.25, 0.5])
    assert found.pending_trial.tolist() == [1, -1, 3]
    np.testing.assert_allclose(found.pending_t, [0.5, 0.0, 1.0])


def test_one_that_runs_on_its_own_is_pending_at_the_end():
    found = history(trial(0), trial(1, curve=curve(3)), trial(2, value=0.1), last=9)
    assert found.pending_trial.tolist() == [-1, 0]
    assert found.pending_t.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("n", [3, 4, 8])
def test_on_the_way_to_a_rung_nothing_changes(n):
    """What is decided meanwhile does not depend on how far others happen to be."""
    before = history(trial(0, curve=curve(3), to_epoch=9), last=27)
    found = history(trial(0, curve=curve(n), to_epoch=9), last=27)
    assert found.values.tolist() == before.values.tolist()
    assert found.pending_t.tolist() == before.pending_t.tolist()
    assert found.key == before.key
    there = history(trial(0, curve=curve(9), to_epoch=9), last=27)
    assert steps(there, 27) == [1, 3, 9]
    assert len(there.pending) == 0
    assert there.key != before.key


def test_one_that_is_paused_between_rungs_counts_where_it_is():
    found = history(trial(0, curve=curve(5), to_epoch=5), last=27)
    assert steps(found, 27) == [1, 3, 5]
    assert len(found.pending) == 0


def test_of_a_chain_the_last_one_stands_for_all():
    pruned = TrialState.PRUNED
    found = history(
        trial(0, pruned, curve=curve(1)),
        trial(1, pruned, curve=curve(1)),
        trial(2, pruned, curve=curve(3), continues=0),
        trial(3, curve=curve(3), continues=2, to_epoch=9),
        last=9,
    )
    assert found.numbers.tolist() == [1, 3]
    assert steps(found, 9) == [1, 1, 3]
    assert found.pending_trial.tolist() == [1]


def test_nothing_has_a_history_too():
    found = history()
    assert len(found) == len(found.values) == len(found.t) == 0
    assert found.points.shape == found.pending.shape == (0, 3)
    assert found.horizon == 1
    found = history(trial(0, value=1.0), trial(1), cube=Cube({}))
    assert (found.points.shape, found.pending.shape) == ((1, 0), (1, 0))


def test_the_union_of_spaces_has_the_latest_of_every_hyperparameter():
    one, two = FloatDistribution(0.0, 1.0), FloatDistribution(0.0, 2.0)
    trials = [
        trial(0, params={"x": 0.5}, space={"x": one}),
        trial(1, params={"x": 0.5, "n": 2}, space=SPACE | {"x": two}),
        trial(2, params={"f": 1.0}, space={"f": FloatDistribution(1.0, 1.0)}),
        trial(3, TrialState.WAITING, params={}),
        trial(4, params={"n": 2}, space={"n": IntDistribution(2, 2)}),
    ]
    assert union_space(trials[:1]) == {"x": one}
    assert union_space(trials[:4]) == {"x": two, "n": SPACE["n"]}
    assert union_space(trials) == {"x": two}
    assert union_space([]) == {}
