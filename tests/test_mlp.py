"""The network: batch norm by its formulas, dropout by its counter, softmax."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tunekit.errors import ConfigError
from tunekit.mlp import MLP, Dropout
from tunekit.seeds import keep_mask
from tunekit.sizes import hidden_widths, parameter_count
from tunekit.trial import ACTIVATIONS, SHAPES, Recipe

EPS, MOMENTUM = 1e-5, 0.1


def make(generator, n_inputs=6, n_classes=3, **options):
    options = {"n_layers": 1, "width": 5, "activation": "relu", **options}
    return MLP(n_inputs, n_classes, generator=generator, **options)


def rows(generator, n=9, n_inputs=6):
    return torch.randn(n, n_inputs, generator=generator) * 2 + 1


def modules(net, kind):
    return [module for module in net.modules() if isinstance(module, kind)]


def randomize_norms(net, generator):
    """Batch norms as training leaves them: no scale of one, no shift of zero."""
    with torch.no_grad():
        for norm in modules(net, nn.BatchNorm1d):
            norm.weight.uniform_(0.5, 2.0, generator=generator)
            norm.bias.normal_(generator=generator)
            norm.running_mean.normal_(generator=generator)
            norm.running_var.uniform_(0.5, 2.0, generator=generator)


# --- Layout -------------------------------------------------------------------------


def test_a_block_is_linear_without_bias_norm_activation_dropout(generator):
    net = make(generator, n_layers=2, activation="tanh", dropout=0.25)
    kinds = [nn.Linear, nn.BatchNorm1d, nn.Tanh, Dropout] * 2
    assert len(net.hidden) == len(kinds)
    for module, kind in zip(net.hidden, kinds, strict=True):
        assert isinstance(module, kind)
    assert [linear.bias is None for linear in modules(net, nn.Linear)] == [
        True,
        True,
        False,
    ]
    assert [d.p for d in modules(net, Dropout)] == [0.25, 0.25]
    assert [d.layer for d in modules(net, Dropout)] == [0, 1]
    assert all(norm.affine for norm in modules(net, nn.BatchNorm1d))


@pytest.mark.parametrize(
    ("n_layers", "width", "shape", "widths"),
    [
        (3, 100, "block", [100, 100, 100]),
        (4, 100, "funnel", [100, 50, 25, 13]),
        (4, 3, "funnel", [3, 2, 1, 1]),
        (1, 7, "funnel", [7]),
        (0, 7, "funnel", []),
        (0, 7, "block", []),
    ],
)
def test_the_layers_are_as_wide_as_their_shape_says(
    generator, n_layers, width, shape, widths
):
    assert hidden_widths(n_layers, width, shape) == widths
    net = make(generator, n_layers=n_layers, width=width, shape=shape)
    linear = modules(net, nn.Linear)
    assert [m.out_features for m in linear] == [*widths, 3]
    assert [m.in_features for m in linear] == [6, *widths]
    assert net(rows(generator)).shape == (9, 3)


def test_the_network_of_a_recipe_takes_its_trained_weights(generator):
    recipe = Recipe(
        n_layers=3, width=10, shape="funnel", activation="silu", dropout=0.4
    )
    trained = make(
        generator, n_layers=3, width=10, shape="funnel", activation="silu", dropout=0.4
    )
    empty = MLP.of(recipe, 6, 3)
    assert str(empty) == str(trained)
    empty.load_state_dict(trained.state_dict())
    x = rows(generator)
    assert empty.eval()(x).equal(trained.eval()(x))


@pytest.mark.parametrize("n_classes", [2, 7])
@pytest.mark.parametrize("n_inputs", [1, 6])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("n_layers", "width"), [(0, 5), (1, 5), (3, 5), (4, 3)])
def test_parameters_are_counted_without_building_the_network(
    n_layers, width, shape, n_inputs, n_classes
):
    recipe = Recipe(n_layers=n_layers, width=width, shape=shape)
    net = MLP.of(recipe, n_inputs, n_classes)
    n_parameters = sum(p.numel() for p in net.parameters())
    n_units = sum(norm.num_features for norm in modules(net, nn.BatchNorm1d))
    assert parameter_count(recipe, n_inputs, n_classes) == (n_parameters, n_units)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            {"activation": "rulu"},
            "activation must be one of relu, silu, gelu, tanh, got 'rulu'; "
            'did you mean "relu"?',
        ),
        ({"shape": "cone"}, "shape must be one of block, funnel, got 'cone'"),
    ],
)
def test_an_unknown_name_is_refused_and_not_taken_for_another(option, message):
    with pytest.raises(ConfigError) as caught:
        MLP(6, 3, **option)
    assert str(caught.value) == message


# --- Initial weights ----------------------------------------------------------------


def test_the_same_generator_gives_the_same_weights_and_another_others():
    def weights(seed):
        net = make(torch.Generator().manual_seed(seed), n_layers=2)
        return torch.cat([p.flatten() for p in net.parameters()])

    torch.manual_seed(1)
    first = weights(0)
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    assert weights(0).equal(first)
    assert not weights(1).equal(first)
    make(torch.Generator()).reset_parameters(torch.Generator().manual_seed(3))
    fresh = make(torch.Generator().manual_seed(3), n_layers=2)
    again = make(torch.Generator().manual_seed(4), n_layers=2)
    again.reset_parameters(torch.Generator().manual_seed(3))
    for a, b in zip(fresh.parameters(), again.parameters(), strict=True):
        assert a.equal(b)
    assert torch.random.get_rng_state().equal(before)


def test_weights_fill_one_over_the_root_of_the_inputs(generator):
    net = make(generator, n_inputs=100, n_layers=1, width=400)
    for linear in modules(net, nn.Linear):
        bound = 1 / math.sqrt(linear.in_features)
        weight = linear.weight
        assert abs(weight).max() <= bound
        assert abs(weight).max() > 0.98 * bound
        assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    norm = modules(net, nn.BatchNorm1d)[0]
    assert norm.weight.eq(1).all()
    assert norm.bias.eq(0).all()
    assert norm.running_mean.eq(0).all()
    assert norm.running_var.eq(1).all()


# --- Batch norm by hand -------------------------------------------------------------


def by_hand(net, x, mean, var):
    """One hidden layer from the formulas; ``var`` is what normalizes."""
    linear, norm = net.hidden[0], net.hidden[1]
    z = x @ linear.weight.T
    z_hat = (z - mean) / torch.sqrt(var + EPS)
    hidden = torch.relu(norm.weight * z_hat + norm.bias)
    return hidden @ net.output.weight.T + net.output.bias


def test_training_normalizes_by_the_batchs_mean_and_its_variance_over_m(generator):
    net = make(generator).double().train()
    randomize_norms(net, generator)
    x = rows(generator).double()
    z = x @ net.hidden[0].weight.T
    mean = z.sum(0) / len(x)
    var = ((z - mean) ** 2).sum(0) / len(x)
    torch.testing.assert_close(
        net(x), by_hand(net, x, mean, var), rtol=1e-12, atol=1e-12
    )
    # Dividing by m - 1 would show.
    unbiased = by_hand(net, x, mean, var * len(x) / (len(x) - 1))
    assert abs(net(x) - unbiased).max() > 1e-3


def test_running_averages_follow_the_mean_and_the_variance_over_m_minus_1(generator):
    net = make(generator).double().train()
    norm = net.hidden[1]
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    for _ in range(3):
        x = rows(generator).double()
        z = x @ net.hidden[0].weight.T
        mean = (1 - MOMENTUM) * mean + MOMENTUM * z.mean(0)
        var = (1 - MOMENTUM) * var + MOMENTUM * z.var(0, unbiased=True)
        net(x)
        torch.testing.assert_close(norm.running_mean, mean, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(norm.running_var, var, rtol=1e-12, atol=1e-14)


def test_evaluation_normalizes_by_the_running_averages_and_leaves_them(generator):
    net = make(generator, dropout=0.5).double().eval()
    randomize_norms(net, generator)
    norm = net.hidden[1]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x = rows(generator).double()
    expected = by_hand(net, x, norm.running_mean, norm.running_var)
    torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-12)
    assert all(value.equal(before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("activation", ["silu", "gelu", "tanh"])
def test_every_gradient_agrees_with_finite_differences(generator, activation):
    """Gamma and beta among them, through the batch's own mean and variance."""
    net = make(generator, n_layers=2, activation=activation).double().train()
    randomize_norms(net, generator)
    x, y = rows(generator).double(), torch.arange(9) % 3

    def loss():
        return F.cross_entropy(net(x), y)

    loss().backward()
    checked = set()
    for name, parameter in net.named_parameters():
        checked.add(name)
        numeric = torch.zeros_like(parameter)
        flat, out = parameter.data.view(-1), numeric.view(-1)
        for i in range(len(flat)):
            kept, step = flat[i].item(), 1e-6
            flat[i] = kept + step
            above = loss().item()
            flat[i] = kept - step
            below = loss().item()
            flat[i] = kept
            out[i] = (above - below) / (2 * step)
        torch.testing.assert_close(parameter.grad, numeric, rtol=1e-5, atol=1e-8)
        assert abs(parameter.grad).max() > 1e-4, name
    assert {"hidden.1.weight", "hidden.1.bias", "hidden.5.weight"} <= checked


def test_the_gradients_of_gamma_and_beta_are_the_notes_sums(generator):
    net = make(generator).double().train()
    randomize_norms(net, generator)
    x, y = rows(generator).double(), torch.arange(9) % 3
    linear, norm = net.hidden[0], net.hidden[1]
    F.cross_entropy(net(x), y).backward()
    with torch.no_grad():
        z = x @ linear.weight.T
        z_hat = (z - z.mean(0)) / torch.sqrt(z.var(0, unbiased=False) + EPS)
        z_tilde = norm.weight * z_hat + norm.bias
        proba = net.predict_proba(x)
        of_logits = (proba - F.one_hot(y, 3)) / len(x)
        of_z_tilde = (of_logits @ net.output.weight) * (z_tilde > 0)
        torch.testing.assert_close(norm.weight.grad, (of_z_tilde * z_hat).sum(0))
        torch.testing.assert_close(norm.bias.grad, of_z_tilde.sum(0))


# --- Prediction ---------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_one_row_at_a_time_predicts_the_same_as_a_batch(generator, activation, shape):
    net = make(
        generator, n_layers=3, width=8, activation=activation, shape=shape, dropout=0.5
    ).eval()
    randomize_norms(net, generator)
    x = rows(generator, n=20)
    alone = torch.cat([net.predict_proba(row[None]) for row in x])
    torch.testing.assert_close(alone, net.predict_proba(x), rtol=1e-6, atol=1e-7)


def test_probabilities_sum_to_one_also_for_extreme_logits(generator):
    net = make(generator).eval()
    with torch.no_grad():
        net.output.weight *= 1e6
    proba = net.predict_proba(rows(generator))
    assert proba.isfinite().all()
    torch.testing.assert_close(proba.sum(1), torch.ones(9))


def test_without_hidden_layers_it_is_softmax_regression(generator):
    net = make(generator, n_layers=0, dropout=0.5).train()
    x = rows(generator)
    assert [name for name, _ in net.named_parameters()] == [
        "output.weight",
        "output.bias",
    ]
    expected = torch.softmax(x @ net.output.weight.T + net.output.bias, 1)
    torch.testing.assert_close(net.predict_proba(x), expected)


def test_softmax_over_two_classes_is_logistic_regression(generator):
    net = make(generator, n_classes=2, n_layers=0).double()
    x, y = rows(generator).double(), torch.arange(9) % 2
    weight = (net.output.weight[1] - net.output.weight[0]).detach().requires_grad_()
    bias = (net.output.bias[1] - net.output.bias[0]).detach().requires_grad_()
    logit = x @ weight + bias
    torch.testing.assert_close(net.predict_proba(x)[:, 1], torch.sigmoid(logit))
    ours = F.cross_entropy(net(x), y)
    theirs = F.binary_cross_entropy_with_logits(logit, y.double())
    torch.testing.assert_close(ours, theirs)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(net.output.weight.grad[1], weight.grad)
    torch.testing.assert_close(net.output.weight.grad[0], -weight.grad)
    torch.testing.assert_close(
        net.output.bias.grad, torch.stack([-bias.grad, bias.grad])
    )


# --- Dropout ------------------------------------------------------------------------


def test_dropout_keeps_the_mean_and_zeroes_what_its_mask_leaves_out():
    layer = Dropout(0.25, key=7, layer=2)
    x = torch.rand(400, 50) + 1
    for step in range(2):
        keep = keep_mask(7, 0, step, 2, (400, 50), 0.25)
        out = layer(x)
        torch.testing.assert_close(out, torch.where(keep, x / 0.75, 0.0))
        assert out.mean().item() == pytest.approx(x.mean().item(), rel=0.02)


def test_dropout_in_evaluation_changes_nothing_and_counts_nothing():
    layer = Dropout(0.5, key=7, layer=0).eval()
    x = torch.rand(4, 3)
    assert layer(x) is x
    assert (layer.epoch, layer.step) == (0, 0)


def test_dropout_can_be_resumed_at_any_step_and_leaves_the_global_stream(generator):
    net = make(generator, n_layers=2, width=32, dropout=0.5).train()
    x = rows(generator)
    before = torch.random.get_rng_state()
    passes = [net(x) for _ in range(3)]
    assert not passes[0].equal(passes[1])
    net.set_step(0, 1)
    assert net(x).equal(passes[1])
    assert net(x).equal(passes[2])
    assert torch.random.get_rng_state().equal(before)


def test_every_epoch_and_every_layer_has_masks_of_its_own():
    layers = [Dropout(0.5, key=7, layer=layer) for layer in range(2)]
    net = nn.Sequential(*layers)
    x = torch.ones(20, 30)
    seen = set()
    for epoch in range(3):
        for step in range(2):
            for layer in layers:
                layer.epoch, layer.step = epoch, step
                keep = keep_mask(7, epoch, step, layer.layer, (20, 30), 0.5)
                assert layer(x).equal(keep * 2.0)
                seen.add(keep.numpy().tobytes())
    assert len(seen) == 12
    assert [m.step for m in net] == [2, 2]


def test_set_step_reaches_every_layer(generator):
    net = make(generator, n_layers=3, dropout=0.5)
    net.set_step(4, 9)
    assert [(d.epoch, d.step) for d in modules(net, Dropout)] == [(4, 9)] * 3


def test_the_gradient_of_dropout_passes_only_kept_units():
    layer = Dropout(0.5, key=3, layer=0)
    x = torch.ones(10, 10, requires_grad=True)
    layer(x).sum().backward()
    keep = keep_mask(3, 0, 0, 0, (10, 10), 0.5)
    torch.testing.assert_close(x.grad, keep.float() * 2)
