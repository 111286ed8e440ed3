"""Both engines train the same: curves, best epoch, final weights, moments."""

import itertools

import numpy as np
import pytest
import torch

import tunekit.fit
from tunekit.fit import LightningEngine
from tunekit.module import lit_mlp
from tunekit.trial import Recipe, Run

from .conftest import (
    FACTORS,
    RUNS,
    WIDE,
    assert_close,
    assert_same,
    figures,
    pairs,
    runs_of,
    shard_of,
    table_of,
    train_here,
)

_MOMENTS = {
    "sgd": ("momentum_buffer", None),
    "rmsprop": (None, "square_avg"),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
}


@pytest.fixture(scope="module")
def together():
    """All runs trained in one shard."""
    shard = shard_of(WIDE)
    for run in RUNS:
        shard.open(run)
    train_here(shard, [run.key for run in RUNS])
    return shard


@pytest.fixture(scope="module")
def lightning():
    return LightningEngine(*WIDE, "cpu", threads=1)


@pytest.fixture
def modules(monkeypatch):
    """The modules that the Lightning engine trains from now on."""
    found = []

    def spy(package):
        def build(*args, **options):
            found.append(lit_mlp(package)(*args, **options))
            return found[-1]

        return build

    monkeypatch.setattr(tunekit.fit, "lit_mlp", spy)
    return found


def go_on(epoch, metrics):
    return True


def test_the_list_holds_every_two_values():
    seen = set().union(
        *(pairs({f: getattr(run.recipe, f) for f in FACTORS}) for run in RUNS)
    )
    for a, b in itertools.combinations(FACTORS, 2):
        for x, y in itertools.product(FACTORS[a], FACTORS[b]):
            assert ((a, x), (b, y)) in seen
    assert len(RUNS) < 60


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.key)
def test_five_epochs_are_the_same_in_both_engines(together, lightning, modules, run):
    expected = lightning.train(run, go_on)
    assert len(expected.curve) == 5
    assert expected.best_epoch > 0
    assert next(iter(expected.weights.values())).dtype == torch.float64
    assert_same(together.fitted(run.key), expected, rel=1e-7)

    state = together.save(run.key)
    (module,) = modules
    final = module.net.state_dict()
    assert set(final) == {n[4:] for n in state.tensors if n.startswith("net.")}
    for name, value in final.items():
        assert_close(state.tensors[f"net.{name}"], value, 1e-7, name)
    (optimizer,) = module.trainer.optimizers
    for name, parameter in module.net.named_parameters():
        for part, key in zip(
            ("first", "second"), _MOMENTS[run.recipe.optimizer], strict=True
        ):
            moment = optimizer.state[parameter].get(key) if key else None
            if moment is not None:
                assert_close(state.tensors[f"{part}.{name}"], moment, 1e-7, name)


def test_both_engines_end_with_the_same_best_epoch_before_the_last():
    """Wrong classes to validate on: the more is learnt, the higher their loss."""
    x, y, x_valid, y_valid, n_classes = WIDE
    table = (x, y, x_valid, np.roll(y_valid, 1), n_classes)
    recipe = Recipe(lr=0.02, width=16, n_layers=1)
    run = Run(recipe=recipe, max_epochs=9, patience=3, seed=0, key="trial-0")
    expected = LightningEngine(*table, "cpu", threads=1).train(run, go_on)
    assert expected.best_epoch < len(expected.curve) < 9
    shard = shard_of(table)
    shard.open(run)
    train_here(shard, [run.key])
    assert_same(shard.fitted(run.key), expected, rel=1e-7)


def test_the_first_epoch_is_the_same_in_single_precision():
    table = table_of(203, 77, 9, np.float32)
    engine = LightningEngine(*table, "cpu", threads=1)
    shard = shard_of(table)
    for run in RUNS:
        shard.open(run)
    train_here(shard, [run.key for run in RUNS], epochs=1)
    for run in RUNS[::2]:
        expected = engine.train(run, lambda epoch, metrics: False)
        found = shard.fitted(run.key)
        assert found.best_epoch == expected.best_epoch == 1
        a, b = figures(found.curve)[0], figures(expected.curve)[0]
        assert a[[0, 1, 4]] == pytest.approx(b[[0, 1, 4]], rel=1e-3)
        # A row between two classes may fall to either.
        assert np.abs(a[2:4] - b[2:4]).max() <= 1.01 / 77
        for name, value in expected.weights.items():
            assert found.weights[name].dtype == value.dtype
            # In layers of one unit single precision is off by as much of itself.
            if name.endswith(("running_mean", "running_var")) and len(value) > 1:
                assert_close(found.weights[name], value, 1e-3, name)


@pytest.mark.parametrize("n_train", [2, 3, 5])
def test_a_table_of_few_rows_is_trained_the_same(n_train):
    table = table_of(n_train, 1, 6)
    recipes = [
        Recipe(batch_size=size, n_layers=n, width=8, activation="tanh")
        for size in (2, 4)
        for n in (0, 2)
    ]
    runs = runs_of(recipes, max_epochs=3)
    shard = shard_of(table)
    for run in runs:
        shard.open(run)
    train_here(shard, [run.key for run in runs])
    engine = LightningEngine(*table, "cpu", threads=1)
    for run in runs:
        assert_same(shard.fitted(run.key), engine.train(run, go_on), rel=1e-7)


def test_many_validation_rows_are_evaluated_in_blocks_with_the_same_result(monkeypatch):
    whole, cut = shard_of(WIDE), shard_of(WIDE)
    for run in RUNS[:4]:
        whole.open(run)
        cut.open(run)
    keys = [run.key for run in RUNS[:4]]
    train_here(whole, keys, epochs=2)
    monkeypatch.setattr("tunekit.vectorized.stack.VALIDATION_ROWS", 10)
    train_here(cut, keys, epochs=2)
    for key in keys:
        assert_same(cut.fitted(key), whole.fitted(key))


@pytest.mark.parametrize("chunk", [1, 5000])
def test_how_many_steps_are_prepared_at_once_changes_nothing(monkeypatch, chunk):
    keys = [run.key for run in RUNS[:6]]
    whole, cut = shard_of(WIDE), shard_of(WIDE)
    for run in RUNS[:6]:
        whole.open(run)
        cut.open(run)
    train_here(whole, keys, epochs=2)
    monkeypatch.setattr("tunekit.vectorized.stack.CHUNK", chunk)
    train_here(cut, keys, epochs=2)
    for key in keys:
        assert_same(cut.fitted(key), whole.fitted(key))


def test_runs_of_one_stream_draw_alike_in_both_engines():
    """Under one stream the same recipe is the same training, whatever its key."""
    recipe = Recipe(lr=0.02, width=16, dropout=0.3)
    common = {"recipe": recipe, "max_epochs": 2, "patience": 9, "seed": 0}
    plain = Run(key="a", **common)
    shared = [Run(key=key, stream="a", **common) for key in ("b", "c")]
    other = Run(key="b", **common)
    shard = shard_of(WIDE)
    for run in (plain, *shared):
        shard.open(run)
    train_here(shard, [run.key for run in (plain, *shared)])
    expected = shard.fitted("a")
    for run in shared:
        assert_same(shard.fitted(run.key), expected)
    engine = LightningEngine(*WIDE, "cpu", threads=1)
    assert_same(engine.train(shared[0], go_on), expected, rel=1e-7)
    assert figures(engine.train(other, go_on).curve)[0, 0] != pytest.approx(
        expected.curve[0].train_loss, rel=1e-4
    )


def test_streams_of_one_name_begin_with_the_same_weights_and_go_on_apart():
    recipe = Recipe(lr=0.02, width=16, dropout=0.3)
    common = {"recipe": recipe, "max_epochs": 1, "patience": 9, "seed": 0}
    runs = [Run(key=f"r-{i}", stream=f"m/{i}", **common) for i in range(2)]
    shard = shard_of(WIDE)
    for run in runs:
        shard.open(run)
    begun = [shard.save(run.key).tensors["net.output.weight"] for run in runs]
    assert torch.equal(*begun)
    modules = [lit_mlp("pytorch_lightning")(9, 5, width=16, key=f"m/{i}") for i in "ab"]
    assert torch.equal(*(module.net.output.weight for module in modules))
    train_here(shard, [run.key for run in runs])
    first, second = (shard.fitted(run.key).curve[0].train_loss for run in runs)
    assert first != second
