"""Values of options: types, shares, durations."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunekit.config import PRUNERS, SAMPLERS, Config, parse_seconds
from tunekit.errors import ConfigError, SpaceError

from .conftest import line_of

WHOLE = [
    "n_trials",
    "max_epochs",
    "budget_epochs",
    "patience",
    "workers",
    "in_flight",
    "final_seeds",
    "keep_checkpoints",
    "seed",
]
TEXTS = ["data", "target", "valid_data", "test_data", "out", "name"]


# --- types ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("text", ["7", " 7 ", "+7"])
def test_whole_numbers_may_come_as_text(name: str, text: str) -> None:
    value = getattr(Config(**{name: text}), name)
    assert value == 7
    assert type(value) is int


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize(
    "value", ["many", "1.5", "", 1.0, True, [3], {"a": 1}, "1e3", "0x10", "9" * 5000]
)
def test_anything_else_is_no_whole_number(name: str, value: Any) -> None:
    line = line_of(**{name: value})
    assert name.replace("_", "-") in line
    assert "whole number" in line
    assert len(line) < 200


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_have_a_least(name: str) -> None:
    least = 0 if name in ("seed", "keep_checkpoints") else 1
    assert getattr(Config(**{name: least}), name) == least
    line = line_of(**{name: least - 1})
    assert f"{name.replace('_', '-')} must be at least {least}" in line
    assert f"got {least - 1}" in line


@pytest.mark.parametrize("name", ["max_epochs", "patience", "workers", "seed"])
def test_none_is_no_value_where_one_is_needed(name: str) -> None:
    assert "whole number" in line_of(**{name: None})


@pytest.mark.parametrize("name", [*TEXTS, "sampler", "pruner", "engine", "accelerator"])
@pytest.mark.parametrize("value", [3, 1.5, True, ["a"], {"a": 1}])
def test_texts_are_texts(name: str, value: Any) -> None:
    line = line_of(**{name: value})
    assert name.replace("_", "-") in line
    assert repr(value) in line


@pytest.mark.parametrize("name", ["data", "target", "valid_data", "test_data"])
def test_an_empty_path_is_a_mistake(name: str) -> None:
    assert line_of(**{name: ""}) == f"{name.replace('_', '-')} must not be empty"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 2),
        ({"n_trials": 100}, 6),
        ({"n_trials": 1000}, 8),
        ({"budget_epochs": 30}, 2),
        ({"budget_epochs": 600, "max_epochs": 30}, 5),
        ({"budget_epochs": 600, "max_epochs": 30, "n_trials": 5}, 5),
        ({"timeout": 60}, 8),
        ({"pruner": "none"}, 8),
        ({"engine": "lightning"}, 1),
        ({"workers": 3}, 3),
        ({"workers": 12}, 12),
        ({"in_flight": 1}, 1),
        ({"in_flight": "3", "workers": 4}, 3),
        ({"in_flight": None, "workers": "9"}, 9),
    ],
)
def test_how_many_trials_are_open_at_once_unless_somebody_says(
    options: dict[str, Any], expected: int
) -> None:
    config = Config(**options)
    assert config.open_trials == expected
    # Written down, so that a study goes on as it was begun.
    assert config.as_settings()["in_flight"] == expected
    again = Config.from_mapping(config.as_settings())
    assert again.as_settings() == config.as_settings()


def test_a_larger_budget_goes_on_with_as_many_open_trials_as_before() -> None:
    begun = Config(n_trials=10).as_settings()
    assert Config(n_trials=10).open_trials == 2
    assert Config(n_trials=1000).open_trials == 8
    assert Config(n_trials=1000).as_begun_with(begun).open_trials == 2
    assert Config(n_trials=1000, in_flight=6).as_begun_with(begun).open_trials == 6
    assert Config(n_trials=1000, workers=3).as_begun_with(begun).open_trials == 3
    assert Config(n_trials=1000).as_begun_with({}).open_trials == 8


def test_paths_may_be_paths(tmp_path: Path) -> None:
    config = Config(data=tmp_path / "a.csv", out=tmp_path)  # type: ignore[arg-type]
    assert config.data == str(tmp_path / "a.csv")
    assert config.folder == tmp_path / "a"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("sampler", SAMPLERS),
        ("pruner", PRUNERS),
        ("engine", ("auto", "vectorized", "lightning")),
        ("accelerator", ("auto", "cpu", "gpu")),
    ],
)
def test_choices(name: str, known: tuple[str, ...]) -> None:
    for choice in known:
        assert getattr(Config(**{name: choice}), name) == choice
    near = known[-1] + "x"
    line = line_of(**{name: near})
    assert all(choice in line for choice in known)
    assert f'got "{near}"; did you mean "{known[-1]}"?' in line


@pytest.mark.parametrize(
    "value", ["60/20/20", "60,20,20", [60, 20, 20], (0.6, 0.2, 0.2), [3, 1, 1]]
)
def test_shares_in_every_form(value: Any) -> None:
    assert Config(split=value).split == pytest.approx((0.6, 0.2, 0.2), abs=0)


@pytest.mark.parametrize(
    "value",
    [
        "60/20",
        "60/20/20/0",
        "a/b/c",
        "",
        "0/50/50",
        "-60/20/20",
        "nan/20/20",
        "inf/20/20",
        [0.5, 0.5],
        [None, 1, 1],
        {"train": 1},
        {"0.6": 1, "0.2": 1, "0.1": 1},
        3,
        0.6,
        True,
        None,
    ],
)
def test_no_shares(value: Any) -> None:
    assert "split must be three" in line_of(split=value)


def test_a_share_of_nothing_needs_a_file() -> None:
    assert "--test-data" in line_of(split="80/20/0")
    assert "--valid-data" in line_of(split="80/0/20")
    assert Config(split="80/20/0", test_data="t.csv").split == (0.8, 0.2, 0.0)


@pytest.mark.parametrize(
    ("value", "columns"),
    [("a,b", ("a", "b")), (" a , b ", ("a", "b")), (["a"], ("a",)), ((), ()), ([], ())],
)
def test_dropped_columns(value: Any, columns: tuple[str, ...]) -> None:
    assert Config(drop=value).drop == columns


@pytest.mark.parametrize("value", [3, 1.5, True, None, [1], ["a", None], {"a": 1}])
def test_no_dropped_columns(value: Any) -> None:
    assert f"drop must list column names, got {value!r}" == line_of(drop=value)


@pytest.mark.parametrize("value", [3, "lr", ["lr"], None, True])
def test_a_space_is_a_table(value: Any) -> None:
    assert "space must be a table" in line_of(space=value)


def test_a_space_is_checked_at_once() -> None:
    with pytest.raises(SpaceError, match='did you mean "lr"'):
        Config(space={"learning_rate": 0.1})
    with pytest.raises(SpaceError, match='space "lr"'):
        Config(space={"lr": "0.1..0.01"})


def test_thirty_trials_when_no_budget_is_given() -> None:
    assert Config().n_trials == 30
    assert Config(budget_epochs=5).n_trials is None
    assert Config(timeout="10m").n_trials is None
    assert Config(n_trials=3, timeout=5).n_trials == 3


# --- durations ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("2d", 172800),
        ("1d2h3m4s", 93784),
        (" 5M ", 300),
        (45, 45),
        (0.5, 0.5),
    ],
)
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_seconds(text) == seconds
    assert Config(timeout=text).timeout == seconds  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["", "soon", "10 m", "m", "10x", "-5m", "1h-5m", "1e3", True, [5], "10mm", "h5"],
)
def test_no_durations(text: Any) -> None:
    with pytest.raises(ConfigError, match="timeout must be a time such as 90s"):
        parse_seconds(text)


@pytest.mark.parametrize("value", [0, -1, 0.0, -0.5, "0s", "0"])
def test_no_time_at_all(value: Any) -> None:
    assert line_of(timeout=value).startswith("timeout must be above 0 s")
    assert line_of(trial_timeout=value).startswith("trial-timeout must be above 0 s")


@pytest.mark.parametrize("value", [math.nan, math.inf, "9" * 400, "9" * 400 + "d"])
def test_a_time_limit_is_finite(value: Any) -> None:
    assert "timeout must" in line_of(timeout=value)


@given(
    st.integers(0, 400),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 59),
)
def test_durations_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    text = f"{days}d{hours}h{minutes}m{seconds}s"
    assert parse_seconds(text) == ((days * 24 + hours) * 60 + minutes) * 60 + seconds
