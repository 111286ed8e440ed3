"""``LitMLP`` in the Trainers of both Lightning packages, and on a command line."""

import importlib
import json
import logging
import pickle
import subprocess
import sys
import textwrap
import warnings

import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tunekit.errors import DataError
from tunekit.module import lit_mlp
from tunekit.optim import build_optimizer, lr_factor
from tunekit.trial import OPTIMIZERS, SCHEDULES, Recipe

PACKAGES = ("pytorch_lightning", "lightning.pytorch")


@pytest.fixture(autouse=True)
def quiet_lightning():
    """Hints of Lightning about loaders and logging are not about this module."""
    for package in PACKAGES:
        logging.getLogger(package).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec")
        warnings.filterwarnings(
            "ignore", message=".*smaller than the logging interval.*"
        )
        yield


@pytest.fixture(params=PACKAGES)
def package(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(request.param)
    return request.param


def loaders(table, batch_size=32):
    train = TensorDataset(torch.tensor(table.x_train), torch.tensor(table.y_train))
    valid = TensorDataset(torch.tensor(table.x_valid), torch.tensor(table.y_valid))
    return DataLoader(train, batch_size=batch_size, shuffle=False), DataLoader(
        valid, batch_size=batch_size
    )


def trainer(package, **options):
    options = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        **options,
    }
    return importlib.import_module(package).Trainer(**options)


def fitted(package, table, module_options=None, **trainer_options):
    module = lit_mlp(package)(5, 3, width=16, lr=0.02, **(module_options or {}))
    used = trainer(package, **trainer_options)
    used.fit(module, *loaders(table))
    return module, used


# --- Both packages ------------------------------------------------------------------


def test_it_trains_in_a_trainer_of_its_own_package(package, table):
    module, used = fitted(package, table, max_epochs=6)
    assert isinstance(module, importlib.import_module(package).LightningModule)
    x, y = torch.tensor(table.x_valid), torch.tensor(table.y_valid)
    logits = module.eval().net(x)
    logged = used.callback_metrics
    assert logged["val_score"] > 0.8
    torch.testing.assert_close(
        logged["val_loss"], F.cross_entropy(logits, y), rtol=1e-5, atol=1e-6
    )
    hits = (logits.argmax(1) == y).float().mean()
    torch.testing.assert_close(logged["val_score"], hits)


def test_both_packages_train_the_same_weights(table):
    first, second = (fitted(package, table)[0] for package in PACKAGES)
    for name, value in first.state_dict().items():
        assert value.equal(second.state_dict()[name]), name


def test_it_logs_losses_and_scores_of_every_part(package, table):
    module, used = fitted(package, table)
    assert set(used.callback_metrics) == {
        f"{part}_{what}" for part in ("train", "val") for what in ("loss", "score")
    }
    used.test(module, loaders(table)[1], verbose=False)
    assert {"test_loss", "test_score"} <= set(used.callback_metrics)
    for name, value in used.callback_metrics.items():
        assert value.isfinite(), name


def test_a_reloaded_checkpoint_predicts_the_same(package, table, tmp_path):
    module, used = fitted(
        package, table, {"n_layers": 3, "shape": "funnel", "activation": "silu"}
    )
    used.save_checkpoint(tmp_path / "model.ckpt")
    again = lit_mlp(package).load_from_checkpoint(tmp_path / "model.ckpt")
    assert again.recipe == module.recipe
    assert again.hparams == module.hparams
    x = torch.tensor(table.x_valid)
    assert again.eval()(x).equal(module.eval()(x))


def test_a_checkpoint_of_model_checkpoint_loads(package, table, tmp_path):
    callbacks = importlib.import_module(f"{package}.callbacks")
    module = lit_mlp(package)(5, 3, width=16)
    kept = callbacks.ModelCheckpoint(tmp_path, monitor="val_loss")
    used = trainer(package, enable_checkpointing=True, callbacks=[kept])
    used.fit(module, *loaders(table))
    again = lit_mlp(package).load_from_checkpoint(kept.best_model_path, strict=True)
    assert again.hparams == module.hparams


class Poison:
    """Writes a file where it is unpickled."""

    def __init__(self, written):
        self.written = written

    def __reduce__(self):
        return exec, (f"open({str(self.written)!r}, 'w').close()",)


@pytest.mark.parametrize("part", ["state_dict", "hyper_parameters", "callbacks"])
def test_a_checkpoint_that_would_run_code_is_refused(package, table, part, tmp_path):
    _, used = fitted(package, table, {})
    used.save_checkpoint(tmp_path / "model.ckpt")
    checkpoint = torch.load(tmp_path / "model.ckpt", weights_only=True)
    checkpoint[part] = {"net": Poison(tmp_path / "PWNED")}
    torch.save(checkpoint, tmp_path / "model.ckpt")
    with pytest.raises(DataError, match="tensors and plain values alone") as caught:
        lit_mlp(package).load_from_checkpoint(tmp_path / "model.ckpt")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "PWNED").exists()


def test_training_goes_on_from_a_checkpoint_as_if_never_stopped(
    package, table, tmp_path
):
    """Weights, optimizer, schedule and dropout masks all come back."""
    options = {"dropout": 0.4, "optimizer": "adam", "schedule": "step", "lr_decay": 0.5}
    whole, _ = fitted(package, table, options, max_epochs=4)
    half, used = fitted(package, table, options, max_epochs=2)
    used.save_checkpoint(tmp_path / "half.ckpt")
    again = lit_mlp(package)(5, 3, width=16, lr=0.02, **options)
    trainer(package, max_epochs=4).fit(
        again, *loaders(table), ckpt_path=tmp_path / "half.ckpt"
    )
    for name, value in whole.state_dict().items():
        assert again.state_dict()[name].equal(value), name
        assert "weight" not in name or not half.state_dict()[name].equal(value)


def test_predictions_are_probabilities_of_rows_with_or_without_classes(package, table):
    module, used = fitted(package, table)
    x = torch.tensor(table.x_valid)
    with_classes = torch.cat(used.predict(module, loaders(table)[1]))
    alone = torch.cat(used.predict(module, DataLoader(x, batch_size=7)))
    assert with_classes.shape == (len(x), 3)
    torch.testing.assert_close(with_classes, alone)
    torch.testing.assert_close(alone.sum(1), torch.ones(len(x)))
    assert alone.min() >= 0
    torch.testing.assert_close(alone, F.softmax(module.eval().net(x), 1))


def test_a_class_of_the_other_package_does_not_train(table):
    module = lit_mlp("lightning.pytorch")(5, 3)
    with pytest.raises(TypeError):
        trainer("pytorch_lightning").fit(module, *loaders(table))


def test_each_package_has_one_class():
    assert lit_mlp(PACKAGES[0]) is lit_mlp(PACKAGES[0])
    assert lit_mlp(PACKAGES[0]) is not lit_mlp(PACKAGES[1])


# --- What is trained ----------------------------------------------------------------


def test_the_recipe_is_what_was_passed_and_the_same_by_default():
    defaults = Recipe()
    assert lit_mlp(PACKAGES[0])(5, 3).recipe == defaults
    changed = {
        "n_layers": 1,
        "width": 7,
        "shape": "funnel",
        "activation": "tanh",
        "dropout": 0.3,
        "optimizer": "sgd",
        "lr": 0.5,
        "momentum": 0.1,
        "nesterov": False,
        "beta1": 0.2,
        "beta2": 0.3,
        "eps": 0.4,
        "weight_decay": 0.6,
        "schedule": "step",
        "lr_decay": 0.7,
        "label_smoothing": 0.05,
    }
    assert set(changed) == set(defaults.as_dict()) - {"batch_size"}
    made = lit_mlp(PACKAGES[0])(5, 3, **changed)
    assert made.recipe == Recipe(**changed)


def test_seed_and_key_decide_the_weights_and_the_dropout():
    def weights(**options):
        module = lit_mlp(PACKAGES[0])(5, 3, **options)
        out = module.train().net(torch.ones(8, 5))
        return torch.cat([p.flatten() for p in module.parameters()]), out

    first, out = weights(seed=1, key="a", dropout=0.5)
    torch.manual_seed(123)
    again, same_out = weights(seed=1, key="a", dropout=0.5)
    assert first.equal(again)
    assert out.equal(same_out)
    assert not first.equal(weights(seed=2, key="a")[0])
    assert not first.equal(weights(seed=1, key="b")[0])


def by_hand(table, recipe, epochs):
    """The same training in ten lines of plain torch."""
    net = lit_mlp(PACKAGES[0])(5, 3, **recipe).net.train()
    full = Recipe(**recipe)
    optimizer = build_optimizer(full, net.parameters())
    for epoch in range(epochs):
        factor = lr_factor(full.schedule, full.lr_decay, epoch, epochs)
        optimizer.param_groups[0]["lr"] = full.lr * factor
        for step, (x, y) in enumerate(loaders(table)[0]):
            net.set_step(epoch, step)
            optimizer.zero_grad()
            F.cross_entropy(net(x), y, label_smoothing=full.label_smoothing).backward()
            optimizer.step()
    return net


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [
        ("sgd", "inverse"),
        ("adam", "step"),
        ("adamw", "cosine"),
        ("rmsprop", "constant"),
    ],
)
def test_training_is_the_plain_loop(table, optimizer, schedule):
    recipe = {
        "width": 16,
        "optimizer": optimizer,
        "schedule": schedule,
        "lr": 0.01,
        "lr_decay": 0.8,
        "label_smoothing": 0.1,
        "dropout": 0.3,
    }
    module, _ = fitted_recipe(table, recipe, epochs=3)
    expected = by_hand(table, recipe, epochs=3)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(module.net.state_dict()[name], value)


def fitted_recipe(table, recipe, epochs):
    module = lit_mlp(PACKAGES[0])(5, 3, **recipe)
    used = trainer(PACKAGES[0], max_epochs=epochs)
    used.fit(module, *loaders(table))
    return module, used


def test_validation_knows_no_smoothing_and_training_does(table):
    """Training loss is what is minimized; validation loss is plain cross-entropy."""
    _, used = fitted_recipe(
        table, {"width": 16, "label_smoothing": 0.3, "lr": 1e-12, "dropout": 0.0}, 1
    )
    smooth_logged = dict(used.callback_metrics)
    _, used = fitted_recipe(table, {"width": 16, "lr": 1e-12, "dropout": 0.0}, 1)
    assert smooth_logged["val_loss"] == used.callback_metrics["val_loss"]
    assert smooth_logged["train_loss"] != used.callback_metrics["train_loss"]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_learning_rate_changes_once_an_epoch_as_the_schedule_says(table, schedule):
    seen = []
    import pytorch_lightning

    class See(pytorch_lightning.Callback):
        def on_train_batch_start(self, trainer, *_):
            group = trainer.optimizers[0].param_groups[0]
            seen.append((trainer.current_epoch, group["lr"]))

    fitted(
        PACKAGES[0],
        table,
        {"schedule": schedule, "lr_decay": 0.6},
        max_epochs=4,
        callbacks=[See()],
    )
    assert len(seen) == 4 * 4
    for epoch, lr in seen:
        assert lr == pytest.approx(0.02 * lr_factor(schedule, 0.6, epoch, 4))


def test_cosine_without_a_horizon_says_what_to_set(table):
    with pytest.raises(ValueError, match="max_epochs") as caught:
        fitted(PACKAGES[0], table, max_epochs=-1, max_steps=3)
    assert "\n" not in str(caught.value)
    assert "cosine" in str(caught.value)


def test_a_horizon_of_its_own_lets_training_end_before_the_schedule_does(table):
    half, _ = fitted(PACKAGES[0], table, {"horizon": 4}, max_epochs=2)
    short, _ = fitted(PACKAGES[0], table, max_epochs=2)
    other = {}

    class Keep(importlib.import_module(PACKAGES[0]).Callback):
        def on_train_epoch_end(self, trainer, module):
            copied = {k: v.clone() for k, v in module.state_dict().items()}
            other[trainer.current_epoch + 1] = copied

    fitted(PACKAGES[0], table, max_epochs=4, callbacks=[Keep()])
    for name, value in half.state_dict().items():
        assert value.equal(other[2][name]), name
    weights = next(iter(half.net.parameters()))
    assert not weights.equal(next(iter(short.net.parameters())))
    with pytest.raises(ValueError, match="got 0"):
        fitted(PACKAGES[0], table, {"horizon": 0}, max_epochs=2)


@pytest.mark.parametrize("schedule", sorted({*SCHEDULES} - {"cosine"}))
def test_other_schedules_need_no_horizon(table, schedule):
    _, used = fitted(
        PACKAGES[0], table, {"schedule": schedule}, max_epochs=-1, max_steps=6
    )
    assert used.global_step == 6


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_trainer_gets_the_recipes_optimizer(table, optimizer):
    _, used = fitted(PACKAGES[0], table, {"optimizer": optimizer}, max_epochs=1)
    assert type(used.optimizers[0]).__name__.lower() == optimizer


def test_an_epoch_that_was_broken_off_does_not_leak_into_the_next(table):
    """Means are over the rows of one epoch alone."""
    module, used = fitted(PACKAGES[0], table, max_epochs=1)
    once = used.callback_metrics["val_loss"]
    used.validate(module, loaders(table)[1], verbose=False)
    torch.testing.assert_close(used.callback_metrics["val_loss"], once)
    module._add("val", torch.tensor(1e9), torch.zeros(4, 3), torch.zeros(4))
    used.validate(module, loaders(table)[1], verbose=False)
    torch.testing.assert_close(used.callback_metrics["val_loss"], once)


# --- In a program that knows one package --------------------------------------------

PROGRAM = """
    import importlib, json, pickle, sys, warnings
    package = sys.argv.pop()
    pl = importlib.import_module(package)
    cli = importlib.import_module(package + ".cli")
    import torch
    from torch.utils.data import DataLoader, TensorDataset
    from tunekit import LitMLP

    other = {"pytorch_lightning", "lightning.pytorch"} - {package}
    assert not other & set(sys.modules), "the other package was imported"
    assert issubclass(LitMLP, pl.LightningModule)

    class Rows(pl.LightningDataModule):
        def __init__(self, n: int = 64):
            super().__init__()
            self.n = n
        def train_dataloader(self):
            x = torch.randn(self.n, 5, generator=torch.Generator().manual_seed(0))
            return DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=16)
        val_dataloader = test_dataloader = train_dataloader

    # Defined in __main__: what the command line is for.
    made = cli.LightningCLI(LitMLP, Rows)
    module = made.model
    made.trainer.save_checkpoint("model.ckpt")
    again = LitMLP.load_from_checkpoint("model.ckpt")
    x = torch.randn(3, 5)
    assert again.eval()(x).equal(module.eval()(x))
    assert not other & set(sys.modules), "the other package was imported"

    copy = pickle.loads(pickle.dumps(again))
    assert type(copy) is LitMLP and copy(x).equal(again(x))
    importlib.import_module(*other)
    import tunekit
    assert tunekit.LitMLP is LitMLP
    assert pickle.loads(pickle.dumps(LitMLP)) is LitMLP
    print(json.dumps({
        "recipe": made.model.recipe.as_dict(), "n": made.datamodule.n,
        "epochs": made.trainer.current_epoch, "steps": made.trainer.global_step,
        "logged": sorted(made.trainer.callback_metrics),
    }))
"""
CONFIG = """
model:
  n_features: 5
  n_classes: 2
  n_layers: 1
  width: 8
  optimizer: sgd
  momentum: 0.5
  nesterov: false
  schedule: inverse
  activation: silu
data:
  n: 48
trainer:
  max_epochs: 2
  accelerator: cpu
  logger: false
  enable_progress_bar: false
  enable_checkpointing: false
"""


@pytest.mark.parametrize("package", PACKAGES)
def test_a_program_that_imports_one_package_tunes_it_from_a_command_line(
    package, tmp_path
):
    pytest.importorskip("jsonargparse")
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    (tmp_path / "job.yaml").write_text(CONFIG)
    arguments = ["fit", "--config", "job.yaml", "--model.lr", "0.05", package]
    done = subprocess.run(
        [sys.executable, "program.py", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["recipe"] == {
        **Recipe().as_dict(),
        "n_layers": 1,
        "width": 8,
        "optimizer": "sgd",
        "momentum": 0.5,
        "nesterov": False,
        "schedule": "inverse",
        "activation": "silu",
        "lr": 0.05,
    }
    assert (told["n"], told["epochs"], told["steps"]) == (48, 2, 6)
    assert told["logged"] == ["train_loss", "train_score", "val_loss", "val_score"]


def test_the_class_is_pickled_by_name():
    import tunekit

    assert pickle.loads(pickle.dumps(tunekit.LitMLP)) is tunekit.LitMLP
    module = tunekit.LitMLP(5, 3)
    x = torch.ones(1, 5)
    assert pickle.loads(pickle.dumps(module)).eval()(x).equal(module.eval()(x))
