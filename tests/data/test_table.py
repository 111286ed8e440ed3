"""From a file to a table: classes, split, notes, and what the test rows may not do."""

import datetime as dt
import decimal
import json
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from tunekit.data import Table, load, read_table
from tunekit.errors import DataError


def csv_of(path, **columns):
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


AB = ["a", "b"] * 10


@pytest.fixture
def people(tmp_path):
    """A small table with every kind of column and a few flaws."""
    rng = np.random.default_rng(1)
    n = 60
    return csv_of(
        tmp_path / "people.csv",
        age=rng.integers(18, 80, n),
        city=rng.choice(["Bern", "Oslo", "NA"], n),
        member=rng.choice(["true", "false"], n),
        joined=pd.date_range("2020-01-01", periods=n, freq="11D").astype(str),
        empty=[""] * n,
        same=["x"] * n,
        income=rng.choice(["low", "high"], n, p=[0.7, 0.3]),
    )


def refusal(*arguments, **options) -> str:
    with pytest.raises(DataError) as caught:
        load(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_digits():
    table = load()
    assert table.source == "digits"
    assert table.target == "digit"
    assert table.classes == tuple(range(10))
    assert table.x_train.shape == (1078, 61)
    assert table.x_train.dtype == table.x_valid.dtype == np.float32
    assert table.y_train.dtype == table.y_valid.dtype == np.int64
    assert len(table.x_valid) == len(table.y_valid) == 360
    assert table.notes == (
        "left out, constant in the training rows: pixel_0_0, pixel_4_0, pixel_4_7",
    )
    assert load("digits").fingerprint == table.fingerprint


def test_a_table_with_every_kind_of_column(people):
    table = load(people, "income")
    assert [(column.name, column.kind) for column in table.columns] == [
        ("age", "numeric"),
        ("city", "categorical"),
        ("member", "boolean"),
        ("joined", "date"),
        ("empty", "numeric"),
        ("same", "categorical"),
    ]
    assert table.classes == ("high", "low")
    assert table.notes == (
        "left out, constant in the training rows: same",
        "left out, no value in the training rows: empty",
    )
    assert table.n_features == 4
    assert table.n_inputs == table.x_train.shape[1] == table.x_valid.shape[1]
    assert [column.missing for column in table.columns] == [0, 0, 0, 0, 60, 0]


def test_parts_are_the_rows_that_the_split_names(people):
    table = load(people, "income")
    raw = pd.read_csv(people, dtype=str, keep_default_na=False)
    frame, y_test = table.test_rows()
    rows = table.split["test"]
    assert "income" not in frame
    expected = raw.iloc[rows].drop(columns="income")
    assert frame.to_numpy().tolist() == expected.to_numpy().tolist()
    assert [table.classes[y] for y in y_test] == raw["income"].iloc[rows].tolist()
    for part, y_part in (("train", table.y_train), ("validation", table.y_valid)):
        labels = raw["income"].iloc[table.split[part]].tolist()
        assert [table.classes[y] for y in y_part] == labels
    assert sorted(np.concatenate(list(table.split.values()))) == list(range(60))


def test_test_rows_influence_nothing_that_is_fitted(people, tmp_path):
    table = load(people, "income")
    raw = pd.read_csv(people, dtype=str, keep_default_na=False)
    rows = table.split["test"]
    raw.loc[rows, "age"] = "1000000"
    raw.loc[rows, "city"] = "Atlantis"
    raw.loc[rows, "same"] = "y"
    raw.loc[rows, "empty"] = "7"
    raw.to_csv(tmp_path / "changed.csv", index=False)
    changed = load(tmp_path / "changed.csv", "income")
    assert changed.preprocessor == table.preprocessor
    np.testing.assert_array_equal(changed.x_train, table.x_train)
    np.testing.assert_array_equal(changed.x_valid, table.x_valid)
    assert changed.fingerprint != table.fingerprint


@pytest.mark.parametrize("quote", [False, True])
def test_a_text_in_a_numeric_test_cell_is_refused_and_changes_no_kind(
    people, tmp_path, quote
):
    table = load(people, "income")
    raw = pd.read_csv(people, dtype=str, keep_default_na=False)
    path = tmp_path / "changed.csv"

    def write():
        raw.to_csv(path, index=False, quoting=int(quote))

    # What is left out is not looked at, as in prediction.
    first = int(table.split["test"][0])
    raw.loc[first, "empty"] = "abc"
    write()
    same = load(path, "income")
    assert same.preprocessor == table.preprocessor
    np.testing.assert_array_equal(same.x_train, table.x_train)
    kinds = {column.name: column.kind for column in same.columns}
    assert kinds["empty"] == "numeric"
    assert same.test_rows()[0]["empty"].tolist()[0] == "abc"
    raw.loc[first, "age"] = "abc"
    write()
    assert refusal(path, "income") == (
        f'{path}, column "age": numbers expected, got "abc" in row {first + 1} '
        "(counted from 1); mend the cell or leave the column out with --drop age"
    )
    assert load(path, "income", drop=["age"]).n_features == 3
    # The same text in a row to learn from makes the column one of categories.
    raw.loc[int(table.split["validation"][0]), "age"] = "old"
    write()
    assert load(path, "income").columns[0].kind == "categorical"


def test_what_is_described(people):
    table = load(people, "income", drop=["same"])
    described = json.loads(json.dumps(table.describe(), allow_nan=False))
    assert list(described) == [
        *("source", "fingerprint", "target", "rows", "features", "inputs"),
        *("classes", "columns", "notes", "train", "validation", "test"),
    ]
    assert described["source"] == str(people)
    assert len(described["fingerprint"]) == 64
    assert (described["rows"], described["features"]) == (60, 4)
    assert described["inputs"] == table.preprocessor.n_inputs
    assert described["columns"][0] == {
        "name": "age",
        "kind": "numeric",
        "missing": 0,
        "note": "",
    }
    assert described["notes"][0] == "left out as asked: same"
    assert described["test"] == table.split["test"].tolist()


def test_the_same_again_and_what_changes_it(people):
    table, again = load(people, "income"), load(people, "income")
    assert again.fingerprint == table.fingerprint
    assert again.describe() == table.describe()
    np.testing.assert_array_equal(again.x_train, table.x_train)
    other_seed = load(people, "income", seed=1)
    assert other_seed.fingerprint == table.fingerprint
    assert other_seed.describe()["train"] != table.describe()["train"]
    prints = {
        load(people, "income").fingerprint,
        load(people, "member").fingerprint,
        load(people, "income", drop=["age"]).fingerprint,
        load(people, "income", test_data=people).fingerprint,
    }
    assert len(prints) == 4


def test_the_fingerprint_tells_which_part_a_file_is_for(people, tmp_path):
    other = tmp_path / "other.csv"
    pd.read_csv(people, dtype=str, keep_default_na=False)[:9].to_csv(other, index=False)
    valid = load(people, "income", valid_data=other).fingerprint
    assert valid != load(people, "income", test_data=other).fingerprint
    assert valid == load(people, "income", valid_data=other).fingerprint


def test_shares(people):
    table = load(people, "income", split=(0.5, 0.25, 0.25))
    assert [len(rows) for rows in table.split.values()] == [30, 15, 15]


def test_parts_with_files_of_their_own(people, tmp_path):
    other = pd.read_csv(people, dtype=str, keep_default_na=False).iloc[:7]
    other.assign(extra="x").to_csv(tmp_path / "other.csv", index=False)
    table = load(people, "income", test_data=tmp_path / "other.csv")
    assert table.split["test"].tolist() == list(range(7))
    assert len(table.split["train"]) + len(table.split["validation"]) == 60
    assert len(table.split["train"]) == 45
    frame, y_test = table.test_rows()
    assert frame["age"].tolist() == other["age"].tolist()
    assert [table.classes[y] for y in y_test] == other["income"].tolist()
    assert table.describe()["files"] == {
        "train": str(people),
        "validation": None,
        "test": str(tmp_path / "other.csv"),
    }
    both = load(
        people,
        "income",
        valid_data=tmp_path / "other.csv",
        test_data=tmp_path / "other.csv",
    )
    assert len(both.split["train"]) == 60
    np.testing.assert_array_equal(both.x_valid, both.x_train[:7])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"income": "middle"}, '"middle" in row 1'),
        ({"age": "old"}, 'column "age": numbers expected, got "old" in row 1'),
        ({"income": ""}, "got 7 without, the first in row 1"),
        ("age", 'column "age" is needed'),
        ("income", 'column "income" (the target) is needed'),
    ],
)
@pytest.mark.parametrize("option", ["valid_data", "test_data"])
def test_own_files_that_do_not_fit(people, tmp_path, change, words, option):
    other = pd.read_csv(people, dtype=str, keep_default_na=False).iloc[:7]
    is_name = isinstance(change, str)
    other = other.drop(columns=change) if is_name else other.assign(**change)
    path = tmp_path / "other.csv"
    other.to_csv(path, index=False)
    message = refusal(people, "income", **{option: path})
    assert words in message
    assert str(path) in message


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["1", "0", "10", "-3"], (-3, 0, 1, 10)),
        (["1", "0", "01"], ("0", "01", "1")),
        (["1.0", "2.0"], ("1.0", "2.0")),
        (["NA", "b"], ("NA", "b")),
        (["true", "false"], ("false", "true")),
        (["=1+1", "<a href='x'>"], ("<a href='x'>", "=1+1")),
    ],
)
def test_classes_of_texts(tmp_path, labels, classes):
    n = 5 * len(labels)
    path = csv_of(tmp_path / "t.csv", x=range(n), y=labels * 5)
    found = load(path, "y").classes
    assert found == classes
    assert [type(label) for label in found] == [type(label) for label in classes]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([True, False], (False, True)),
        ([1.0, 2.0], (1.0, 2.0)),
        ([2, 10], (2, 10)),
        (["b", " a"], (" a", "b")),
        (pd.Categorical(["b", "a"]), ("a", "b")),
        ([dt.date(2024, 5, 1), dt.date(2024, 2, 1)], ("2024-02-01", "2024-05-01")),
        ([decimal.Decimal("1.5"), decimal.Decimal(2)], (1.5, 2.0)),
    ],
)
def test_classes_of_typed_columns(tmp_path, labels, classes):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"y": labels})
    frame = pd.concat([frame] * 5, ignore_index=True).assign(x=range(10))
    frame.to_parquet(tmp_path / "t.parquet")
    found = load(tmp_path / "t.parquet", "y").classes
    assert found == classes
    assert [type(label) for label in found] == [type(label) for label in classes]


def test_whole_labels_of_another_type_are_the_same_classes(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"x": range(20), "y": [0, 1] * 10})
    frame.to_csv(tmp_path / "ints.csv", index=False)
    frame.astype(float).to_parquet(tmp_path / "floats.parquet")
    ints, floats = tmp_path / "ints.csv", tmp_path / "floats.parquet"
    for main, other in ((ints, floats), (floats, ints)):
        table = load(main, "y", test_data=other)
        assert table.test_rows()[1].tolist() == [0, 1] * 10


def test_nested_cells_name_the_way_out(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"x": range(20), "z": [[1]] * 20, "y": AB})
    frame.to_parquet(tmp_path / "t.parquet")
    message = refusal(tmp_path / "t.parquet", "y")
    assert 'column "z": plain values are needed' in message
    assert load(tmp_path / "t.parquet", "y", drop=["z"]).n_features == 1


def test_npz(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "t.npz", X=rng.random((30, 3)), y=np.array(["p", "q"] * 15))
    table = load(tmp_path / "t.npz")
    assert table.classes == ("p", "q")
    assert table.preprocessor.array_names == ("x0", "x1", "x2")
    np.savez(tmp_path / "u.npz", X=rng.random((30, 3)))
    assert "got no y" in refusal(tmp_path / "u.npz")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"x": range(20), "y": ["a"] * 20}, 'two classes are needed, got only "a"'),
        ({"x": range(21), "y": [*AB, "rare"]}, 'at least 2 rows, got 1 of "rare"'),
        ({"x": range(22), "y": [*AB, "", "nan"]}, "got 2 without, the first in row 21"),
        ({"x": range(20), "y": np.arange(20) / 7}, "this is classification"),
        ({"x": range(90), "y": np.arange(90) ** 2}, "got 90 different numbers"),
        (
            {"x": range(2400), "y": [f"id{n // 2}" for n in range(2400)]},
            "classification into at most 1,000 classes, got 1,200 in 2,400 rows",
        ),
        ({"x": [""] * 20, "y": AB}, "got none: x (no value in the training rows)"),
        ({"x": [1] * 20, "y": AB}, "got none: x (constant in the training rows)"),
        ({"y": AB}, "at least one column that varies is needed"),
    ],
)
def test_tables_that_cannot_be_learnt(tmp_path, columns, words):
    message = refusal(csv_of(tmp_path / "t.csv", **columns), "y")
    assert words in message
    assert "t.csv" in message


def test_a_column_of_names_is_refused_with_the_way_out(tmp_path):
    n = 50_000
    names = [f"customer {place}" for place in range(n)]
    path = csv_of(
        tmp_path / "t.csv", **{"a name": names, "x": range(n), "y": AB * 2500}
    )
    message = refusal(path, "y")
    assert "at most 1,000 different texts" in message
    assert "got 50,000; leave it out with --drop 'a name'" in message
    assert load(path, "y", drop=["a name"]).n_features == 1


def test_targets_and_dropped_columns_that_are_not_there(people):
    assert "--target; the columns are age, city" in refusal(people, None)
    assert 'did you mean "income"?' in refusal(people, "incom")
    assert 'did you mean "income"?' in refusal(people, "INCOME")
    assert 'did you mean "city"?' in refusal(people, "income", drop=["citty"])
    assert "the target cannot be dropped" in refusal(people, "income", drop=["income"])


def test_a_part_without_rows(tmp_path):
    path = csv_of(tmp_path / "t.csv", x=range(4), y=["a", "b"] * 2)
    assert "got none for validation out of 4" in refusal(
        path, "y", split=(0.9, 0.05, 0.05)
    )
    assert {len(rows) for rows in load(path, "y").split.values()} == {1, 2}


def test_a_large_table_is_read_quickly(tmp_path):
    rng = np.random.default_rng(0)
    n = 50_000
    columns = {f"n{place}": rng.integers(0, 500, n) for place in range(7)}
    columns |= {f"c{place}": rng.choice(list("abcdef"), n) for place in range(7)}
    path = csv_of(tmp_path / "t.csv", **columns, y=rng.choice(["p", "q"], n))
    start = time.perf_counter()
    load(path, "y")
    # About 0.3 s on a quiet core; the bound only catches a change of order.
    assert time.perf_counter() - start < 20


def test_a_wide_array_costs_little_more_than_itself(tmp_path):
    rng = np.random.default_rng(0)
    x_NF = rng.random((8000, 400), dtype=np.float32)
    np.savez(tmp_path / "t.npz", X=x_NF, y=rng.integers(0, 2, 8000))
    tracemalloc.start()
    try:
        table = load(tmp_path / "t.npz")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The file, the array, the parts and a group of columns; in float64 it would be 9.
    assert peak < 6 * x_NF.nbytes
    center = np.median(x_NF[table.split["train"]].astype(np.float64), axis=0)
    assert [part.center for part in table.preprocessor.numeric] == center.tolist()


def test_no_torch_and_no_scikit_learn_for_a_file(people):
    code = (
        "import sys; from tunekit.data import load, read_table; "
        f"load({str(people)!r}, 'income'); "
        "print([name for name in ('torch', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_table_is_frozen(people):
    table = load(people, "income")
    assert isinstance(table, Table)
    with pytest.raises(AttributeError):
        table.classes = ()


def test_a_part_with_a_file_of_its_own_needs_no_share(people, tmp_path):
    path = tmp_path / "other.csv"
    pd.read_csv(people, dtype=str, keep_default_na=False).iloc[:9].to_csv(
        path, index=False
    )
    table = load(people, "income", test_data=path, split=(0.8, 0.2, 0.0))
    assert len(table.split["test"]) == 9
    parts = len(table.split["train"]) + len(table.split["validation"])
    assert parts == table.n_rows


@pytest.mark.parametrize("quoted", [False, True])
def test_the_index_that_pandas_writes_is_no_feature(people, tmp_path, quoted):
    frame = pd.read_csv(people, dtype=str, keep_default_na=False)
    if quoted:
        frame["said"] = ['he said "x, y"' if i % 3 else "no" for i in range(len(frame))]
    path = tmp_path / "indexed.csv"
    frame.to_csv(path)  # with the index, as people do
    plain = tmp_path / "plain.csv"
    frame.to_csv(plain, index=False)
    table, same = load(path, "income"), load(plain, "income")
    np.testing.assert_array_equal(table.x_train, same.x_train)
    assert table.columns == same.columns
    assert any("row index" in note for note in table.notes)
    rows = read_table(path).frame
    expected = same.preprocessor.transform(read_table(plain).frame)
    np.testing.assert_array_equal(table.preprocessor.transform(rows), expected)
