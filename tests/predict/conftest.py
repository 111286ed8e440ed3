"""A table, and a model of it in a folder."""

import numpy as np
import pandas as pd
import pytest
import torch

from tunekit.data import load
from tunekit.mlp import MLP
from tunekit.predict import save
from tunekit.trial import Recipe

FILES = ["checksums.json", "model.json", "model.safetensors"]


def people_csv(path, labels=("low", "high"), n=60):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "city": rng.choice(["Bern", "Oslo", "NA", ""], n),
            "member": rng.choice(["true", "false"], n),
            "joined": pd.date_range("2020-01-01", periods=n, freq="11D").astype(str),
            "income": rng.choice(list(labels), n),
        }
    )
    frame.to_csv(path, index=False)
    return path


def make_model(folder, table, recipe=None):
    """Save a network of random weights that has seen the training rows."""
    recipe = recipe or Recipe(width=16)
    network = MLP(
        table.n_inputs,
        len(table.classes),
        n_layers=recipe.n_layers,
        width=recipe.width,
        shape=recipe.shape,
        activation=recipe.activation,
        dropout=recipe.dropout,
        generator=torch.Generator().manual_seed(3),
    )
    network(torch.from_numpy(table.x_train))
    save(
        folder,
        network_state=network.state_dict(),
        recipe=recipe,
        n_inputs=table.n_inputs,
        classes=table.classes,
        preprocessor=table.preprocessor,
        info={"study": "people"},
    )
    return network.eval()


@pytest.fixture
def rows(tmp_path):
    return people_csv(tmp_path / "people.csv")


@pytest.fixture
def study(tmp_path, rows):
    make_model(tmp_path / "study", load(rows, "income"))
    return tmp_path / "study"
