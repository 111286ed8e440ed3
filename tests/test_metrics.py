"""Losses and scores equal torch's; intervals cover what they promise to."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tunekit.metrics import accuracy, cross_entropy, interval, row_losses


def batch(generator, *leading, rows=7, classes=4):
    logits = torch.randn(*leading, rows, classes, generator=generator).double() * 3
    y = torch.randint(classes, (*leading, rows), generator=generator)
    return logits, y


# --- Losses and scores --------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.05, 0.3, 0.99])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_cross_entropy_equals_torchs_with_its_gradient(generator, smoothing, classes):
    logits, y = batch(generator, classes=classes)
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    loss = cross_entropy(ours, y, smoothing)
    expected = F.cross_entropy(theirs, y, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-13, atol=0)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("leading", [(3,), (2, 3)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_leading_dimensions_are_separate_losses_and_scores(
    generator, leading, smoothing
):
    logits, y = batch(generator, *leading)
    loss, score = cross_entropy(logits, y, smoothing), accuracy(logits, y)
    assert loss.shape == score.shape == leading
    for place in np.ndindex(*leading):
        alone = F.cross_entropy(logits[place], y[place], label_smoothing=smoothing)
        torch.testing.assert_close(loss[place], alone)
        hits = [int(max(range(4), key=row.__getitem__)) for row in logits[place]]
        right = np.mean([h == int(t) for h, t in zip(hits, y[place], strict=True)])
        assert score[place].item() == pytest.approx(right)


@pytest.mark.parametrize("size", [1e4, 1e30])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_extreme_logits_stay_finite_and_exact(size, smoothing):
    logits = torch.tensor([[size, -size], [-size, size]], requires_grad=True)
    y = torch.tensor([0, 1])
    right = cross_entropy(logits, y, smoothing)
    assert right.item() == pytest.approx(smoothing * size, rel=1e-6)
    wrong = cross_entropy(logits, 1 - y, smoothing)
    assert wrong.item() == pytest.approx((2 - smoothing) * size, rel=1e-6)
    wrong.backward()
    assert logits.grad.isfinite().all()


def test_a_loss_of_nan_logits_is_nan_and_not_hidden():
    logits = torch.tensor([[math.nan, 0.0], [0.0, 1.0]])
    assert cross_entropy(logits, torch.tensor([0, 1])).isnan()


def test_row_losses_are_the_terms_of_the_cross_entropy(generator):
    logits, y = batch(generator, rows=50)
    losses = row_losses(logits.softmax(-1).numpy(), y.numpy())
    assert losses.shape == (50,)
    each = F.cross_entropy(logits, y, reduction="none").numpy()
    np.testing.assert_allclose(losses, each, rtol=1e-9)


def test_a_probability_of_zero_is_a_large_loss_and_not_an_infinite_one():
    losses = row_losses(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1]))
    np.testing.assert_allclose(losses, [0.0, -math.log(1e-300)])


# --- Intervals ----------------------------------------------------------------------


def covered(draw, truth, share, times=400):
    """How often the interval of a fresh sample holds the true mean."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(times):
        low, high = interval(draw(rng), share=share)
        hits += low <= truth <= high
    return hits / times


@pytest.mark.parametrize(
    ("n_seeds", "n_rows", "of_seed", "of_row", "of_both"),
    [
        (5, 200, 0.1, 1.0, 0.5),
        (5, 2000, 0.3, 1.0, 1.0),
        (5, 30, 0.0, 1.0, 0.3),
        (3, 500, 1.0, 1.0, 0.1),
        (1, 100, 0.0, 1.0, 0.0),
        (10, 1, 1.0, 0.0, 0.0),
    ],
)
def test_an_interval_of_losses_covers_the_mean_95_times_in_100(
    n_seeds, n_rows, of_seed, of_row, of_both
):
    def draw(rng):
        return (
            2.0
            + of_seed * rng.normal(size=(n_seeds, 1))
            + of_row * rng.normal(size=(1, n_rows))
            + of_both * rng.normal(size=(n_seeds, n_rows))
        )

    assert 0.90 <= covered(draw, 2.0, share=False) <= 0.99


@pytest.mark.parametrize(
    ("n_seeds", "n_rows", "rate", "of_seed"),
    [
        (5, 360, 0.03, 0.0),
        (5, 360, 0.03, 0.01),
        (5, 1000, 0.2, 0.02),
        (1, 200, 0.1, 0.0),
        (5, 50, 0.3, 0.0),
    ],
)
def test_an_interval_of_error_rates_covers_the_rate_95_times_in_100(
    n_seeds, n_rows, rate, of_seed
):
    """Hard rows are hard for every seed: half of all errors are shared."""

    def draw(rng):
        shift = rng.normal(scale=of_seed, size=(n_seeds, 1)) if of_seed else 0.0
        p_SN = np.clip(np.full((n_seeds, n_rows), rate) + shift, 0, 1)
        alone = rng.random((n_seeds, n_rows)) < p_SN
        together = rng.random((1, n_rows)) < p_SN
        shared = rng.random((1, n_rows)) < 0.5
        return np.where(shared, together, alone).astype(float)

    assert 0.90 <= covered(draw, rate, share=True) <= 0.99


@given(
    st.integers(1, 6),
    st.integers(1, 12),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_an_interval_of_a_share_holds_the_mean_inside_0_and_1(n_seeds, n_rows, p, seed):
    errors = (np.random.default_rng(seed).random((n_seeds, n_rows)) < p).astype(float)
    low, high = interval(errors, share=True)
    assert 0.0 <= low <= errors.mean() + 1e-12
    assert errors.mean() - 1e-12 <= high <= 1.0
    assert low < high


@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_an_interval_of_losses_is_centred_on_their_mean(n_seeds, n_rows, seed):
    losses = np.random.default_rng(seed).exponential(size=(n_seeds, n_rows))
    low, high = interval(losses)
    assert low <= high
    assert (low + high) / 2 == pytest.approx(losses.mean())
    assert (low < high) == (n_seeds * n_rows > 1)


def test_without_seeds_it_is_students_interval_of_the_rows():
    losses = np.random.default_rng(0).exponential(size=(1, 40))
    low, high = interval(losses)
    t = 2.0226909200367604  # 39 degrees of freedom, two-sided 95 %
    half = t * losses.std(ddof=1) / 40**0.5
    assert (low, high) == pytest.approx((losses.mean() - half, losses.mean() + half))


def test_a_share_without_errors_still_has_room_above_it():
    low, high = interval(np.zeros((5, 100)), share=True)
    assert low == 0.0
    assert 0.02 < high < 0.05
    low, high = interval(np.ones((5, 100)), share=True)
    assert 0.95 < low < 0.98
    assert high == 1.0


def test_more_rows_more_seeds_and_less_confidence_make_it_narrower():
    rng = np.random.default_rng(0)
    losses = rng.normal(size=(4, 1000)) + rng.normal(size=(4, 1)) / 10

    def width(values, **options):
        low, high = interval(values, **options)
        return high - low

    assert width(losses) < width(losses[:, :100])
    assert width(losses, level=0.5) < width(losses) < width(losses, level=0.99)
