"""The Lightning engine: repeatable, polite, quiet, and right about its best epoch."""

import contextlib
import logging
import math
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tunekit.errors import ConfigError
from tunekit.feed import train_together
from tunekit.fit import LightningEngine
from tunekit.mlp import MLP
from tunekit.optim import lr_factor
from tunekit.trial import OPTIMIZERS, SCHEDULES, Recipe, Run

RECIPE = Recipe(n_layers=1, width=12, batch_size=32, lr=0.02, dropout=0.2)


def go_on(epoch, metrics):
    return True


def run_of(recipe=RECIPE, **options):
    options = {
        "max_epochs": 3,
        "patience": 100,
        "seed": 0,
        "key": "trial-7",
        **options,
    }
    return Run(recipe=recipe, **options)


@pytest.fixture
def engine(table):
    return LightningEngine(*table, n_classes=3, accelerator="cpu")


def figures(fitted):
    """The curve without the wall time."""
    return [
        (m.train_loss, m.val_loss, m.train_score, m.val_score, m.lr)
        for m in fitted.curve
    ]


def network(fitted, recipe=RECIPE):
    net = MLP.of(recipe, 5, 3)
    net.load_state_dict(fitted.weights)
    return net.eval()


def val_loss(net, table):
    with torch.no_grad():
        logits = net(torch.tensor(table.x_valid))
    return F.cross_entropy(logits, torch.tensor(table.y_valid)).item()


# --- Equality -----------------------------------------------------------------------


def test_the_same_run_twice_is_equal_to_the_bit(engine, table):
    first = engine.train(run_of(), go_on)
    torch.manual_seed(99)
    engine.train(run_of(key="trial-8"), go_on)
    other = LightningEngine(*table, n_classes=3, accelerator="cpu")
    for again in (engine.train(run_of(), go_on), other.train(run_of(), go_on)):
        assert figures(again) == figures(first)
        assert again.best_epoch == first.best_epoch
        assert all(again.weights[k].equal(v) for k, v in first.weights.items())


@pytest.mark.parametrize("change", [{"key": "trial-8"}, {"seed": 1}])
def test_another_key_or_seed_is_another_run(engine, change):
    assert figures(engine.train(run_of(), go_on)) != figures(
        engine.train(run_of(**change), go_on)
    )


def test_training_touches_no_global_random_stream(engine):
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1]
    engine.train(run_of(), go_on)
    assert torch.random.get_rng_state().equal(torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()


def test_several_runs_are_trained_one_after_the_other_each_as_if_alone(engine):
    runs = [
        run_of(key="trial-3"),
        run_of(RECIPE.with_params({"width": 5}), key="trial-4", max_epochs=2),
        run_of(key="trial-5", patience=1),
    ]
    heard = []
    fits = train_together(
        engine, runs, lambda each: heard.append((each.run.key, each.epoch)) is None
    )
    assert heard == [
        (run.key, epoch)
        for run, fitted in zip(runs, fits, strict=True)
        for epoch in range(1, len(fitted.curve) + 1)
    ]
    for run, fitted in zip(runs, fits, strict=True):
        alone = engine.train(run, go_on)
        assert figures(fitted) == figures(alone)
        assert all(fitted.weights[k].equal(v) for k, v in alone.weights.items())


def test_what_reached_says_changes_nothing_of_a_training(engine):
    first = engine.train(run_of(), go_on)
    assert figures(engine.train(run_of(reached=2), go_on)) == figures(first)


def test_closing_it_twice_is_fine_and_it_still_trains(engine):
    engine.close()
    engine.close()
    assert len(engine.train(run_of(), go_on).curve) == 3


def test_double_precision_in_double_precision_throughout(engine, table):
    wide = table._replace(
        x_train=table.x_train.astype(np.float64),
        x_valid=table.x_valid.astype(np.float64),
    )
    fitted = LightningEngine(*wide, n_classes=3, accelerator="cpu").train(
        run_of(), go_on
    )
    floats = [v for v in fitted.weights.values() if v.is_floating_point()]
    assert floats
    assert {v.dtype for v in floats} == {torch.float64}
    single = engine.train(run_of(), go_on)
    assert {v.dtype for v in single.weights.values() if v.is_floating_point()} == {
        torch.float32
    }
    # The same initial weights, batches and masks: the same but for rounding.
    assert figures(fitted) != figures(single)
    assert np.array(figures(fitted)) == pytest.approx(
        np.array(figures(single)), rel=1e-3
    )


# --- The curve ----------------------------------------------------------------------


def test_every_epoch_is_told_once_in_order_with_what_the_curve_holds(engine):
    told = []

    def on_epoch(epoch, metrics):
        told.append((epoch, metrics))
        return True

    fitted = engine.train(run_of(max_epochs=5), on_epoch)
    assert [epoch for epoch, _ in told] == [1, 2, 3, 4, 5]
    assert [metrics for _, metrics in told] == fitted.curve
    for metrics in fitted.curve:
        assert metrics.seconds > 0
        assert 0 <= metrics.train_score <= 1
        assert 0 <= metrics.val_score <= 1


def test_it_learns(engine):
    fitted = engine.train(run_of(max_epochs=15), go_on)
    assert fitted.best.val_score > 0.8
    assert fitted.best.val_loss < 0.6 * fitted.curve[0].val_loss
    assert not fitted.diverged


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_rate_told_is_the_rate_that_the_epoch_was_trained_with(engine, schedule):
    recipe = RECIPE.with_params({"schedule": schedule, "lr_decay": 0.5})
    fitted = engine.train(run_of(recipe, max_epochs=4), go_on)
    assert [m.lr for m in fitted.curve] == pytest.approx(
        [0.02 * lr_factor(schedule, 0.5, t, 4) for t in range(4)]
    )


def test_the_best_weights_are_those_of_the_best_epoch(table):
    """Validation rows of wrong classes: the more is learnt, the higher their loss."""
    table = table._replace(y_valid=np.roll(table.y_valid, 1))
    engine = LightningEngine(*table, n_classes=3, accelerator="cpu")
    fitted = engine.train(run_of(max_epochs=8), go_on)
    losses = [m.val_loss for m in fitted.curve]
    assert fitted.best_epoch == 1 + losses.index(min(losses))
    assert fitted.best_epoch < 8
    assert fitted.best == fitted.curve[fitted.best_epoch - 1]
    again = val_loss(network(fitted), table)
    assert again == pytest.approx(fitted.best.val_loss, rel=1e-5)
    assert again != pytest.approx(losses[-1], rel=1e-3)


def test_the_weights_of_every_first_epochs_are_reevaluated_to_their_losses(
    engine, table
):
    """Batch norm's running averages belong to the weights; smoothing does not."""
    recipe = RECIPE.with_params({"label_smoothing": 0.2})
    for stop_at in (1, 2, 3):
        fitted = engine.train(
            run_of(recipe, max_epochs=6), lambda epoch, _, at=stop_at: epoch < at
        )
        net = network(fitted, recipe)
        assert val_loss(net, table) == pytest.approx(fitted.best.val_loss, rel=1e-5)
        score = (
            net(torch.tensor(table.x_valid)).argmax(1).numpy() == table.y_valid
        ).mean()
        assert score == pytest.approx(fitted.best.val_score)
        assert all(v.device.type == "cpu" for v in fitted.weights.values())


def test_weights_do_not_change_after_they_were_handed_over(engine):
    fitted = engine.train(run_of(), go_on)
    before = {name: value.clone() for name, value in fitted.weights.items()}
    engine.train(run_of(max_epochs=5), go_on)
    assert all(fitted.weights[name].equal(value) for name, value in before.items())
    assert not any(value.requires_grad for value in fitted.weights.values())


# --- How it ends --------------------------------------------------------------------


@pytest.mark.parametrize("last", [1, 2, 4])
def test_a_no_ends_training_after_that_epoch_and_changes_nothing_before(engine, last):
    whole = engine.train(run_of(max_epochs=5), go_on)
    cut = engine.train(run_of(max_epochs=5), lambda epoch, _: epoch < last)
    assert len(cut.curve) == last
    assert figures(cut) == figures(whole)[:last]
    assert not cut.diverged


def test_patience_counts_epochs_since_the_best(engine, table):
    recipe = RECIPE.with_params(
        {"optimizer": "sgd", "lr": 2.0, "schedule": "constant", "n_layers": 0}
    )
    whole = [
        m.val_loss for m in engine.train(run_of(recipe, max_epochs=30), go_on).curve
    ]
    for patience in (1, 2, 5):
        fitted = engine.train(run_of(recipe, max_epochs=30, patience=patience), go_on)
        best, since, expected = math.inf, 0, 0
        for loss in whole:
            expected += 1
            best, since = (loss, 0) if loss < best else (best, since + 1)
            if since >= patience:
                break
        assert len(fitted.curve) == expected < 30
        assert [m.val_loss for m in fitted.curve] == whole[:expected]


def test_a_diverging_run_ends_as_diverged_without_an_exception(engine):
    recipe = RECIPE.with_params(
        {"optimizer": "sgd", "lr": 1e6, "weight_decay": 0.1, "schedule": "constant"}
    )
    told = []
    fitted = engine.train(
        run_of(recipe, max_epochs=50), lambda epoch, m: told.append(m) or True
    )
    assert fitted.diverged
    assert len(fitted.curve) == len(told) < 50
    last = fitted.curve[-1]
    assert not (math.isfinite(last.train_loss) and math.isfinite(last.val_loss))
    assert all(math.isfinite(m.val_loss) for m in fitted.curve[:-1])
    if fitted.best_epoch:
        assert all(value.isfinite().all() for value in fitted.weights.values())


def test_a_run_that_diverges_at_once_has_no_best_epoch(table):
    broken = table.x_train.copy()
    broken[0, 0] = np.nan
    engine = LightningEngine(broken, *table[1:], n_classes=3, accelerator="cpu")
    fitted = engine.train(run_of(), go_on)
    assert fitted.diverged
    assert (fitted.best_epoch, fitted.weights, len(fitted.curve)) == (0, {}, 1)


def test_an_error_in_the_callback_reaches_the_caller(engine):
    def on_epoch(epoch, metrics):
        raise RuntimeError("no space left on device")

    with pytest.raises(RuntimeError, match="no space left on device"):
        engine.train(run_of(), on_epoch)


def test_ctrl_c_stays_ctrl_c(engine):
    """Lightning makes it ``sys.exit``, which would pass for a failed command."""

    def on_epoch(epoch, metrics):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.train(run_of(), on_epoch)
    assert len(engine.train(run_of(), go_on).curve) == 3


# --- Small tables ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_rows", "batch_size"), [(33, 32), (5, 4), (20, 64), (2, 256), (3, 2)]
)
def test_small_tables_and_tails_of_one_row_train(table, n_rows, batch_size):
    engine = LightningEngine(
        table.x_train[:n_rows],
        table.y_train[:n_rows],
        table.x_valid,
        table.y_valid,
        n_classes=3,
        accelerator="cpu",
    )
    recipe = RECIPE.with_params({"batch_size": batch_size})
    fitted = engine.train(run_of(recipe), go_on)
    assert len(fitted.curve) == 3
    assert not fitted.diverged
    assert fitted.best_epoch > 0


# --- Every recipe, no noise ---------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_with_every_schedule_trains_without_warnings(
    engine, optimizer, schedule
):
    recipe = RECIPE.with_params({"optimizer": optimizer, "schedule": schedule})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = engine.train(run_of(recipe, max_epochs=1), go_on)
    assert len(fitted.curve) == 1
    assert math.isfinite(fitted.best.val_loss)


@pytest.mark.parametrize(
    "params",
    [
        {"n_layers": 0},
        {"n_layers": 4, "shape": "funnel", "width": 3},
        {"activation": "silu"},
        {"activation": "gelu"},
        {"activation": "tanh", "dropout": 0.9},
        {"label_smoothing": 0.3, "dropout": 0.0},
        {"optimizer": "sgd", "momentum": 0.0},
        {"weight_decay": 0.0},
    ],
    ids=str,
)
def test_every_kind_of_network_trains(engine, params):
    recipe = RECIPE.with_params(params)
    fitted = engine.train(run_of(recipe, max_epochs=2), go_on)
    assert len(fitted.curve) == 2
    assert network(fitted, recipe)(torch.zeros(1, 5)).shape == (1, 3)


@contextlib.contextmanager
def unchanged(*states):
    before = [state() for state in states]
    yield
    assert [state() for state in states] == before


def test_training_leaves_no_files_no_threads_and_no_word(
    table, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)

    def levels():
        names = ("", "pytorch_lightning", "lightning", "lightning.pytorch")
        return [logging.getLogger(name).level for name in names]

    with unchanged(threading.enumerate, levels, lambda: [*warnings.filters]):
        engine = LightningEngine(*table, n_classes=3, accelerator="cpu")
        engine.train(run_of(), go_on)
        engine.train(run_of(), lambda epoch, _: False)
        with pytest.raises(ZeroDivisionError):
            engine.train(run_of(), lambda epoch, _: 1 / 0)
    assert list(Path().iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_the_number_of_threads_is_as_it_was_after_training(table):
    """One run must not decide how many threads the rest of a program has."""
    torch.set_num_threads(2)
    engine = LightningEngine(*table, n_classes=3, accelerator="cpu")
    during = []

    def on_epoch(epoch, metrics):
        during.append(torch.get_num_threads())
        return True

    engine.train(run_of(max_epochs=1), on_epoch)
    assert during == [1]
    assert torch.get_num_threads() == 2
    with pytest.raises(ZeroDivisionError):
        engine.train(run_of(), lambda epoch, _: 1 / 0)
    assert torch.get_num_threads() == 2
    wide = RECIPE.with_params({"width": 2000, "n_layers": 2, "batch_size": 120})
    during.clear()
    engine.train(run_of(wide, max_epochs=1), on_epoch)
    assert during == [2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_gpu_without_one_says_what_to_do(table):
    with pytest.raises(ConfigError) as caught:
        LightningEngine(*table, n_classes=3, accelerator="gpu")
    assert (
        str(caught.value)
        == "accelerator gpu needs a CUDA device, got none; use --accelerator cpu"
    )
    assert LightningEngine(*table, n_classes=3).accelerator == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_curve_of_the_cpu_up_to_rounding(engine, table):
    cpu = engine.train(run_of(), go_on)
    gpu = LightningEngine(*table, n_classes=3, accelerator="gpu").train(run_of(), go_on)
    losses = [m.val_loss for m in cpu.curve]
    assert [m.val_loss for m in gpu.curve] == pytest.approx(losses, rel=1e-3)
    assert all(value.device.type == "cpu" for value in gpu.weights.values())
