"""Nested plain values and tensors, taken apart and put together."""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tunekit.plain import packed, unpacked

leaves = (
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
)
keys = st.text() | st.integers() | st.tuples(st.integers(), st.text())
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(keys, inner)
        | st.lists(inner).map(tuple)
        | st.sets(st.integers() | st.text())
    ),
)


class Mode(str, Enum):  # noqa: UP042 - as in Pythons and libraries of before StrEnum
    MIN = "min"


class Place(NamedTuple):
    x: int
    y: int


def there_and_back(tree: Any) -> Any:
    tensors, rest = packed(tree, "x")
    return unpacked(tensors, json.loads(json.dumps(rest, allow_nan=False)))


@given(trees)
def test_plain_trees_come_back_as_they_were(tree: Any) -> None:
    again = there_and_back(tree)
    assert again == tree
    assert repr(again) == repr(tree) or isinstance(tree, set | dict | list | tuple)


def test_an_optimizers_state_comes_back_to_the_last_bit() -> None:
    net = torch.nn.Linear(3, 2)
    made = torch.optim.Adam(net.parameters(), lr=0.1, betas=(0.8, 0.9))
    net(torch.randn(4, 3)).sum().backward()
    made.step()
    again = there_and_back(made.state_dict())
    other = torch.optim.Adam(net.parameters())
    other.load_state_dict(again)
    assert other.state_dict()["param_groups"] == made.state_dict()["param_groups"]
    for i, slots in made.state_dict()["state"].items():
        for name, value in slots.items():
            assert torch.equal(other.state_dict()["state"][i][name], value)


def test_what_json_has_no_word_for() -> None:
    tree = {
        "$": [float("nan"), float("-inf"), (), {"$": 1}],
        "array": np.arange(6.0).reshape(2, 3),
        "scalar": np.float32(0.5),
        "path": Path("a") / "b",
        "deque": deque([1], maxlen=3),
        "frozen": {frozenset({1})},
        "ordered": OrderedDict(b=1, a=2),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "shared": (whole := torch.arange(4.0)),
        "view": whole[1:],
        3: True,
    }
    again = there_and_back(tree)
    assert [*again] == [*tree]
    nan, low, nothing, inner = again["$"]
    assert nan != nan
    assert (low, nothing, inner) == (float("-inf"), (), {"$": 1})
    assert np.array_equal(again["array"], tree["array"])  # type: ignore[arg-type]
    assert (again["scalar"], again["path"]) == (0.5, Path("a/b"))
    assert again["deque"] == deque([1])
    assert again["deque"].maxlen == 3
    assert again["frozen"] == {frozenset({1})}
    assert [*again["ordered"]] == ["b", "a"]
    assert again["half"].dtype == torch.bfloat16
    assert again["view"].tolist() == [1.0, 2.0, 3.0]
    assert again[3] is True


@pytest.mark.parametrize(
    ("bad", "where"),
    [
        ({"a": [1, object()]}, r"x\['a'\]\[1\]"),
        (print, "x"),
        ({"t": torch.eye(3).to_sparse()}, r"x\['t'\] must be a dense"),
        ({"t": torch.ones(1, dtype=torch.complex128)}, r"x\['t'\] .* torch.complex128"),
        ({"a": np.ones(2, dtype=">f8")}, r"x\['a'\] must be an array that torch"),
        ({"a": np.ones(2, dtype=np.longdouble)}, r"x\['a'\] must be an array"),
        ({"a": np.longdouble(0.5)}, r"x\['a'\] must be plain"),
        ({"a": Mode.MIN}, r"x\['a'\] must be plain values and tensors, got .*Mode"),
        ({"a": Place(1, 2)}, r"x\['a'\] must be plain .*Place"),
    ],
)
def test_anything_else_is_refused_with_its_place(bad: Any, where: str) -> None:
    with pytest.raises(TypeError, match=where):
        packed(bad, "x")


def test_what_was_never_written_is_refused() -> None:
    with pytest.raises(ValueError, match="none of the kinds"):
        unpacked({}, {"$": "code", "items": []})
    with pytest.raises(KeyError):
        unpacked({}, {"$": "tensor", "name": "x.0"})
