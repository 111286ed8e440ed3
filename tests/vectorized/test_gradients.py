"""The formulas, written out once more in NumPy: forward, batch norm, gradients, steps.

The loss below shares nothing with either engine but the dropout mask. Its finite
differences are what gradients must be.
"""

import math

import numpy as np
import pytest
import torch

from tunekit.module import lit_mlp
from tunekit.seeds import keep_mask, seed_for, torch_generator
from tunekit.trial import ACTIVATIONS, Recipe, Run
from tunekit.vectorized.member import Member
from tunekit.vectorized.stack import Rows, Stack

from .conftest import N_CLASSES, table_of

N_INPUTS = 5
TABLE = table_of(40, 10, N_INPUTS)
EPS = 1e-5

erf = np.vectorize(math.erf)
ACTIVATION = {
    "relu": lambda y: np.maximum(y, 0),
    "silu": lambda y: y / (1 + np.exp(-y)),
    "gelu": lambda y: y * (1 + erf(y / math.sqrt(2))) / 2,
    "tanh": np.tanh,
}


def rows_in_order(run):
    """The rows of the first epoch as it sees them."""
    order = torch.randperm(
        40, generator=torch_generator(run.seed, run.key, "batches", 0)
    ).numpy()
    return TABLE[0][order], TABLE[1][order]


def batch_norm(z, gamma, beta):
    """The notes' formulas: mu, sigma^2 with 1/m, z_norm, gamma z_norm + beta."""
    m = len(z)
    mu = z.sum(0) / m
    sigma2 = ((z - mu) ** 2).sum(0) / m
    return gamma * (z - mu) / np.sqrt(sigma2 + EPS) + beta, mu, sigma2


def loss_of(net, x, y, run, step=0):
    """Mean smoothed cross-entropy of a mini-batch; batch norms' mu and sigma^2."""
    recipe, key = run.recipe, seed_for(run.seed, run.key, "dropout")
    a, moments = x, []
    for layer in range(recipe.n_layers):
        z = a @ net[f"hidden.{4 * layer}.weight"].T
        norm = f"hidden.{4 * layer + 1}"
        h, mu, sigma2 = batch_norm(z, net[norm + ".weight"], net[norm + ".bias"])
        moments.append((mu, sigma2))
        kept = keep_mask(key, 0, step, layer, z.shape, recipe.dropout).numpy()
        a = ACTIVATION[recipe.activation](h) * kept / (1 - recipe.dropout)
    logits = a @ net["output.weight"].T + net["output.bias"]
    logits = logits - logits.max(1, keepdims=True)
    logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    target = (1 - recipe.label_smoothing) * np.eye(N_CLASSES)[y]
    target += recipe.label_smoothing / N_CLASSES
    return -(target * logp).sum(1).mean(), moments


def differences(net, x, y, run):
    """Central differences of the loss by every entry of every parameter."""
    found = {}
    for name, value in net.items():
        if "running" in name or "batches" in name:
            continue
        found[name] = np.zeros(value.shape)
        for i in np.ndindex(value.shape):
            kept, h = value[i], 1e-5
            value[i] = kept + h
            above = loss_of(net, x, y, run)[0]
            value[i] = kept - h
            below = loss_of(net, x, y, run)[0]
            value[i] = kept
            found[name][i] = (above - below) / (2 * h)
    return found


RUNS = [
    Run(
        recipe=Recipe(
            activation=activation,
            n_layers=n_layers,
            width=6,
            shape=("block", "funnel")[i % 2],
            dropout=(0.3, 0.0, 0.5)[i % 3],
            label_smoothing=(0.0, 0.2)[i % 2],
            batch_size=40,
            optimizer="sgd",
            lr=0.0,
            weight_decay=0.0,
        ),
        max_epochs=2,
        patience=9,
        seed=1,
        key=f"trial-{i}",
    )
    for i, (activation, n_layers) in enumerate(
        [(a, n) for n in (1, 3) for a in ACTIVATIONS] + [("relu", 0)]
    )
]


def member_of(run):
    """An open run whose gains and shifts are no longer ones and zeros."""
    x = torch.as_tensor(TABLE[0])
    member = Member(run, N_INPUTS, N_CLASSES, x, None)
    rng = np.random.default_rng(7)
    for name in member.parameters:
        if member.net[name].dim() == 1:
            shift = torch.from_numpy(rng.normal(0, 0.4, member.net[name].shape))
            member.net[name] = member.net[name] + shift
    return member


def numbers(net):
    return {name: value.detach().numpy().copy() for name, value in net.items()}


@pytest.fixture(scope="module")
def expected():
    """For each run: its network, the gradient's differences, the moments, the loss."""
    found = {}
    for run in RUNS:
        net, (x, y) = numbers(member_of(run).net), rows_in_order(run)
        loss, moments = loss_of(net, x, y, run)
        found[run.key] = (net, differences(net, x, y, run), moments, loss)
    return found


def stack_of_all():
    rows = Rows(*(torch.as_tensor(each) for each in TABLE[:4]), N_CLASSES)
    return Stack([member_of(run) for run in RUNS], rows)


@pytest.fixture(scope="module")
def stack():
    """All runs after one step of all rows, at a learning rate of zero."""
    stack = stack_of_all()
    stack.losses = [metrics.train_loss for metrics in stack.epoch()]
    return stack


def assert_right(gradients, net, loss, case):
    """Gradients, running averages and loss are those that NumPy finds."""
    before, by_differences, moments, right_loss = case
    assert loss == pytest.approx(right_loss, rel=1e-12)
    assert set(gradients) == set(by_differences)
    for name, gradient in gradients.items():
        gap = np.abs(gradient.numpy() - by_differences[name]).max()
        assert gap < 1e-8, name
        assert np.abs(gradient.numpy()).max() > 1e-4, name
    m = 40
    for layer, (mu, sigma2) in enumerate(moments):
        name = f"hidden.{4 * layer + 1}.running_"
        mean = 0.9 * before[name + "mean"] + 0.1 * mu
        var = 0.9 * before[name + "var"] + 0.1 * sigma2 * m / (m - 1)
        assert net[name + "mean"].numpy() == pytest.approx(mean, rel=1e-10)
        assert net[name + "var"].numpy() == pytest.approx(var, rel=1e-10)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.key)
def test_the_vectorized_gradients_are_the_differences_of_the_loss(run, stack, expected):
    k = [member.run for member in stack.members].index(run)
    gradients = {
        name: value
        for name, value in stack._memory.grads[k].items()
        if "running" not in name
    }
    assert_right(gradients, stack._memory.nets[k], stack.losses[k], expected[run.key])


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.key)
def test_lightnings_gradients_are_the_differences_of_the_loss(run, expected):
    recipe = run.recipe.as_dict()
    del recipe["batch_size"]
    module = lit_mlp("pytorch_lightning")(
        N_INPUTS, N_CLASSES, **recipe, seed=run.seed, key=run.key
    ).double()
    module.net.load_state_dict(member_of(run).net, strict=False)
    x, y = (torch.from_numpy(each) for each in rows_in_order(run))
    loss = module.training_step((x, y), 0)
    loss.backward()
    gradients = {name: p.grad for name, p in module.net.named_parameters()}
    assert_right(gradients, module.net.state_dict(), loss.item(), expected[run.key])


def test_running_averages_are_what_rows_are_normalized_with_afterwards():
    """Evaluation: (z - mean) / sqrt(var + eps) with the averages, and no dropout."""
    x, y = TABLE[2], TABLE[3]
    stack = stack_of_all()
    for member, each in zip(stack.members, stack.epoch(), strict=True):
        net, recipe, a = numbers(member.net), member.run.recipe, x
        for layer in range(recipe.n_layers):
            z = a @ net[f"hidden.{4 * layer}.weight"].T
            norm = f"hidden.{4 * layer + 1}."
            z = (z - net[norm + "running_mean"]) / np.sqrt(
                net[norm + "running_var"] + EPS
            )
            a = ACTIVATION[recipe.activation](
                net[norm + "weight"] * z + net[norm + "bias"]
            )
        logits = a @ net["output.weight"].T + net["output.bias"]
        logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        assert each.val_loss == pytest.approx(-logp[np.arange(10), y].mean(), rel=1e-12)
        assert each.val_score == pytest.approx((logits.argmax(1) == y).mean())
