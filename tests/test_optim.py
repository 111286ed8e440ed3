"""Optimizers carry the recipe's values; schedules are the formulas they name."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tunekit.errors import ConfigError
from tunekit.optim import (
    RMSPROP_DECAY,
    build_optimizer,
    build_update,
    lr_factor,
)
from tunekit.trial import OPTIMIZERS, SCHEDULES, Recipe

VALUES = Recipe(
    lr=0.02,
    momentum=0.7,
    nesterov=True,
    beta1=0.8,
    beta2=0.95,
    eps=1e-6,
    weight_decay=0.03,
)
EXPECTED = {
    "sgd": (
        torch.optim.SGD,
        {"lr": 0.02, "momentum": 0.7, "nesterov": True, "weight_decay": 0.03},
    ),
    "rmsprop": (
        torch.optim.RMSprop,
        {
            "lr": 0.02,
            "alpha": RMSPROP_DECAY,
            "eps": 1e-6,
            "weight_decay": 0.03,
            "momentum": 0,
            "centered": False,
        },
    ),
    "adam": (
        torch.optim.Adam,
        {
            "lr": 0.02,
            "betas": (0.8, 0.95),
            "eps": 1e-6,
            "weight_decay": 0.03,
            "amsgrad": False,
        },
    ),
    "adamw": (
        torch.optim.AdamW,
        {
            "lr": 0.02,
            "betas": (0.8, 0.95),
            "eps": 1e-6,
            "weight_decay": 0.03,
            "amsgrad": False,
        },
    ),
}
decays = st.floats(1e-4, 2.0)
epochs = st.integers(0, 500)

# --- Optimizers ---------------------------------------------------------------------


def weight():
    return torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_carries_the_recipes_values(name):
    kind, values = EXPECTED[name]
    parameters = [weight(), weight()]
    made = build_optimizer(VALUES.with_params({"optimizer": name}), iter(parameters))
    assert type(made) is kind
    (group,) = made.param_groups
    assert {key: group[key] for key in values} == values
    assert [id(p) for p in group["params"]] == [id(p) for p in parameters]


def test_an_unknown_optimizer_is_refused_and_not_taken_for_adam():
    with pytest.raises(ConfigError) as caught:
        build_optimizer(Recipe(optimizer="addam"), [weight()])
    assert (
        str(caught.value) == "optimizer must be one of sgd, adam, adamw, rmsprop, "
        "got 'addam'; did you mean \"adam\"?"
    )


def test_nesterov_is_left_out_where_there_is_no_momentum():
    made = build_optimizer(Recipe(optimizer="sgd", momentum=0.0), [weight()])
    assert made.param_groups[0]["nesterov"] is False
    made = build_optimizer(Recipe(optimizer="sgd", nesterov=False), [weight()])
    assert made.param_groups[0]["nesterov"] is False


def steps(recipe, n=5):
    """The weights after each of ``n`` steps on the half sum of their squares."""
    parameter = weight()
    optimizer = build_optimizer(recipe, [parameter])
    for _ in range(n):
        optimizer.zero_grad()
        (parameter**2).sum().mul(0.5).backward()
        optimizer.step()
        yield parameter.detach().clone()


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_takes_the_steps_of_its_formula(nesterov):
    recipe = VALUES.with_params({"optimizer": "sgd", "nesterov": nesterov})
    w, velocity = weight().detach(), 0.0
    for got in steps(recipe):
        gradient = w + recipe.weight_decay * w
        velocity = recipe.momentum * velocity + gradient
        ahead = gradient + recipe.momentum * velocity if nesterov else velocity
        w = w - recipe.lr * ahead
        torch.testing.assert_close(got, w, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_takes_the_steps_of_its_formula_and_adamw_decays_apart(name):
    recipe = VALUES.with_params({"optimizer": name})
    w, m, v = weight().detach(), 0.0, 0.0
    for t, got in enumerate(steps(recipe), start=1):
        gradient = w
        if name == "adam":
            gradient = gradient + recipe.weight_decay * w
        else:
            w = w * (1 - recipe.lr * recipe.weight_decay)
        m = recipe.beta1 * m + (1 - recipe.beta1) * gradient
        v = recipe.beta2 * v + (1 - recipe.beta2) * gradient**2
        m_hat, v_hat = m / (1 - recipe.beta1**t), v / (1 - recipe.beta2**t)
        w = w - recipe.lr * m_hat / (v_hat.sqrt() + recipe.eps)
        torch.testing.assert_close(got, w, rtol=1e-10, atol=0)


def test_rmsprop_takes_the_steps_of_its_formula():
    recipe = VALUES.with_params({"optimizer": "rmsprop"})
    w, v = weight().detach(), 0.0
    for got in steps(recipe):
        gradient = w + recipe.weight_decay * w
        v = RMSPROP_DECAY * v + (1 - RMSPROP_DECAY) * gradient**2
        w = w - recipe.lr * gradient / (v.sqrt() + recipe.eps)
        torch.testing.assert_close(got, w, rtol=1e-10, atol=0)


# --- Updates without autograd -------------------------------------------------------

KINDS = {
    "sgd": {"optimizer": "sgd", "nesterov": False},
    "sgd with nesterov": {"optimizer": "sgd", "nesterov": True},
    "sgd without momentum": {"optimizer": "sgd", "momentum": 0.0, "nesterov": True},
    "rmsprop": {"optimizer": "rmsprop"},
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw"},
    "adam without memory": {"optimizer": "adam", "beta1": 0.0, "beta2": 0.0},
    "adamw of a large eps": {"optimizer": "adamw", "eps": 0.1},
}


def both(recipe, n=10, dtype=torch.float64, rates=None, device="cpu"):
    """Weights after each step: by torch's optimizer, and by ours."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(4, 3), (3,), ()]
    start = [torch.randn(s, generator=generator, dtype=dtype) for s in shapes]
    gradients = [
        [torch.randn(s, generator=generator, dtype=dtype) for s in shapes]
        for _ in range(n)
    ]
    theirs = [torch.nn.Parameter(w.to(device, copy=True)) for w in start]
    optimizer = build_optimizer(recipe, theirs)
    ours = [w.to(device, copy=True) for w in start]
    grads, first, second = ([torch.zeros_like(w) for w in ours] for _ in range(3))
    step = torch.zeros((), device=device)
    update = build_update(recipe, ours, grads, first, second, step)
    for t in range(n):
        lr = recipe.lr if rates is None else rates[t]
        optimizer.param_groups[0]["lr"] = lr
        for parameter, kept, gradient in zip(theirs, grads, gradients[t], strict=True):
            parameter.grad = gradient.to(device, copy=True)
            kept.copy_(gradient)
        optimizer.step()
        step += 1
        update(lr)
        yield [p.detach() for p in theirs], ours


@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
@pytest.mark.parametrize("kind", KINDS)
def test_an_update_takes_the_steps_of_its_optimizer(kind, weight_decay):
    recipe = VALUES.with_params({**KINDS[kind], "weight_decay": weight_decay})
    taken = 0
    for theirs, ours in both(recipe):
        taken += 1
        for expected, got in zip(theirs, ours, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    assert taken == 10


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_takes_another_rate_from_step_to_step(kind):
    recipe = VALUES.with_params(KINDS[kind])
    for theirs, ours in both(recipe, rates=[0.1 / (1 + t) for t in range(10)]):
        for expected, got in zip(theirs, ours, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@given(
    st.fixed_dictionaries(
        {
            "optimizer": st.sampled_from(OPTIMIZERS),
            "lr": st.floats(1e-6, 1.0),
            "momentum": st.just(0.0) | st.floats(0.5, 0.999),
            "nesterov": st.booleans(),
            "beta1": st.floats(0.0, 0.99),
            "beta2": st.floats(0.5, 0.9999),
            "eps": st.floats(1e-10, 1e-2),
            "weight_decay": st.just(0.0) | st.floats(1e-6, 0.5),
        }
    )
)
def test_every_recipe_updates_as_its_optimizer_does(params):
    for theirs, ours in both(Recipe(**params)):
        for expected, got in zip(theirs, ours, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_in_single_precision_stays_close(kind):
    recipe = VALUES.with_params(KINDS[kind])
    for theirs, ours in both(recipe, dtype=torch.float32):
        for expected, got in zip(theirs, ours, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_an_update_on_a_gpu_takes_the_steps_of_its_optimizer(kind):
    recipe = VALUES.with_params(KINDS[kind])
    for theirs, ours in both(recipe, device="cuda"):
        for expected, got in zip(theirs, ours, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_updates_of_two_recipes_do_not_touch_each_other():
    one, other = (VALUES.with_params(KINDS[kind]) for kind in ("adam", "sgd"))
    alone = [ours for _, ours in both(one)][-1]
    pairs = list(zip(both(one), both(other), strict=True))
    (_, beside), _ = pairs[-1]
    assert all(a.equal(b) for a, b in zip(alone, beside, strict=True))


# --- Schedules ----------------------------------------------------------------------


@given(decays, epochs, st.integers(1, 500))
def test_a_schedule_is_its_formula(decay, t, horizon):
    def factor(name):
        return lr_factor(name, decay, t, horizon)

    assert factor("constant") == 1.0
    assert factor("inverse") == pytest.approx(1 / (1 + decay * t))
    assert factor("exponential") == pytest.approx(math.exp(-decay * t))
    assert factor("cosine") == pytest.approx(
        (1 + math.cos(math.pi * min(1, t / horizon))) / 2, abs=1e-12
    )


@given(st.sampled_from(SCHEDULES), decays, st.integers(1, 200))
def test_a_schedule_starts_at_one_never_rises_and_stays_above_zero(
    name, decay, horizon
):
    factors = [lr_factor(name, decay, t, horizon) for t in range(horizon)]
    assert factors[0] == 1.0
    assert all(a >= b > 0 for a, b in itertools.pairwise(factors))


@given(st.floats(1e-6, 1e-3))
def test_inverse_and_exponential_start_with_the_same_relative_decay(decay):
    for name in ("inverse", "exponential"):
        fallen = 1 - lr_factor(name, decay, 1, 10)
        assert fallen / decay == pytest.approx(1.0, rel=2 * decay)
    # From then on the exponential falls faster.
    assert lr_factor("exponential", decay, 9, 10) < lr_factor("inverse", decay, 9, 10)


@given(decays, epochs)
def test_step_halves_when_the_exponential_has_halved(decay, t):
    step, smooth = (lr_factor(name, decay, t, 10) for name in ("step", "exponential"))
    # A power of two, until no double is as small.
    assert step == 0.0 or math.frexp(step)[0] == 0.5
    assert smooth * (1 - 1e-6) <= step <= 2 * smooth * (1 + 1e-6)


@pytest.mark.parametrize("every", [1, 2, 3, 7, 10])
def test_a_step_that_falls_on_an_epoch_is_taken_in_that_epoch(every):
    decay = math.log(2) / every
    for t in range(60):
        assert lr_factor("step", decay, t, 10) == 0.5 ** (t // every)


def test_cosine_reaches_half_in_the_middle_and_zero_at_its_horizon():
    assert lr_factor("cosine", 0.0, 5, 10) == pytest.approx(0.5)
    assert lr_factor("cosine", 0.0, 10, 10) == 0.0
    assert lr_factor("cosine", 0.0, 25, 10) == 0.0
    assert lr_factor("cosine", 0.0, 9, 10) > 0.02


def test_without_decay_every_schedule_but_cosine_is_constant():
    for name in SCHEDULES:
        if name != "cosine":
            assert {lr_factor(name, 0.0, t, 10) for t in range(20)} == {1.0}


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match='unknown schedule "linear"'):
        lr_factor("linear", 0.1, 0, 10)
