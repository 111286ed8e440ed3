"""Beliefs: what a new trial and a paused one are worth, on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from tunekit.sampler.belief import Belief, believe, constants_of, warped
from tunekit.sampler.cube import Cube
from tunekit.sampler.history import History
from tunekit.sampler.reader import Reader
from tunekit.surrogate import Surrogate, expected_improvement

Floats = NDArray[np.float64]
RUNGS = (1, 3, 9, 27)
PLANE = {"x": FloatDistribution(0.0, 1.0), "y": FloatDistribution(0.0, 1.0)}
CONSTANTS = np.log([0.4, 0.8, 0.5, 0.3, 1.0, 0.5, 0.05, 0.05, 0.01])
"""Two lengths, that of t, three parts, two of a trial's own, noise."""


def trial(
    number: int,
    params: Mapping[str, Any],
    curve: Mapping[int, float] | None = None,
    space: Mapping[str, Any] = PLANE,
    **attributes: Any,
) -> FrozenTrial:
    """One that runs, or is paused where it has reached its aim."""
    made = create_trial(
        state=TrialState.RUNNING,
        params=dict(params),
        distributions={name: space[name] for name in params},
        intermediate_values=dict(curve or {}),
        user_attrs=attributes,
    )
    made.number = number
    return made


def curve(x: float, y: float, to_epoch: int) -> dict[int, float]:
    """Falls to where a valley is at 0.3, wherever y is."""
    return {
        epoch: (x - 0.3) ** 2 + 0.02 * y + 1.0 / epoch
        for epoch in range(1, to_epoch + 1)
    }


def paused(n: int, seed: int = 0) -> list[FrozenTrial]:
    """As halving has left them."""
    rng = np.random.default_rng(seed)
    trials = []
    for number in range(n):
        x, y = rng.random(2)
        to_epoch = int(rng.choice(RUNGS[:-1], p=[0.6, 0.3, 0.1]))
        reports = curve(x, y, to_epoch)
        trials.append(trial(number, {"x": x, "y": y}, reports, to_epoch=to_epoch))
    return trials


def history(
    trials: list[FrozenTrial], space: Mapping[str, Any] = PLANE, last: int = RUNGS[-1]
) -> History:
    return Reader(Cube(space), maximize=False, last=last).read(trials)


def believed(trials: list[FrozenTrial]) -> Belief:
    return believe(history(trials), CONSTANTS, RUNGS)


def textbook(
    known: History, x: Floats, t: float, trials: Floats, own: bool
) -> tuple[Floats, Floats]:
    """Mean and deviation by the formulas of a Gaussian process; two features."""
    lengths, length_t = np.exp(CONSTANTS[:2]), np.exp(CONSTANTS[2])
    s_m, s_b, s_a, c_0, c_1, noise = np.exp(CONSTANTS[3:])

    def k(x_a: Any, t_a: Any, of_a: Any, x_b: Any, t_b: Any, of_b: Any) -> Floats:
        r = np.sqrt(5) * np.linalg.norm((x_a[:, None] - x_b) / lengths, axis=2)
        k_x = (1 + r + r**2 / 3) * np.exp(-r)
        k_t = np.exp(-0.5 * ((np.reshape(t_a, (-1, 1)) - t_b) / length_t) ** 2)
        same = of_a[:, None] == of_b
        return np.asarray(
            s_m * k_t + k_x * (s_b + s_a * k_t) + same * (c_0 + c_1 * k_t)
        )

    seen = known.points[known.trial], known.t, known.trial
    new = x, np.full(len(x), t), trials
    within = k(*seen, *seen) + (noise + 1e-6) * np.eye(len(known.t))
    between = k(*new, *seen)
    z = warped(known)
    explained = np.einsum("mn,nm->m", between, np.linalg.solve(within, between.T))
    prior = s_m + s_b + s_a + own * (c_0 + c_1)
    return between @ np.linalg.solve(within, z), np.sqrt(prior - explained)


# --- What it is worth ---------------------------------------------------------------


def test_a_new_trial_is_worth_its_expected_improvement_an_epoch() -> None:
    belief = believed(paused(25))
    points = np.random.default_rng(1).random((30, 2))
    rates = belief.rates(points)
    assert rates.shape == (4, 30)
    best = warped(belief.history).min()
    assert belief.best == best
    for rung, found in zip(RUNGS, rates, strict=True):
        new = np.full(30, -1)
        t = np.log(rung) / np.log(27)
        mean, deviation = textbook(belief.history, points, t, new, own=rung == 27)
        expected = expected_improvement(mean, belief.doubt * deviation, best) / rung
        np.testing.assert_allclose(found, expected, rtol=0.01, atol=1e-4)
    assert rates.max() > 0.01


def test_a_paused_trial_is_worth_it_per_epoch_yet_to_be_paid() -> None:
    belief = believed(paused(25))
    chosen = np.arange(25)
    expected = np.zeros(25)
    for rung in RUNGS:
        ahead = rung - belief.history.epochs
        mean, deviation = textbook(
            belief.history,
            belief.history.points,
            np.log(rung) / np.log(27),
            chosen,
            own=True,
        )
        gains = expected_improvement(mean, belief.doubt * deviation, belief.best)
        rate = np.where(ahead > 0, gains / np.maximum(ahead, 1), 0.0)
        expected = np.maximum(expected, rate)
    np.testing.assert_allclose(belief.rates_of(chosen), expected, rtol=0.01, atol=1e-4)
    # In any order, and of some.
    some = [7, 3, 20]
    np.testing.assert_allclose(belief.rates_of(some), expected[some], rtol=0.02)


def test_a_paused_trial_and_a_new_one_are_on_one_scale() -> None:
    """A trial that nothing is known of but its place is worth about what a new one is,
    but for the epochs it has behind it."""
    trials = paused(25)
    place = {"x": 0.32, "y": 0.5}
    trials.append(trial(25, place, {1: 1.02}, to_epoch=1))
    known = history(trials)
    constants = CONSTANTS.copy()
    constants[-3:-1] = -20.0  # nothing is a trial's own
    belief = believe(known, constants, RUNGS)
    ahead = belief.rates(np.array([[0.32, 0.5]]))[:, 0]
    gains = ahead * RUNGS
    expected = (gains[1:] / (np.array(RUNGS[1:]) - 1)).max()
    assert belief.rates_of([25])[0] == pytest.approx(expected, rel=0.01)
    assert expected > ahead[1:].max()


def test_of_two_paused_trials_that_which_began_better_is_worth_more() -> None:
    trials = paused(20)
    for number, luck in ((20, -0.1), (21, 0.1)):
        reports = {e: v + luck for e, v in curve(0.3, 0.3, 3).items()}
        trials.append(trial(number, {"x": 0.3, "y": 0.3}, reports, to_epoch=3))
    better, worse = believed(trials).rates_of([20, 21])
    assert better > 1.3 * worse


def test_fewer_rungs_give_the_same_rows() -> None:
    belief = believed(paused(25))
    points = np.random.default_rng(1).random((30, 2))
    rates = belief.rates(points)
    for rungs in ([27], [1, 9], [3, 9, 27]):
        at = [RUNGS.index(rung) for rung in rungs]
        found = belief.rates(points, rungs)
        np.testing.assert_allclose(found, rates[at], rtol=1e-3, atol=1e-6)


# --- What runs on -------------------------------------------------------------------


def test_what_has_begun_is_worth_less_to_begin_again_nearby() -> None:
    trials = paused(25)
    before = believed(trials)
    begun = trial(25, {"x": 0.35, "y": 0.2}, to_epoch=1)
    after = believed([*trials, begun])
    assert len(after.history.pending) == 1
    near, far = np.array([[0.36, 0.22]]), np.array([[0.95, 0.95]])
    at_first = [before.rates(near)[0], after.rates(near)[0]]
    assert at_first[1] < 0.9 * at_first[0]
    np.testing.assert_allclose(after.rates(far), before.rates(far), rtol=0.1, atol=1e-4)


def test_what_was_promoted_lowers_its_neighbours_rate_where_it_goes() -> None:
    trials = paused(25)
    trials.append(
        trial(25, {"x": 0.35, "y": 0.2}, curve(0.35, 0.2, 9), to_epoch=9),
    )
    trials.append(
        trial(26, {"x": 0.37, "y": 0.2}, curve(0.37, 0.2, 9), to_epoch=9),
    )
    before = believed(trials)
    trials[25].user_attrs["to_epoch"] = 27
    after = believed(trials)
    assert after.history.pending_trial.tolist() == [25]
    near = np.array([[0.36, 0.22]])
    assert after.rates(near)[-1] < 0.9 * before.rates(near)[-1]
    assert after.rates_of([26])[0] < 0.9 * before.rates_of([26])[0]


def test_what_runs_on_is_not_taken_for_better_than_all_that_was_seen() -> None:
    trials = paused(25)
    begun = trial(25, {"x": 0.3, "y": 0.0}, to_epoch=27)
    assert believed([*trials, begun]).best == believed(trials).best


def test_two_that_begin_are_two_trials() -> None:
    """They do not share their luck, and neither has that of a trial that is known."""
    trials = paused(10)
    begun = [trial(10 + i, {"x": 0.5, "y": 0.5}, to_epoch=9) for i in range(2)]
    model = believed([*trials, *begun]).model
    assert model._seen.trial[-4:].tolist() == [10, 11, 10, 11]
    np.testing.assert_allclose(model._seen.t[-4:], [2 / 3, 2 / 3, 1, 1])


# --- What is remembered -------------------------------------------------------------


def test_of_many_rows_the_best_and_the_latest_are_kept() -> None:
    trials = paused(500)
    belief = believed(trials)
    kept = belief.model._seen
    assert 200 < len(kept) <= 400
    z = warped(belief.history)
    assert set(np.sort(z)[:200]) <= set(kept.z)
    assert (kept.z[-200:] == z[-200:]).all()
    assert belief.promise.shape == (500,)


def test_what_was_bad_so_long_ago_that_it_is_forgotten_is_worth_nothing() -> None:
    """Were it taken for a trial that nothing is known of, it would be worth a try."""
    bad = [
        trial(n, {"x": 0.3 + n / 1000, "y": 0.2}, {1: 9.0 + n}, to_epoch=1)
        for n in range(3)
    ]
    later = paused(450)
    for each in later:
        each.number += 3
    belief = believed([*bad, *later])
    assert not belief.model.knows(np.arange(3)).any()
    assert belief.rates_of([0, 1, 2]).tolist() == [0.0, 0.0, 0.0]
    assert (belief.rates_of(np.unique(belief.model._seen.trial)) > 0).mean() > 0.5


def test_the_promise_of_each_is_what_it_should_come_to() -> None:
    """Of those that have begun alike well, whose neighbours end well."""
    trials = [
        trial(n, {"x": x, "y": 0.5}, reports, to_epoch=len(reports))
        for n, (x, reports) in enumerate(
            [
                *[(0.1 + n / 50, {e: 1.5 / e for e in range(1, 28)}) for n in range(4)],
                *[(0.8 + n / 50, dict.fromkeys(range(1, 28), 1.4)) for n in range(4)],
                (0.15, {1: 1.5}),
                (0.85, {1: 1.4}),
            ]
        )
    ]
    promise = believed(trials).promise
    assert promise[8] < promise[9] - 0.5


def test_what_counts_under_a_condition_makes_no_difference_elsewhere() -> None:
    space = {
        "kind": CategoricalDistribution(["sgd", "adam"]),
        "momentum": FloatDistribution(0.0, 1.0),
    }
    rng = np.random.default_rng(0)
    trials = []
    for n in range(12):
        params: dict[str, Any] = {"kind": "adam" if n % 2 else "sgd"}
        if n % 2 == 0:
            params["momentum"] = rng.random()
        trials.append(trial(n, params, {1: rng.random()}, space, to_epoch=1))
    known = history(trials, space)
    belief = believe(known, Surrogate(known.cube.n_features).constants, RUNGS)
    sgd, adam = (
        belief.rates(np.array([[kind, m] for m in (0.1, 0.5, 0.9)]))
        for kind in (0.25, 0.75)
    )
    assert (adam == adam[:, :1]).all()
    assert (sgd != sgd[:, :1]).any()


def test_constants_are_a_function_of_the_history() -> None:
    trials = paused(30)
    constants = constants_of(history(trials))
    assert constants.shape == CONSTANTS.shape
    assert (constants_of(history(trials)) == constants).all()
    assert (constants_of(history(trials[:25])) != constants).any()
    # It is x that matters.
    assert constants[0] < constants[1] - 0.5


def test_the_fewer_the_trials_and_the_larger_the_budget_the_more_it_is_doubted() -> (
    None
):
    few, many = believed(paused(8)), believed(paused(40))
    assert few.doubt == pytest.approx(1.0 + 2**2 / 8)
    assert many.doubt == pytest.approx(1.0 + 2**2 / 40)
    assert replace(few, fits=2.0).doubt == pytest.approx(1.3)
