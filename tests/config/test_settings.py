"""Names, mappings and TOML files."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from tunekit.config import PRUNERS, SAMPLERS, Config, read_toml
from tunekit.errors import ConfigError

from .conftest import line_of


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (None, "digits"),
        ("adult.csv", "adult"),
        ("/some/where/My Table (1).csv", "My-Table-1"),
        ("../x.parquet", "x"),
        ("data.tar.csv", "data.tar"),
        (".csv", "csv"),
        ("été.csv", "t"),
        ("日本.csv", "study"),
        ("__.csv", "study"),
        ("-rf.csv", "rf"),
        ("[red]x[/red].csv", "red"),
        ("\x1b[31m.csv", "31m"),
    ],
)
def test_a_name_from_the_file(data: str | None, name: str) -> None:
    if data and "[/" in data:
        name = "red"  # the slash makes a folder of the first half
    assert Config(data=data).name == name


@given(st.text(max_size=40))
def test_a_name_from_any_stem_is_a_safe_folder(stem: str) -> None:
    config = Config(data=f"{stem}.csv")
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", config.name)
    assert config.folder.parent == Path("runs")


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", ".", "..", ".x", "-x", "a b", "é", "a\n", "[red]"]
)
def test_a_name_that_could_leave_its_folder(name: str) -> None:
    line = line_of(name=name)
    assert line.startswith("name must be letters")


# --- from mappings, to TOML and back --------------------------------------------------


def test_unknown_keys() -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping({"n-trials": 3})
    assert str(caught.value) == 'unknown key "n-trials"; did you mean "n_trials"?'
    with pytest.raises(ConfigError, match=r'unknown key "zzz"$'):
        Config.from_mapping({"zzz": 3})


shares = st.tuples(
    st.integers(1, 1000), st.integers(1, 1000), st.integers(1, 1000)
) | st.tuples(*[st.floats(1e-3, 1e3)] * 3)
texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r"),
    min_size=1,
    max_size=12,
)
configs = st.fixed_dictionaries(
    {},
    optional={
        "data": texts,
        "target": texts,
        "test_data": texts,
        "drop": st.lists(texts, max_size=3),
        "split": shares,
        "n_trials": st.none() | st.integers(1, 10**6),
        "max_epochs": st.integers(1, 10**4),
        "budget_epochs": st.none() | st.integers(1, 10**6),
        "timeout": st.none() | st.floats(1e-3, 1e9),
        "trial_timeout": st.none() | st.floats(1e-3, 1e9),
        "space": st.fixed_dictionaries(
            {},
            optional={
                "lr": st.sampled_from(
                    ["1e-4..1e-2", 0.01, {"scale": "log", "low": 1e-3, "high": 1e-2}]
                ),
                "optimizer": st.sampled_from([["sgd", "adam"], "sgd", "sgd,adamw"]),
                "nesterov": st.booleans(),
                "batch_size": st.sampled_from([16, [16, 32], "16,64"]),
            },
        ),
        "sampler": st.sampled_from(SAMPLERS),
        "pruner": st.sampled_from(PRUNERS),
        "seed": st.integers(0, 2**63 - 1),
        "in_flight": st.none() | st.integers(1, 9),
        "keep_checkpoints": st.none() | st.integers(0, 9),
    },
)


@given(configs)
def test_the_way_to_toml_and_back(options: dict[str, Any]) -> None:
    config = Config(**options)
    text = tomli_w.dumps(config.as_settings())
    again = Config.from_mapping(tomllib.loads(text))
    assert again == dataclasses.replace(config, in_flight=config.open_trials)
    assert tomli_w.dumps(again.as_settings()) == text


def test_a_split_is_divided_once(tmp_path: Path) -> None:
    # 1/1000, 2/1000 …: sums of rounded shares are not always 1 to the last bit.
    for n in range(3, 60):
        config = Config(split=(n, 7, 3))
        assert Config.from_mapping(config.as_settings()).split == config.split
        assert sum(config.split) == pytest.approx(1.0)


def test_settings_leave_out_what_is_not_set() -> None:
    settings = Config(budget_epochs=5).as_settings()
    assert "n_trials" not in settings
    assert "timeout" not in settings
    assert settings["space"] == {}


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().n_trials = 3  # type: ignore[misc]


# --- TOML files -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"n_trials = ", "must be TOML"),
        (b"\xff\xfe", "must be UTF-8"),
        (b"a = 1\na = 2", "must be TOML"),
    ],
)
def test_files_that_are_no_toml(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_toml(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.toml", tmp_path / ("x" * 300)):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_toml(path)


def test_a_path_no_system_can_have() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_toml("a\0b")


def test_a_name_fits_every_file_system(tmp_path: Path) -> None:
    assert Config(name="x" * 100).name == "x" * 100
    assert line_of(name="x" * 101) == "name must have at most 100 characters, got 101"
    assert Config(data="x" * 240 + ".csv").name == "x" * 100
