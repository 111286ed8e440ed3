"""Rows in memory become what rows of a file do, without test rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tunekit.data import Preprocessor, frame_table, load
from tunekit.errors import DataError

FRAME = pd.DataFrame(
    {
        "age": [*range(20, 69), None],
        "town": ["Ulm", "Köln"] * 25,
        "same": 1,
    }
)
Y = (FRAME["age"].fillna(0).to_numpy() > 45).astype(np.int64)


def test_training_rows_alone_are_fitted_and_no_row_is_lost() -> None:
    table = frame_table(FRAME, Y, ("no", "yes"), valid_share=0.3, seed=1)
    train, valid = table.split["train"], table.split["validation"]
    assert sorted([*train, *valid]) == list(range(50))
    assert len(valid) == 15
    assert not len(table.split["test"])
    fitted = Preprocessor.fit(FRAME.iloc[train], table.columns)
    assert fitted == table.preprocessor
    assert np.array_equal(table.x_valid, fitted.transform(FRAME.iloc[valid]))
    assert np.array_equal(table.y_train, Y[train])
    assert table.notes == ("left out, constant in the training rows: same",)
    assert [len(part) for part in table.test_rows()] == [0, 0]


def test_a_file_of_the_same_rows_has_the_same_columns(tmp_path) -> None:
    rows = FRAME.assign(answer=np.array(["no", "yes"])[Y])
    rows.to_csv(tmp_path / "rows.csv", index=False)
    read = load(tmp_path / "rows.csv", "answer")
    table = frame_table(FRAME, Y, ("no", "yes"), valid_share=0.2, seed=0)
    assert [vars(column) for column in table.columns] == [
        vars(column) for column in read.columns
    ]


def test_the_fingerprint_is_of_names_types_cells_and_classes() -> None:
    def print_of(frame: pd.DataFrame = FRAME, y: np.ndarray = Y) -> str:
        table = frame_table(frame, y, ("no", "yes"), valid_share=0.2, seed=0)
        return table.fingerprint

    changed = FRAME.copy()
    changed.loc[3, "town"] = "Rom"
    assert print_of() == print_of(FRAME.set_index(np.arange(50)[::-1]))
    others = [
        print_of(changed),
        print_of(FRAME.rename(columns={"town": "city"})),
        print_of(FRAME.astype({"same": float})),
        print_of(y=1 - Y),
    ]
    assert len({print_of(), *others}) == 5


def test_a_class_of_one_row_trains() -> None:
    y = Y.copy()
    y[7] = 2
    table = frame_table(FRAME, y, ("a", "b", "c"), valid_share=0.2, seed=0)
    assert 2 in table.y_train
    assert 2 not in table.y_valid


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (FRAME[["same"]], "X: at least one column that varies is needed"),
        (FRAME.assign(b=[{}] * 50), 'column "b": plain values are needed'),
    ],
)
def test_what_cannot_be_used_is_refused(frame: pd.DataFrame, words: str) -> None:
    with pytest.raises(DataError) as refused:
        frame_table(frame, Y, ("no", "yes"), valid_share=0.2, seed=0)
    assert words in str(refused.value)
