"""``TableData``: a study's own batches, in the Trainers of both Lightning packages."""

import importlib
import logging
import pickle
import textwrap
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from forked import python

import tunekit
from tunekit.data import load
from tunekit.datamodule import table_data
from tunekit.errors import ConfigError, DataError
from tunekit.fit import LightningEngine
from tunekit.module import lit_mlp
from tunekit.trial import Recipe, Run
from tunekit.vectorized import VectorizedEngine

PACKAGES = ("pytorch_lightning", "lightning.pytorch")
RECIPE = Recipe(n_layers=2, width=12, batch_size=23, lr=0.02, dropout=0.3)


@pytest.fixture(autouse=True)
def quiet_lightning():
    """Hints of Lightning about logging are not about this module."""
    for package in PACKAGES:
        logging.getLogger(package).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec")
        warnings.filterwarnings("ignore", message=".*smaller than the logging")
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
        warnings.filterwarnings("ignore", message="Checkpoint directory .* not empty")
        yield


@pytest.fixture(params=PACKAGES)
def package(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(request.param)
    return request.param


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A table with holes, categories and a target whose name reads as a number."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "no"]).round(3)
    frame.loc[::7, "b"] = None
    frame["city"] = rng.choice(["Bern", "Oslo", "Rome"], 150)
    frame["1"] = np.where(x[:, 0] + 0.5 * x[:, 1] > 0, "up", "down")
    path = tmp_path_factory.mktemp("people") / "people.csv"
    frame.to_csv(path, index=False)
    return path


def trainer(package, **options):
    options = {
        "max_epochs": 4,
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        **options,
    }
    return importlib.import_module(package).Trainer(**options)


def module_for(package, data, **options):
    fields = {k: v for k, v in RECIPE.as_dict().items() if k != "batch_size"}
    options = {**fields, "horizon": 4, "seed": 3, "key": "trial-7", **options}
    return lit_mlp(package)(data.n_features, data.n_classes, **options)


def data_of(package, path, **options):
    options = {"target": "1", "drop": ["no"], "seed": 3, "key": "trial-7", **options}
    return table_data(package)(str(path), batch_size=RECIPE.batch_size, **options)


def curve_of(package, used, module, data):
    """Validation losses of all epochs."""
    found = []

    class Hear(importlib.import_module(package).Callback):
        def on_validation_end(self, trainer, module):
            if not trainer.sanity_checking:
                found.append(float(module.means("val")[0]))

    used.callbacks.append(Hear())
    used.fit(module, data)
    return found


@pytest.mark.parametrize("engine", [LightningEngine, VectorizedEngine])
def test_a_plain_trainer_comes_to_the_curve_of_a_studys_trial(package, people, engine):
    data = data_of(package, people)
    found = curve_of(package, trainer(package), module_for(package, data), data)
    table = load(people, "1", drop=["no"], seed=3)
    study = engine(
        table.x_train, table.y_train, table.x_valid, table.y_valid, 2, "cpu", 1
    )
    run = Run(recipe=RECIPE, max_epochs=4, patience=9, seed=3, key="trial-7")
    fitted = study.train(run, lambda epoch, metrics: True)
    study.close()
    wanted = [metrics.val_loss for metrics in fitted.curve]
    assert len(found) == 4
    assert len(set(found)) == 4
    if engine is LightningEngine:
        assert found == wanted
    else:
        assert found == pytest.approx(wanted, rel=1e-3)


def test_training_that_goes_on_from_a_checkpoint_is_as_if_it_never_stopped(
    package, people, tmp_path
):
    data = data_of(package, people)
    whole = curve_of(package, trainer(package), module_for(package, data), data)
    first = trainer(package, max_epochs=2)
    first.fit(module_for(package, data), data)
    first.save_checkpoint(tmp_path / "half.ckpt")
    again = trainer(package)
    again.fit(
        module_for(package, data),
        data_of(package, people),
        ckpt_path=tmp_path / "half.ckpt",
    )
    assert float(again.callback_metrics["val_loss"]) == whole[-1]


def test_a_second_training_with_the_same_data_is_the_first_one_again(package, people):
    data = data_of(package, people)
    curves = [
        curve_of(package, trainer(package), module_for(package, data), data)
        for _ in range(2)
    ]
    assert curves[0] == curves[1]


def test_another_key_is_another_order_of_the_same_split(package, people):
    one, other = data_of(package, people), data_of(package, people, key="trial-8")

    def order(data):
        return torch.cat([x_BF for x_BF, _ in data.train_dataloader()])

    assert not order(one).equal(order(other))
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(one.table.split[part], other.table.split[part])
    # Without a Trainer each iteration is an epoch of its own.
    batches = one.train_dataloader()
    assert [len(y_B) for _, y_B in batches] == [23, 23, 23, 21]
    first, second = (torch.cat([x for x, _ in batches]) for _ in range(2))
    assert not first.equal(second)


def test_test_rows_are_those_that_the_study_locks_away(package, people):
    data = data_of(package, people)
    frame, y_N = data.table.test_rows()
    ((x_NF, found_N),) = data.test_dataloader()
    assert found_N.tolist() == y_N.tolist()
    wanted_NF = data.table.preprocessor.transform(frame)
    np.testing.assert_array_equal(x_NF.numpy(), wanted_NF)
    used, module = trainer(package, max_epochs=1), module_for(package, data)
    used.fit(module, data)
    used.test(module, data, verbose=False)
    assert used.callback_metrics["test_loss"].isfinite()


def test_files_of_their_own_for_validation_and_test(package, people, tmp_path):
    frame = pd.read_csv(people)
    for name, rows in (("valid", frame[:20]), ("test", frame[20:50])):
        rows.to_csv(tmp_path / f"{name}.csv", index=False)
    data = data_of(
        package,
        people,
        valid_data=str(tmp_path / "valid.csv"),
        test_data=str(tmp_path / "test.csv"),
        split=(1.0, 0.0, 0.0),
    )
    assert sum(len(y) for _, y in data.train_dataloader()) == 150
    assert sum(len(y) for _, y in data.val_dataloader()) == 20
    assert sum(len(y) for _, y in data.test_dataloader()) == 30


# --- What is refused ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_features": 9}, "n_features must be 6 for .*people.csv, got 9"),
        ({"n_classes": 3}, "n_classes must be 2 for .*people.csv, got 3"),
    ],
)
def test_a_module_of_another_size_is_refused_in_one_line(
    package, people, options, words
):
    sizes = {"n_features": 6, "n_classes": 2, **options}
    with pytest.raises(ConfigError, match=words):
        trainer(package).fit(lit_mlp(package)(**sizes), data_of(package, people))


def test_a_table_that_cannot_be_used_is_told_when_it_is_read(package, people):
    data = table_data(package)("nowhere.csv", "y")
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file"):
        data.setup("fit")
    with pytest.raises(DataError, match='no column "2"'):
        _ = data_of(package, people, target="2").n_classes
    with pytest.raises(ConfigError, match="batch_size must be at least 2, got 1"):
        table_data(package)(batch_size=1)


def test_other_peoples_modules_may_have_other_sizes(package, people):
    class Mine(importlib.import_module(package).LightningModule):
        def __init__(self, n_features=77):
            super().__init__()
            self.save_hyperparameters()
            self.net = torch.nn.LazyLinear(2)

        def training_step(self, batch, batch_idx):
            return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = data_of(package, people)
    module = Mine()
    module.net(torch.zeros(1, data.n_features))
    used = trainer(package, max_epochs=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*validation_step.*")
        used.fit(module, data)
    assert used.global_step == 4


# --- As a class ---------------------------------------------------------------------


def test_the_class_is_pickled_by_name_and_makes_itself_again_from_a_checkpoint(
    people, tmp_path
):
    assert pickle.loads(pickle.dumps(tunekit.TableData)) is tunekit.TableData
    package = tunekit.TableData.__mro__[1].__module__.partition(".core")[0]
    data = data_of(package, people)
    used = trainer(package, max_epochs=1, logger=True, default_root_dir=tmp_path)
    # A logger would refuse values of one name that differ between module and data.
    used.fit(module_for(package, data, seed=4), data)
    used.save_checkpoint(tmp_path / "model.ckpt")
    again = type(data).load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    assert dict(again.hparams) == dict(data.hparams)
    assert again.n_features == data.n_features


PROGRAM = """
    from pytorch_lightning.cli import LightningCLI
    from tunekit import LitMLP, TableData

    class CLI(LightningCLI):
        def add_arguments_to_parser(self, parser):
            for name in ("n_features", "n_classes"):
                parser.link_arguments(
                    f"data.{name}", f"model.{name}", apply_on="instantiate"
                )

    made = CLI(LitMLP, TableData)
    print(made.trainer.current_epoch, *made.model.net.parameters().__next__().shape)
    print(made.datamodule.table.target, [*made.datamodule.hparams["drop"]])
"""


def test_a_command_line_links_the_tables_sizes(people, tmp_path):
    pytest.importorskip("jsonargparse")
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    off = ("logger", "enable_checkpointing", "enable_progress_bar")
    done = python(
        *("program.py", "fit", "--model.width=8"),
        *(f"--data.data={people}", "--data.target=1", "--data.drop=['no']"),
        *("--trainer.max_epochs=1", *(f"--trainer.{name}=false" for name in off)),
        cwd=tmp_path,
        warn="default",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["1 8 6", "1 ['no']"]
