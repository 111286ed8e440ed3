"""What a study's folder says of its winner."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from tunekit import LitMLP, Result, TableData
from tunekit.errors import ConfigError, DataError
from tunekit.export import read

from .conftest import TARGET


def test_the_config_is_what_trained_the_saved_model(study: Result) -> None:
    final = json.loads((study.folder / "final.json").read_text("utf-8"))
    model, recipe = final["model"], final["recipe"]
    config = study.as_config()
    assert config["trainer"] == {
        "max_epochs": model["epoch"],
        "accelerator": "cpu",
        "devices": 1,
    }
    assert config["seed_everything"] == 3
    streams = {"seed": 3, "key": f"final-{model['seed']}"}
    assert config["data"] == {
        "data": str(study.folder.parent / "rows.csv"),
        "target": TARGET,
        "drop": ["null"],
        "split": [0.6, 0.2, 0.2],
        "batch_size": recipe["batch_size"],
        **streams,
    }
    idle = {"momentum", "nesterov", "lr_decay", "batch_size"}
    idle |= {"shape"} if recipe["n_layers"] == 1 else set()
    assert config["model"] == {
        "n_features": 4,
        "n_classes": 2,
        **{name: value for name, value in recipe.items() if name not in idle},
        "horizon": 6,
        **streams,
    }


def test_its_sections_are_arguments(study: Result) -> None:
    config = study.as_config()
    module, data = LitMLP(**config["model"]), TableData(**config["data"])
    assert (data.n_features, data.n_classes) == (4, 2)
    assert module.net(next(iter(data.val_dataloader()))[0]).shape == (40, 2)


def test_the_recipe_is_the_winners(study: Result) -> None:
    winner = read(study.folder)
    assert winner.trial == study.report["best"]["number"]
    searched = study.best_params
    assert {k: v for k, v in winner.recipe.as_dict().items() if k in searched} == (
        searched
    )
    assert winner.test_error == study.report["model"]["error"]


def test_the_digits_are_named(study: Result, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(study.folder, folder)
    (folder / "study.toml").write_text(
        'seed = 0\nmax_epochs = 2\naccelerator = "auto"\n', "utf-8"
    )
    config = read(folder).as_config()
    assert config["data"]["data"] == "digits"
    assert "target" not in config["data"]


DATED = 'seed = 0\nmax_epochs = 2\naccelerator = "auto"\ntarget = 2026-01-01\n'


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("study.toml", None, ConfigError, "is no study folder: it lacks study.toml"),
        ("study.toml", "torn = ", DataError, "study.toml cannot be read"),
        ("study.toml", "seed = 0\n", DataError, "got KeyError: 'accelerator'"),
        ("study.toml", DATED, DataError, "target must be text"),
        ("model/model.json", "{}", DataError, "it does not fit its checksum"),
        ("model", None, DataError, "the study has no model yet, it is unfinished"),
    ],
)
def test_what_lacks_something_is_told_in_one_line(
    study: Result,
    tmp_path: Path,
    name: str,
    content: str | None,
    error: type[Exception],
    words: str,
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(study.folder, folder)
    if content is not None:
        (folder / name).write_text(content, "utf-8")
    elif name == "model":
        shutil.rmtree(folder / name)
    else:
        (folder / name).unlink()
    with pytest.raises(error) as caught:
        read(folder)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("optimizer", "'); import os #", 'space "optimizer": must be one of'),
        ("lr", "1e-3..1e-2", "a recipe that has ranges"),
        ("lr", {"low": 1}, "scale"),
        ("speed", 1, "unexpected keyword argument 'speed'"),
    ],
)
def test_a_recipe_that_is_none_is_refused(
    study: Result, tmp_path: Path, field: str, value: object, words: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(study.folder, folder)
    path = folder / "model" / "model.json"
    described = json.loads(path.read_text("utf-8"))
    described["recipe"][field] = value
    path.write_text(json.dumps(described), "utf-8")
    sums = folder / "model" / "checksums.json"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    sums.write_text(
        json.dumps({**json.loads(sums.read_text("utf-8")), path.name: digest}), "utf-8"
    )
    with pytest.raises(DataError) as caught:
        read(folder)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
