"""The preprocessor: what each kind of column becomes, and that nothing else matters."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunekit.data import Column, Preprocessor
from tunekit.errors import DataError


def fit(kind: str, cells, **other) -> tuple[Preprocessor, pd.DataFrame]:
    frame = pd.DataFrame({"c": pd.Series(cells, dtype=other.get("dtype"))})
    return Preprocessor.fit(frame, [Column("c", kind, 0)]), frame


def mixed(n: int = 40) -> tuple[pd.DataFrame, list[Column]]:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "number": rng.normal(5, 3, n).round(3).astype(str),
            "gaps": np.where(rng.random(n) < 0.2, "NA", rng.integers(0, 9, n)),
            "flag": rng.choice(["true", "false", ""], n),
            "day": pd.date_range("2023-11-05 09:15", periods=n, freq="31h").astype(str),
            "city": rng.choice(["Bern", "Oslo", "Rom", ""], n),
            "once": [f"id{place}" if place % 9 == 0 else "many" for place in range(n)],
            "same": ["1"] * n,
        }
    ).astype(object)
    kinds = {"flag": "boolean", "day": "date", "city": "categorical"}
    kinds |= {"once": "categorical"}
    return frame, [Column(name, kinds.get(name, "numeric"), 0) for name in frame]


def test_numbers_are_scaled_by_quartiles_and_smoothly_clipped():
    fitted, frame = fit("numeric", [0.0, 1.0, 2.0, 3.0, 4.0])
    z_N = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    expected = z_N / np.sqrt(1 + (z_N / 3) ** 2)
    np.testing.assert_allclose(fitted.transform(frame)[:, 0], expected, rtol=1e-6)
    assert fitted.feature_names == ["c"]


def test_half_the_range_where_quartiles_coincide():
    fitted, _ = fit("numeric", [0.0] * 9 + [10.0])
    (column,) = fitted.numeric
    assert (column.center, column.scale) == (0.0, 5.0)


def test_missing_numbers_take_the_median_and_an_input_of_their_own():
    fitted, frame = fit("numeric", [1.0, 2.0, np.nan, 3.0])
    assert fitted.feature_names == ["c", "c is missing"]
    x_NF = fitted.transform(frame)
    assert x_NF[2].tolist() == [0.0, 1.0]
    assert x_NF[:, 1].tolist() == [0, 0, 1, 0]


def test_missing_only_at_prediction_takes_the_median():
    fitted, _ = fit("numeric", [1.0, 2.0, 3.0])
    assert (
        fitted.transform(pd.DataFrame({"c": ["?", "inf", "2"]})).tolist() == [[0]] * 3
    )


def test_a_constant_with_gaps_leaves_only_the_gaps():
    fitted, _ = fit("numeric", [5.0, np.nan, 5.0])
    assert fitted.feature_names == ["c is missing"]
    assert fitted.transform(pd.DataFrame({"c": [9.0, np.nan]})).tolist() == [[0], [1]]


@pytest.mark.parametrize(
    ("kind", "cells", "why"),
    [
        ("numeric", [5.0, 5.0], "constant in the training rows"),
        ("numeric", [np.nan, np.nan], "no value in the training rows"),
        ("boolean", ["true", "true"], "constant in the training rows"),
        ("date", ["2024-01-31"] * 2, "constant in the training rows"),
        ("categorical", ["a", "a"], "constant in the training rows"),
        ("categorical", ["", ""], "no value in the training rows"),
        ("categorical", ["a", "b", "c"], "every text of the training rows occurs once"),
    ],
)
def test_columns_that_do_not_vary_are_left_out(kind, cells, why):
    fitted, frame = fit(kind, cells)
    assert fitted.left_out == {"c": why}
    assert fitted.column_names == fitted.feature_names == []
    assert fitted.transform(frame).shape == (len(cells), 0)


@pytest.mark.parametrize(
    "cells",
    [
        [1e308, -1e308, 0.0, 5.0],
        [1.7e308, -1.7e308, 1e308, -1e308],
        [0.0, 5e-324, 0.0, 0.0],
        [1e-300, 2e-300, 3e-300, 4e-300],
    ],
)
def test_extreme_numbers_stay_finite(cells):
    fitted, frame = fit("numeric", cells)
    extremes = pd.DataFrame({"c": [1.7e308, -1.7e308, 0.0, 5e-324]})
    for x_NF in (fitted.transform(frame), fitted.transform(extremes)):
        assert np.isfinite(x_NF).all()
        assert np.abs(x_NF).max() <= 3.0


def test_truth_values():
    fitted, frame = fit("boolean", ["true", "false", "", "true"], dtype=object)
    assert fitted.feature_names == ["c", "c is missing"]
    assert fitted.transform(frame).tolist() == [[1, 0], [0, 0], [1, 1], [1, 0]]


def test_dates():
    cells = ["2024-01-01", "2024-04-01", "", "2024-07-02"]
    fitted, frame = fit("date", cells, dtype=object)
    names = [name.removeprefix("c ") for name in fitted.feature_names]
    assert names == ["in days"] + [
        f"{circle} {wave}"
        for circle in ("month", "weekday")
        for wave in ("sine", "cosine")
    ] + ["is missing"]
    x_NF = fitted.transform(frame)
    # January stands at angle 0, April at a quarter turn; both days are Mondays.
    np.testing.assert_allclose(x_NF[0, 1:5], [0, 1, 0, 1], atol=1e-7)
    np.testing.assert_allclose(x_NF[1, 1:5], [1, 0, 0, 1], atol=1e-7)
    assert x_NF[2].tolist() == [0, 0, 0, 0, 0, 1]
    assert x_NF[0, 0] < x_NF[1, 0] < x_NF[3, 0]


def test_hours_of_dates():
    fitted, frame = fit("date", ["2024-01-01 00:00", "2024-01-01 06:00"], dtype=object)
    assert fitted.feature_names[1:] == ["c hour sine", "c hour cosine"]
    np.testing.assert_allclose(
        fitted.transform(frame)[:, 1:], [[0, 1], [1, 0]], atol=1e-7
    )


def test_categories_rare_ones_and_missing_ones():
    cells = ["b", "a", "a", "b", "rare", ""]
    fitted, frame = fit("categorical", cells, dtype=object)
    assert fitted.feature_names == ["c = a", "c = b", "c is another", "c is missing"]
    new = pd.DataFrame({"c": ["a", "never seen", " b ", None]}, dtype=object)
    assert fitted.transform(new).tolist() == np.eye(4)[[0, 2, 1, 3]].tolist()
    assert fitted.transform(frame).sum(axis=1).tolist() == [1] * 6


def test_without_rare_or_missing_ones_in_training_such_cells_are_all_zeros():
    fitted, _ = fit("categorical", ["b", "a", "a", "b"])
    assert fitted.feature_names == ["c = a", "c = b"]
    new = pd.DataFrame({"c": ["c", None, "a"]}, dtype=object)
    assert fitted.transform(new).tolist() == [[0, 0], [0, 0], [1, 0]]


def test_typed_frames_encode_like_texts():
    frame, columns = mixed()
    fitted = Preprocessor.fit(frame, columns)
    typed = pd.DataFrame(
        {
            "number": frame["number"].astype(float),
            "gaps": pd.to_numeric(frame["gaps"].replace("NA", None)),
            "flag": frame["flag"].map({"true": True, "false": False}),
            "day": pd.to_datetime(frame["day"]),
            "city": frame["city"].replace("", None).astype("category"),
            "once": frame["once"].astype("string"),
        }
    )
    np.testing.assert_array_equal(fitted.transform(typed), fitted.transform(frame))


def test_each_row_depends_on_itself_alone():
    frame, columns = mixed()
    fitted = Preprocessor.fit(frame.iloc[:30], columns)
    x_NF = fitted.transform(frame)
    assert x_NF.shape == (40, fitted.n_inputs)
    assert x_NF.dtype == np.float32
    alone = np.vstack([fitted.transform(frame.iloc[[row]]) for row in range(40)])
    np.testing.assert_array_equal(alone, x_NF)


def test_json_is_exact():
    frame, columns = mixed()
    fitted = Preprocessor.fit(frame, columns, array_names=list(frame))
    text = json.dumps(fitted.to_json(), allow_nan=False)
    again = Preprocessor.from_json(json.loads(text))
    assert again == fitted
    assert (
        again.left_out == fitted.left_out == {"same": "constant in the training rows"}
    )
    np.testing.assert_array_equal(again.transform(frame), fitted.transform(frame))


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30),
)
def test_any_numbers_survive_json_and_stay_in_bounds(cells, new):
    fitted, _ = fit("numeric", cells)
    again = Preprocessor.from_json(json.loads(json.dumps(fitted.to_json())))
    frame = pd.DataFrame({"c": new})
    x_NF = fitted.transform(frame)
    np.testing.assert_array_equal(again.transform(frame), x_NF)
    assert np.isfinite(x_NF).all()
    assert (np.abs(x_NF) <= 3.0).all()


def test_columns_are_found_by_name():
    frame, columns = mixed()
    fitted = Preprocessor.fit(frame, columns)
    shuffled = frame[list(reversed(frame.columns))].assign(extra="x")
    shuffled.columns = [f" {name} " for name in shuffled.columns]
    np.testing.assert_array_equal(fitted.transform(shuffled), fitted.transform(frame))
    without_constant = frame.drop(columns="same")
    np.testing.assert_array_equal(
        fitted.transform(without_constant), fitted.transform(frame)
    )


def test_rows_that_cannot_be_used():
    frame, columns = mixed()
    fitted = Preprocessor.fit(frame, columns)
    with pytest.raises(DataError, match='column "city" is needed'):
        fitted.transform(frame.drop(columns="city"))
    with pytest.raises(DataError, match='column names must differ, got "city" twice'):
        fitted.transform(pd.concat([frame, frame[["city"]]], axis=1))
    with pytest.raises(
        DataError, match='"number": numbers expected, got "abc" in row 2'
    ):
        fitted.transform(frame.assign(number=["1", "abc"] * 20))


@pytest.mark.parametrize("saved", [{}, {"format": 99}, {"format": 1, "numeric": [{}]}])
def test_json_of_something_else(saved):
    with pytest.raises(DataError, match="cannot be read"):
        Preprocessor.from_json(saved)
