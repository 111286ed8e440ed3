"""Models saved and loaded again, and what they predict."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import torch

from tunekit.data import load
from tunekit.errors import DataError
from tunekit.predict import Predictor, save
from tunekit.trial import Recipe

from .conftest import FILES, make_model, people_csv


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(n_layers=0),
        Recipe(width=8),
        Recipe(n_layers=3, width=20, shape="funnel", activation="gelu", dropout=0.5),
    ],
)
def test_what_was_saved_is_what_is_loaded(tmp_path, rows, recipe):
    table = load(rows, "income")
    network = make_model(tmp_path / "study", table, recipe)
    predictor = Predictor.load(tmp_path / "study")
    assert predictor.recipe == recipe
    assert predictor.info == {"study": "people"}
    assert predictor.classes_.tolist() == ["high", "low"]
    frame, _ = table.test_rows()
    probabilities_NC = predictor.predict_proba(frame)
    assert probabilities_NC.dtype == np.float64
    np.testing.assert_allclose(probabilities_NC.sum(axis=1), 1.0, atol=1e-12)
    with torch.no_grad():
        x_NF = torch.from_numpy(table.preprocessor.transform(frame))
        expected_NC = network.double().predict_proba(x_NF.double()).numpy()
    np.testing.assert_array_equal(probabilities_NC, expected_NC)
    labels = predictor.classes_[expected_NC.argmax(axis=1)]
    assert predictor.predict(frame).tolist() == labels.tolist()


def test_the_study_and_its_model_folder_are_the_same(study, rows):
    first = Predictor.load(study).predict_proba(rows)
    second = Predictor.load(str(study / "model")).predict_proba(str(rows))
    np.testing.assert_array_equal(first, second)


def test_loading_draws_no_random_numbers(study):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Predictor.load(study)
    assert torch.equal(torch.rand(3), expected)


def test_one_row_at_a_time_equals_a_batch(study, rows):
    predictor = Predictor.load(study)
    frame = pd.read_csv(rows, dtype=str, keep_default_na=False)
    many = pd.concat([frame] * 80, ignore_index=True)
    batch_NC = predictor.predict_proba(many)
    assert len(batch_NC) == 4800
    alone_NC = np.vstack([predictor.predict_proba(frame.iloc[[n]]) for n in range(60)])
    np.testing.assert_allclose(alone_NC, batch_NC[:60], rtol=0, atol=1e-12)
    np.testing.assert_allclose(alone_NC, batch_NC[-60:], rtol=0, atol=1e-12)


def test_inputs_made_before_give_the_same_to_the_last_bit(study, rows):
    predictor = Predictor.load(study)
    table = load(rows, "income")
    frame, _ = table.test_rows()
    x_NF = table.preprocessor.transform(frame)
    np.testing.assert_array_equal(
        predictor.predict_proba_inputs(x_NF), predictor.predict_proba(frame)
    )
    assert predictor.predict_proba_inputs(x_NF[:0]).shape == (0, 2)
    for wrong in (x_NF[:, 1:], x_NF[0]):
        with pytest.raises(DataError, match=f"rows by {x_NF.shape[1]} numbers"):
            predictor.predict_proba_inputs(wrong)


def test_no_rows_give_no_predictions(study, rows):
    frame = pd.read_csv(rows).iloc[:0]
    assert Predictor.load(study).predict_proba(frame).shape == (0, 2)
    assert Predictor.load(study).predict(frame).tolist() == []


@pytest.mark.parametrize("labels", [(0, 1), (2.5, 3.0), (True, False), ("a", "b")])
def test_labels_keep_their_type(tmp_path, labels):
    pytest.importorskip("pyarrow")
    frame = pd.read_csv(people_csv(tmp_path / "t.csv", labels=("0", "1")))
    frame["income"] = [labels[place] for place in frame["income"]]
    frame.to_parquet(tmp_path / "t.parquet")
    table = load(tmp_path / "t.parquet", "income")
    make_model(tmp_path, table)
    predictor = Predictor.load(tmp_path)
    assert predictor.classes_.tolist() == sorted(labels)
    found = {
        type(label) for label in predictor.predict(tmp_path / "t.parquet").tolist()
    }
    assert found == {type(labels[0])}


def test_arrays_for_a_table_that_came_from_arrays(tmp_path):
    rng = np.random.default_rng(0)
    x_NF = np.column_stack([rng.random((40, 2)), np.ones(40), rng.random((40, 1))])
    np.savez(tmp_path / "t.npz", X=x_NF, y=rng.integers(0, 2, 40))
    np.savez(tmp_path / "new.npz", X=x_NF)
    make_model(tmp_path, load(tmp_path / "t.npz"))
    predictor = Predictor.load(tmp_path)
    expected_NC = predictor.predict_proba(x_NF)
    for same in (tmp_path / "t.npz", tmp_path / "new.npz"):
        np.testing.assert_array_equal(predictor.predict_proba(same), expected_NC)
    with pytest.raises(DataError, match=r"rows by 4 columns, got shape \(40, 3\)"):
        predictor.predict(x_NF[:, :3])
    with pytest.raises(DataError, match=r"got shape \(4,\)"):
        predictor.predict(x_NF[0])


def test_digits_take_arrays_and_npz(tmp_path):
    table = load("digits")
    make_model(tmp_path, table)
    predictor = Predictor.load(tmp_path)
    frame, _ = table.test_rows()
    np.savez(tmp_path / "new.npz", X=frame.to_numpy())
    expected_NC = predictor.predict_proba(frame)
    for same in (frame.to_numpy(), tmp_path / "new.npz"):
        np.testing.assert_array_equal(predictor.predict_proba(same), expected_NC)


def test_rows_that_cannot_be_used(study, rows, tmp_path):
    predictor = Predictor.load(study)
    frame = pd.read_csv(rows)
    with pytest.raises(DataError, match='column "age" is needed'):
        predictor.predict(frame.drop(columns="age"))
    with pytest.raises(DataError, match="has no column names"):
        predictor.predict(np.zeros((3, 4)))
    with pytest.raises(DataError, match="got list"):
        predictor.predict([[1, 2]])
    frame.assign(age="abc").to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError) as caught:
        predictor.predict(tmp_path / "new.csv")
    assert str(caught.value) == (
        f'{tmp_path / "new.csv"}, column "age": numbers expected, got "abc" in row 1 '
        "(counted from 1)"
    )


def test_only_whole_folders_are_written(study, rows):
    assert sorted(path.name for path in (study / "model").iterdir()) == FILES
    before = Predictor.load(study).predict_proba(rows)
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(
            study,
            network_state={"w": torch.zeros(1)},
            recipe=Recipe(),
            n_inputs=1,
            classes=["a", "b"],
            preprocessor=load(rows, "income").preprocessor,
            info={"loss": float("nan")},
        )
    assert [path.name for path in study.iterdir()] == ["model"]
    np.testing.assert_array_equal(Predictor.load(study).predict_proba(rows), before)


def test_a_model_is_replaced(study, rows):
    make_model(study, load(rows, "income"), Recipe(width=4))
    assert Predictor.load(study).recipe.width == 4
    assert [path.name for path in study.iterdir()] == ["model"]


def test_nothing_is_pickled(study):
    weights = (study / "model" / "model.safetensors").read_bytes()
    header_size = int.from_bytes(weights[:8], "little")
    assert "output.weight" in json.loads(weights[8 : 8 + header_size])
    described = json.loads((study / "model" / "model.json").read_text("utf-8"))
    assert described["classes"] == ["high", "low"]
    assert described["recipe"] == Recipe(width=16).as_dict()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("fault", ["missing", "cut", "flipped", "empty"])
def test_a_damaged_model_is_refused(study, name, fault):
    path = study / "model" / name
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    if fault == "missing":
        path.unlink()
    else:
        changed = {"cut": content[:-20], "flipped": bytes(flipped), "empty": b""}
        path.write_bytes(changed[fault])
    with pytest.raises(DataError) as caught:
        Predictor.load(study)
    message = str(caught.value)
    assert "\n" not in message
    assert ("is missing" if fault == "missing" else "damaged") in message


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"recipe": {"nothing": 1}},
        {"n_inputs": 3},
        {"classes": ["a", "b", "c"]},
        {"preprocessor": {}},
    ],
)
def test_a_model_of_another_make_is_refused(study, change):
    path = study / "model" / "model.json"
    described = json.loads(path.read_text("utf-8")) | change
    path.write_text(json.dumps(described), "utf-8")
    checksums = json.loads((study / "model" / "checksums.json").read_text())
    checksums["model.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (study / "model" / "checksums.json").write_text(json.dumps(checksums))
    with pytest.raises(DataError, match="use the tunekit version that saved it"):
        Predictor.load(study)


def test_folders_without_a_model(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        Predictor.load(tmp_path / "none")
    with pytest.raises(DataError, match="no model in this folder"):
        Predictor.load(tmp_path)
    (tmp_path / "study.toml").touch()
    with pytest.raises(DataError, match=r"unfinished; run the same tunekit\.study"):
        Predictor.load(tmp_path)
    with pytest.raises(DataError, match="got a file"):
        Predictor.load(tmp_path / "study.toml")
