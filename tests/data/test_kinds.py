"""What a column holds, read off its cells, and its one array form."""

import datetime as dt
import decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunekit.data.kinds import infer, parse
from tunekit.data.numbers import plain_numbers
from tunekit.errors import DataError


def texts(*cells) -> pd.Series:
    return pd.Series(cells, dtype=object)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "-2.5", "+3e-2", ".5", "4."], "numeric"),
        (["1", "", "NA", "N/A", "NaN", "nan", "null", "None", "?"], "numeric"),
        (["1", "inf", "-Infinity"], "numeric"),
        (["0", "0.5", "-0"], "numeric"),
        (["", ""], "numeric"),
        (["01234", "20099"], "categorical"),
        (["1", "00"], "categorical"),
        (["1", "2x"], "categorical"),
        (["1,5", "2,5"], "categorical"),
        (["1_000", "2"], "categorical"),
        (["٣", "1"], "categorical"),
        (["true", "FALSE", "True", ""], "boolean"),
        (["yes", "no"], "categorical"),
        (["NA", "b"], "categorical"),
        (["2024-01-31", "1969-07-20", "NA"], "date"),
        (["2024/01/31", "2024-01-31 12:30"], "date"),
        (["2024-01-31T12:30:59.25Z", "2024-01-31 12:30+02:00"], "date"),
        (["2024-02-30", "2024-02-28"], "categorical"),
        (["2024-01-31", "soon"], "categorical"),
        (["20240131", "20240201"], "numeric"),
        (["31.01.2024"], "categorical"),
    ],
)
def test_kinds_of_texts(cells, kind):
    assert infer(texts(*cells), is_text=True, name="c") == kind


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (pd.Series([1, 2]), "numeric"),
        (pd.Series([1.5, None]), "numeric"),
        (pd.Series([1, None], dtype="Int64"), "numeric"),
        (pd.Series([True, False]), "boolean"),
        (pd.Series([True, None], dtype="boolean"), "boolean"),
        (pd.Series([True, None], dtype=object), "boolean"),
        (pd.Series(["1", "2"]), "categorical"),
        (pd.Series(["1", None], dtype=object), "categorical"),
        (pd.Series([1, 2], dtype="category"), "categorical"),
        (pd.to_datetime(pd.Series(["2024-01-31", None])), "date"),
        (pd.Series(pd.date_range("2024", periods=2, tz="Europe/Paris")), "date"),
        (pd.Series([dt.date(2024, 1, 31), None], dtype=object), "date"),
        (pd.Series(pd.to_timedelta([1, 2], unit="h")), "numeric"),
        (pd.Series([decimal.Decimal("1.5"), None], dtype=object), "numeric"),
        (pd.Series([1, "a"], dtype=object), "categorical"),
    ],
)
def test_typed_columns_keep_their_kind(cells, kind):
    assert infer(cells, is_text=False, name="c") == kind


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series([[1], [2]], dtype=object),
        pd.Series([b"x", b"y"], dtype=object),
        pd.Series([1j, 2j]),
    ],
)
def test_columns_that_hold_no_cells(cells):
    with pytest.raises(DataError, match='column "c"'):
        infer(cells, is_text=False, name="c")


def test_numbers():
    cells = texts("1", " 2.5", "NULL", "?", "inf", "1e999", "-3E2")
    expected = [1, 2.5, np.nan, np.nan, np.nan, np.nan, -300]
    np.testing.assert_array_equal(parse(cells, "numeric", name="c"), expected)
    typed = pd.Series([1.0, np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(
        parse(typed, "numeric", name="c"), [1, np.nan, np.nan, np.nan]
    )


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_of_texts_are_exact(number):
    (parsed,) = parse(texts(repr(number)), "numeric", name="c")
    assert parsed == number


@given(
    st.lists(
        st.sampled_from(["", "NA", "NuLL", "1_0", "٣", "007", "inf", " 2 ", "1e999"])
        | st.floats().map(repr)
        | st.text("0123456789+-.eE\n", max_size=5),
        max_size=4,
    )
)
def test_whole_columns_are_read_like_single_cells(cells):
    bulk = plain_numbers(np.array([*cells, "1"], dtype=object))
    if bulk is not None:
        assert infer(texts(*map(str.strip, cells), "1"), is_text=True, name="c") == (
            "numeric"
        )
        # With one more cell that is no plain number, each text is looked at.
        single = parse(texts(*cells, "1", "inf"), "numeric", name="c")
        np.testing.assert_array_equal(bulk, single[:-1])


@pytest.mark.parametrize(
    "cells",
    [
        texts("True", "false", ""),
        pd.Series([True, False, None], dtype=object),
        pd.Series([True, False, None], dtype="boolean"),
        pd.Series([1, 0, None]),
    ],
)
def test_truth_values(cells):
    np.testing.assert_array_equal(parse(cells, "boolean", name="c"), [1, 0, np.nan])


@pytest.mark.parametrize(
    "cells",
    [
        texts("2024-01-31 12:30", "?"),
        texts("2024/01/31T12:30:00.000", ""),
        texts("2024-01-31 14:30+02:00", ""),
        pd.to_datetime(pd.Series(["2024-01-31 12:30", None])),
        pd.to_datetime(pd.Series(["2024-01-31 13:30", None])).dt.tz_localize("CET"),
        pd.Series([dt.datetime(2024, 1, 31, 12, 30), None], dtype=object),
    ],
)
def test_dates(cells):
    expected = np.array(["2024-01-31T12:30", "NaT"], dtype="datetime64[us]")
    np.testing.assert_array_equal(parse(cells, "date", name="c"), expected)


@pytest.mark.parametrize(
    "cells",
    [
        texts("2024-01-31", "2024-02-01"),
        pd.Series([dt.date(2024, 1, 31), dt.date(2024, 2, 1)], dtype=object),
        pd.to_datetime(pd.Series(["2024-01-31", "2024-02-01"])).astype("category"),
        pd.to_datetime(pd.Series(["2024-01-31", "2024-02-01"])).astype(object),
    ],
)
def test_days(cells):
    days = parse(cells, "date", name="c").astype("datetime64[D]")
    assert days.astype(str).tolist() == ["2024-01-31", "2024-02-01"]


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series([decimal.Decimal("1.5"), None, decimal.Decimal("Infinity")]),
        pd.Series(pd.to_timedelta(["36h", None, None])),
        pd.Series([dt.timedelta(hours=36), None, None], dtype=object),
        pd.Series([1.5, None, 10**400], dtype=object),
        pd.Series([1.5, None, None], dtype="category"),
    ],
)
def test_numbers_of_other_types(cells):
    np.testing.assert_array_equal(
        parse(cells, "numeric", name="c"), [1.5, np.nan, np.nan]
    )


@pytest.mark.parametrize(
    "cells",
    [
        texts("NA", "", "1"),
        pd.Series(["NA", None, "1"]),
        pd.Series(["NA", np.nan, 1.0], dtype=object),
        pd.Series(["NA", None, "1"], dtype="category"),
    ],
)
def test_only_empty_is_missing_among_categories(cells):
    assert parse(cells, "categorical", name="c").tolist() == ["NA", None, "1"]


def test_whole_numbers_that_became_floats_are_the_same_categories():
    cells = pd.Series([3, None, 4])
    assert parse(cells, "categorical", name="c").tolist() == ["3", None, "4"]


@pytest.mark.parametrize(
    ("cells", "kind", "message"),
    [
        (
            texts("1", "2", "abc"),
            "numeric",
            'column "age": numbers expected, got "abc" in row 3 (counted from 1)',
        ),
        (
            texts("true", "maybe"),
            "boolean",
            'column "age": true or false expected, got "maybe" in row 2 '
            "(counted from 1)",
        ),
        (
            pd.Series([1, 0, 7]),
            "boolean",
            'column "age": true or false expected, got "7" in row 3 (counted from 1)',
        ),
        (
            texts("2024-13-01"),
            "date",
            'column "age": dates such as 2024-01-31 expected, got "2024-13-01" in '
            "row 1 (counted from 1)",
        ),
        (
            pd.to_datetime(pd.Series(["2024-01-31"])),
            "numeric",
            'column "age": numbers expected, got "2024-01-31 00:00:00" in row 1 '
            "(counted from 1)",
        ),
    ],
)
def test_a_cell_of_another_kind_is_named(cells, kind, message):
    with pytest.raises(DataError) as caught:
        parse(cells, kind, name="age")
    assert str(caught.value) == message
