"""Reading files: what is accepted, and the one line for what is not."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunekit.data import array_frame, read_table
from tunekit.data.kinds import infer, parse
from tunekit.data.text import read_text
from tunekit.errors import DataError, MissingExtraError


@pytest.fixture
def write(tmp_path):
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def refusal(path) -> str:
    with pytest.raises(DataError) as caught:
        read_table(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_separators_line_ends_and_byte_order_marks(write, delimiter, end, mark):
    lines = ["name", "weight", "class"], ["Zoë", "1,5", "a"], ["x y", " 2 ", "b"]
    text = end.join(
        delimiter.join(f'"{c}"' if delimiter in c else c for c in line)
        for line in lines
    )
    raw = read_table(write("t.csv", mark + text.encode()))
    assert raw.is_text
    assert list(raw.frame.columns) == ["name", "weight", "class"]
    assert raw.frame.to_numpy().tolist() == [["Zoë", "1,5", "a"], ["x y", "2", "b"]]


def test_cells_stay_as_they_are_written(write):
    raw = read_table(write("t.csv", 'a , b\n01234,NA\n1e5,"say ""hi"", \nyou"\n,\n'))
    assert list(raw.frame.columns) == ["a", "b"]
    assert raw.frame.to_numpy().tolist() == [
        ["01234", "NA"],
        ["1e5", 'say "hi", \nyou'],
        ["", ""],
    ]


def test_decimal_commas_do_not_decide_the_separator(write):
    raw = read_table(write("t.csv", "a;b\n1,5;2,5\n3,5;4,5\n"))
    assert list(raw.frame.columns) == ["a", "b"]


def test_a_short_row_ends_in_empty_cells(write):
    raw = read_table(write("t.csv", "a,b,c\n1,2,3\n4\n"))
    assert raw.frame.to_numpy().tolist() == [["1", "2", "3"], ["4", "", ""]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "empty"),
        (" \n\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"\xef\xbb\xbf\r\n", "empty"),
        ("a,b\n", "rows are needed below the header"),
        ("a,a,b\n1,2,3\n", 'column names must differ, got "a" 2 times'),
        ("a, a,b\n1,2,3\n", 'column names must differ, got "a" 2 times'),
        ("a,,b\n1,2,3\n", "needs a name, got none for column 2"),
        ("a,b\n1,2,3\n1,2\n", "header's 2 cells, got 3 in line 2"),
        ("a,b\n1,2\n1,2,3\n", "header's 2 cells, got 3 in line 3"),
        ('a,b\n1,2\n"3,4\n5,6\n', "got an open one in row 2"),
        ('a,"b\n1,2\n', "got an open one in the header"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00", "binary"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "UTF-16"),
        ("a,b\n1,2\né,3\n".encode("latin-1"), "line 3"),
    ],
)
def test_text_that_is_no_table(write, content, words):
    assert words in refusal(write("t.csv", content))


def test_paths_that_are_no_table(tmp_path, write):
    assert "no such file" in refusal(tmp_path / "none.csv")
    assert "folder" in refusal(tmp_path)
    assert '".xlsx"' in refusal(write("t.xlsx", "a,b\n1,2\n"))
    assert '"no suffix"' in refusal(write("table", "a,b\n1,2\n"))


def test_a_name_that_is_too_long():
    message = "x" * 5000 + ".csv"
    with pytest.raises(DataError, match=r"^x{60}: cannot be a file \(.+\); check the"):
        read_table(message)


def test_plain_numbers_are_numbers_at_once_and_texts_on_demand(write):
    text = '"a"; b;c;zip;"d"\n1;x ;NA;01;5.\n 2.5; y;-1e3;2;6\n'
    raw = read_table(write("t.csv", text), target="d")
    assert raw.cells["a"].tolist() == [1.0, 2.5]
    np.testing.assert_array_equal(raw.cells["c"], [np.nan, -1000])
    assert raw.cells["zip"].tolist() == ["01", "2"]
    assert raw.cells["b"].tolist() == ["x", "y"]
    assert raw.cells["d"].tolist() == ["5.", "6"]
    rows = [["1", "x", "NA", "01", "5."], ["2.5", "y", "-1e3", "2", "6"]]
    assert raw.frame.to_numpy().tolist() == rows
    assert raw.rows(np.array([1])).to_numpy().tolist() == rows[1:]


ODD = ["1e", "1e+", "1_0", "٣", "0x1", "1.", ".", "--1", "+-1", "-nan", "+inf", "1e999"]
ODD += ["00", "-01", "0.5", "1 2", "NuLL", "none", "true", "1e400", "9" * 400, "1\x0b"]
ODD += ["9007199254740993", "0.1e-320", "1d5", "infinity", "1,5", "1\xa0", "+ 1", "é"]


@given(
    st.lists(
        st.sampled_from(ODD)
        | st.floats().map(repr)
        | st.text("0123456789+-.eE _naNAif?", max_size=6),
        min_size=1,
        max_size=3,
    )
)
def test_numbers_at_once_are_the_numbers_of_the_texts(cells):
    path = Path("t.csv")
    text = "c|t\n1|a\n" + "".join(f"{cell}|b\n" for cell in cells)
    with pytest.MonkeyPatch.context() as patch:
        # What the first rows do not show is found out further down.
        patch.setattr("tunekit.data.text._PEEK", 1)
        found, lines = read_text(path, text.encode())
        patch.setattr("tunekit.data.text._grid", lambda *arguments: None)
        texts, _ = read_text(path, text.encode())
    assert found["t"].tolist() == texts["t"].tolist()
    kind = infer(texts["c"], is_text=True, name="c")
    if lines is None:
        assert found["c"].tolist() == texts["c"].tolist()
    else:
        assert kind == "numeric"
        np.testing.assert_allclose(
            parse(found["c"], kind, name="c"),
            parse(texts["c"], kind, name="c"),
            rtol=1e-14,
        )
        assert lines.frame()["c"].tolist() == texts["c"].tolist()


def test_parquet_keeps_types_and_named_index(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": [1, 2], "b": [True, False]}, index=["p", "q"])
    frame.rename_axis("key").to_parquet(tmp_path / "t.parquet")
    raw = read_table(tmp_path / "t.parquet")
    assert not raw.is_text
    assert list(raw.frame.columns) == ["key", "a", "b"]
    assert raw.frame["b"].dtype == bool


def test_parquet_that_is_none(write):
    pytest.importorskip("pyarrow")
    assert "not a readable Parquet file" in refusal(write("t.parquet", "hello"))


def test_parquet_without_pyarrow_names_the_extra(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r'"optuna-tunekit\[parquet\]"'):
        read_table(write("t.parquet", "PAR1"))


def test_parquet_without_rows_or_with_one_name_twice(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": [], "b": []}).to_parquet(path)
    assert "rows are needed" in refusal(path)
    pd.DataFrame({"a": [1], "a ": [2]}).to_parquet(path)
    assert 'column names must differ, got "a" 2 times' in refusal(path)


def test_npz(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, X=np.eye(3, dtype=np.uint8), y=np.array([1, 0, 1]))
    raw = read_table(path)
    assert raw.target == "y"
    assert raw.array_names == ("x0", "x1", "x2")
    assert raw.frame["x1"].tolist() == [0, 1, 0]
    np.savez(path, X=np.eye(3))
    assert read_table(path).target is None


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": np.eye(2)}, "(classes) are needed, got a"),
        ({"X": np.arange(3)}, "got shape (3,)"),
        ({"X": np.eye(0)}, "got shape (0, 0)"),
        ({"X": np.eye(3), "y": np.arange(2)}, "for each of the 3 rows"),
        ({"X": np.eye(3) * 1j, "y": np.arange(3)}, "complex128"),
        ({"X": np.array([[{}]], dtype=object)}, "plain arrays"),
    ],
)
def test_npz_that_is_no_table(tmp_path, arrays, words):
    path = tmp_path / "t.npz"
    np.savez(path, **arrays)
    assert words in refusal(path)


def test_npz_that_is_damaged(tmp_path, write):
    assert "plain arrays" in refusal(write("t.npz", "hello"))
    path = tmp_path / "u.npz"
    np.savez_compressed(path, X=np.random.default_rng(0).random((50, 4)))
    content = bytearray(path.read_bytes())
    content[300] ^= 0xFF
    path.write_bytes(bytes(content))
    assert "damaged" in refusal(path)


def test_digits():
    raw = read_table(None)
    assert raw.frame.shape == (1797, 65)
    assert raw.target == "digit"
    assert raw.array_names[:2] == ("pixel_0_0", "pixel_0_1")


def test_array_frame_keeps_the_order():
    frame = array_frame(np.array([[1, 2]]), ["b", "a"])
    assert frame.to_dict("list") == {"b": [1], "a": [2]}


def test_the_digits_are_scikit_learns_with_and_without_its_file(monkeypatch):
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    for found in ("its file", "its loader"):
        if found == "its loader":
            monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        frame = read_table(None).frame
        assert np.array_equal(frame.drop(columns="digit").to_numpy(), pixels)
        assert np.array_equal(frame["digit"].to_numpy(), digits)
