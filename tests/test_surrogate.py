"""The surrogate: its gradient, and what it believes near and far."""

import math

import numpy as np
import pytest

from tunekit.surrogate import Observations, Surrogate, expected_improvement

# Which of a model's constants is which, counted from the features' length scales on.
GENERAL, NOISE = 1, -1
OWN = [NOISE - 2, NOISE - 1]
CONSTANTS = [0.5, 0.5, 1.0, 0.5, 0.1, 0.1, 1e-3]
"""All that are not a feature's length scale, whatever the priors say."""


def curves(n_trials, n_features, n_rows, seed=0):
    """Trials at random places, each with as many rows."""
    rng = np.random.default_rng(seed)
    n = n_trials * n_rows
    return Observations(
        np.repeat(rng.random((n_trials, n_features)), n_rows, axis=0),
        np.tile(np.linspace(1.0 / n_rows, 1.0, n_rows), n_trials),
        np.repeat(np.arange(n_trials), n_rows),
        rng.normal(size=n),
    )


def ends(x, z):
    """One trial a place, each with its last value alone."""
    n = len(x)
    x = np.asarray(x, dtype=float).reshape(n, -1)
    return Observations(x, np.ones(n), np.arange(n), np.asarray(z, dtype=float))


def at(model, x, t, trial=None):
    """Mean and deviation at one progress."""
    mean, deviation = model.predict(np.asarray(x), np.array([t]), trial)
    assert mean.shape == deviation.shape == (1, len(x))
    return mean[0], deviation[0]


def believing(seen):
    """A model under constants that are told."""
    n_features = seen.x.shape[1]
    model = Surrogate(n_features)
    model.constants = np.log([*[0.5] * n_features, *CONSTANTS])
    model.given(seen)
    return model


# --- The constants ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_trials", "n_features", "n_rows"),
    [(1, 1, 1), (1, 2, 5), (8, 3, 1), (12, 5, 4), (30, 2, 2)],
)
@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_that_of_finite_differences(n_trials, n_features, n_rows, seed):
    seen = curves(n_trials, n_features, n_rows, seed)
    model = Surrogate(n_features)
    rng = np.random.default_rng(seed)
    here = model.constants + rng.normal(size=len(model.constants))
    here[NOISE] = math.log(0.1)  # differences of less would be rounding
    _, gradient = model._loss(here, seen)
    for i, step in enumerate(1e-5 * np.eye(len(here))):
        above, below = (model._loss(here + s, seen)[0] for s in (step, -step))
        expected = (above - below) / 2e-5
        assert gradient[i] == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_fitting_lowers_the_loss_and_finds_what_matters():
    rng = np.random.default_rng(0)
    x = rng.random((60, 3))
    seen = ends(x, np.sin(8 * x[:, 1]))
    model = Surrogate(3)
    before = model._loss(model.constants, seen)[0]
    model.fit(seen)
    assert model._loss(model.constants, seen)[0] < before - 10
    assert 3 * model.lengths[1] < min(model.lengths[0], model.lengths[2])


def test_of_many_rows_the_best_half_and_the_latest_are_looked_at():
    z = np.random.default_rng(1).permutation(300) / 100.0 - 1.5
    known = curves(300, 2, 1)
    seen = Observations(known.x, known.t, known.trial, z)
    best = np.argsort(z)[:20]
    latest = [i for i in range(300) if i not in best][-20:]

    def constants(moved):
        x = seen.x.copy()
        x[moved] = 1.0 - x[moved]
        model = Surrogate(2)
        model.fit(Observations(x, seen.t, seen.trial, z), at_most=40)
        return model.constants

    others = np.setdiff1d(np.arange(300), [*best, *latest])
    fitted = constants([])
    assert (constants(others) == fitted).all()
    for row in (best[0], best[-1], latest[0], latest[-1]):
        assert (constants(row) != fitted).any()


def test_so_many_rows_as_are_looked_at_are_all_looked_at():
    seen = curves(20, 2, 2)
    models = Surrogate(2), Surrogate(2)
    models[0].fit(seen, at_most=40)
    models[1].fit(seen)
    assert (models[0].constants == models[1].constants).all()


# --- What it believes ---------------------------------------------------------------


def test_a_model_without_noise_goes_through_what_was_seen():
    x = np.linspace(0, 1, 12)
    seen = ends(x, np.cos(5 * x))
    model = believing(seen)
    model.constants[NOISE] = -30.0
    model.given(seen)
    mean, deviation = at(model, seen.x, 1.0, seen.trial)
    np.testing.assert_allclose(mean, seen.z, atol=1e-3)
    assert deviation.max() < 2e-3


def test_another_trial_at_the_same_place_has_another_seed():
    """Its luck is not known: a chance at its end, and no reason to look before."""
    x = np.linspace(0, 1, 12)
    seen = ends(x, np.cos(5 * x))
    model = believing(seen)
    begun = np.arange(100, 112)
    mean, deviation = at(model, seen.x, 1.0)
    np.testing.assert_allclose(mean, seen.z, atol=0.4)
    assert abs(mean - seen.z).max() > 0.02
    # To one that has begun elsewhere than at what is seen, its luck is to be met.
    _, with_luck = at(model, seen.x, 1.0, begun)
    np.testing.assert_allclose(with_luck, deviation, rtol=1e-6)
    _, deviation = at(model, seen.x, 0.6)
    _, with_luck = at(model, seen.x, 0.6, begun)
    np.testing.assert_allclose(with_luck**2, deviation**2 + 0.2, rtol=1e-3)


def test_without_luck_a_new_trial_comes_to_what_its_place_says():
    seen = ends(np.linspace(0, 1, 12), np.cos(5 * np.linspace(0, 1, 12)))
    model = believing(seen)
    new = [[0.33], [0.8]]
    mean, deviation = at(model, new, 1.0)
    calm, without = at(model.without_luck(), new, 1.0)
    np.testing.assert_array_equal(calm, mean)
    np.testing.assert_allclose(without**2, deviation**2 - 0.2, rtol=1e-3)
    np.testing.assert_array_equal(at(model, new, 1.0)[1], deviation)


def test_far_from_all_that_was_seen_the_prior_is_all_there_is():
    model = believing(curves(10, 2, 3))
    far = np.full((2, 2), 1e3)
    mean, deviation = at(model, far, -1e3, np.array([-1, 77]))
    parts = np.exp(model.constants[2 + GENERAL : NOISE])
    np.testing.assert_allclose(mean, 0.0, atol=1e-9)
    assert deviation[0] == pytest.approx(math.sqrt(parts[:3].sum()), rel=1e-9)
    assert deviation[1] == pytest.approx(math.sqrt(parts.sum()), rel=1e-9)


def test_far_from_all_places_only_how_training_goes_is_left():
    """At the end of training trials come to 2, in general."""
    seen = ends(np.linspace(0, 1, 10), np.full(10, 2.0))
    model = believing(seen)
    mean, _ = at(model, [[0.5], [1e3], [1e4]], 1.0)
    assert mean[0] == pytest.approx(2.0, abs=0.1)
    assert 0.5 < mean[1] < mean[0] - 0.5
    assert mean[1] == pytest.approx(mean[2], rel=1e-9)
    model.constants[1 + GENERAL] = -30.0
    model.given(seen)
    mean, _ = at(model, [[0.5], [1e3]], 1.0)
    assert mean[0] == pytest.approx(2.0, abs=0.3)
    assert mean[1] == pytest.approx(0.0, abs=1e-9)


def test_the_further_away_the_less_is_known():
    model = believing(ends(np.linspace(0, 0.3, 5), [1, 0, -1, 0, 1]))
    _, in_place = at(model, [[0.3], [0.4], [0.6], [1.0], [3.0]], 1.0)
    assert (np.diff(in_place) > 1e-3).all()
    _, in_time = model.predict(
        np.array([[0.15]]), np.array([0.95, 0.8, 0.5, 0.0, -1.0])
    )
    assert (np.diff(in_time[:, 0]) > 1e-3).all()


def test_a_trial_that_began_better_is_believed_to_end_better_than_its_features_say():
    """Five trials of one configuration; the first began well and the second badly."""
    t = np.tile([0.3, 0.6], 5)
    z = np.array([-1.0, -1.0, 1.0, 1.0, 0, 0, 0, 0, 0, 0])
    seen = Observations(np.full((10, 1), 0.5), t, np.repeat(np.arange(5), 2), z)
    model = believing(seen)
    mean, deviation = at(model, np.full((4, 1), 0.5), 1.0, np.array([0, 1, 2, 9]))
    well, badly, ordinary, new = mean
    assert well < new - 0.3
    assert badly > new + 0.3
    assert ordinary == pytest.approx(new, abs=0.05)
    assert (deviation[:3] < deviation[3] - 0.01).all()
    unnamed, _ = at(model, [[0.5]], 1.0)
    assert unnamed[0] == pytest.approx(new, abs=1e-6)


def test_curves_of_other_trials_say_how_a_trial_goes_on():
    """Those at 0.1 fall along the way, those at 0.9 rise; each has just begun alike."""
    x = np.repeat([[0.1], [0.9], [0.1], [0.9], [0.1], [0.9]], 2, axis=0)
    t = np.tile([0.3, 1.0], 6)
    z = np.array([0, -1, 0, 1] * 3, dtype=float)
    model = believing(Observations(x, t, np.repeat(np.arange(6), 2), z))
    mean, _ = model.predict(np.array([[0.1], [0.9]]), np.array([0.3, 1.0]))
    early, late = mean
    np.testing.assert_allclose(early, [0, 0], atol=0.2)
    np.testing.assert_allclose(late, [-1, 1], atol=0.2)


def test_the_order_of_rows_makes_no_difference():
    seen = curves(9, 2, 3)
    x = np.random.default_rng(5).random((7, 2))
    trial = np.array([0, 3, 8, 50, 51, -1, 2])
    t = np.array([0.2, 0.8])
    found = believing(seen).predict(x, t, trial)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(seen))
        again = believing(seen.rows(order)).predict(x, t, trial)
        np.testing.assert_allclose(again, found, rtol=0, atol=1e-3)


def test_several_progresses_are_as_one_after_the_other():
    model = believing(curves(9, 2, 3))
    x = np.random.default_rng(5).random((7, 2))
    trial = np.array([0, 3, 8, 50, 51, -1, 2])
    t_H = np.array([0.1, 0.6, 1.0])
    mean, deviation = model.predict(x, t_H, trial)
    assert mean.shape == deviation.shape == (3, 7)
    for h, t in enumerate(t_H):
        one = at(model, x, t, trial)
        # In single precision, whose sums another processor orders otherwise.
        np.testing.assert_allclose(one, (mean[h], deviation[h]), rtol=1e-4, atol=1e-5)


def test_the_mean_alone_is_the_same():
    model = believing(curves(9, 2, 3))
    x = np.random.default_rng(5).random((7, 2))
    trial = np.array([0, 3, 8, 50, 51, -1, 2])
    for t in (0.1, 1.0):
        mean, _ = at(model, x, t, trial)
        np.testing.assert_allclose(model.mean(x, t, trial), mean, atol=1e-3)


def test_half_the_precision_is_near_enough():
    """Against the textbook's formula in double precision."""
    seen = curves(40, 3, 3)
    model = believing(seen)
    x, trial = np.random.default_rng(5).random((20, 3)), np.arange(20) * 5 - 1
    mean, deviation = at(model, x, 0.7, trial)
    between = model._covariance(x, np.full(20, 0.7), trial)
    k = model._covariance(seen.x, seen.t, seen.trial) + model._noise * np.eye(120)
    np.testing.assert_allclose(mean, between @ np.linalg.solve(k, seen.z), atol=1e-3)
    parts = np.exp(model.constants[3 + GENERAL : NOISE])
    prior = parts[:3].sum() + np.where(trial < 0, 0.0, parts[3:].sum())
    explained = np.einsum("mn,nm->m", between, np.linalg.solve(k, between.T))
    np.testing.assert_allclose(deviation**2, prior - explained, atol=1e-3)


@pytest.mark.parametrize("longest", [False, True])
@pytest.mark.parametrize("same_trial", [False, True])
def test_rows_that_repeat_are_no_trouble(longest, same_trial):
    """The matrix keeps its root at the ends of all constants, without any noise."""
    model = Surrogate(3)
    median, deviation = model._prior
    model.constants = median + 4 * deviation
    if not longest:
        model.constants[:4] = (median - 4 * deviation)[:4]
    model.constants[NOISE] = -50.0
    some = curves(6, 3, 2)
    seen = some.rows(np.tile(np.arange(12), 5))
    if not same_trial:
        seen = Observations(seen.x, seen.t, np.arange(60), seen.z)
    model.given(seen)
    k = model._covariance(seen.x, seen.t, seen.trial)
    np.testing.assert_allclose(k, k.T, rtol=1e-9)
    assert np.linalg.eigvalsh(k).min() > -1e-9 * np.linalg.eigvalsh(k).max()
    for each in at(model, seen.x, 1.0, seen.trial):
        assert np.isfinite(each).all()
    model.fit(seen)
    assert np.isfinite(model.constants).all()


# --- Expected improvement -----------------------------------------------------------


def test_expected_improvement_is_the_mean_of_many_draws():
    mean = np.array([-1.0, 0.0, 0.3, 1.0, 2.0])
    deviation = np.array([0.1, 1.0, 2.0, 0.5, 1.5])
    draws = np.random.default_rng(0).standard_normal((400_000, 1)) * deviation + mean
    for best in (-0.5, 0.0, 0.7):
        gains = np.maximum(best - draws, 0.0)
        found = expected_improvement(mean, deviation, best)
        error = gains.std(0) / math.sqrt(len(draws))
        assert (abs(found - gains.mean(0)) < 4 * error + 1e-5).all()


def test_expected_improvement_grows_with_promise_and_with_doubt():
    mean = np.linspace(-3, 40, 200)
    found = expected_improvement(mean, np.ones(200), 0.0)
    assert (found >= 0.0).all()
    assert (np.diff(found) <= 0.0).all()
    assert (np.diff(found[mean < 5]) < 0.0).all()
    assert found[0] == pytest.approx(3.0, abs=1e-3)
    found = expected_improvement(np.full(50, 0.2), np.linspace(0.01, 2, 50), 0.0)
    assert (np.diff(found) > 0.0).all()
    sure = expected_improvement(np.array([-2.0, 2.0]), np.full(2, 1e-9), 0.0)
    np.testing.assert_allclose(sure, [2.0, 0.0], atol=1e-12)
