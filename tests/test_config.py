"""Options: their types, their refusals, what wins, and the way to TOML and back."""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from tunekit.config import (
    PRUNERS,
    SAMPLERS,
    Config,
    Parser,
    parse_seconds,
    read_command,
    read_toml,
)
from tunekit.config import command as command_module
from tunekit.errors import ConfigError, SpaceError

WHOLE = [
    "n_trials",
    "max_epochs",
    "budget_epochs",
    "patience",
    "workers",
    "in_flight",
    "final_seeds",
    "seed",
]
TEXTS = ["data", "target", "valid_data", "test_data", "out", "name"]


def line_of(**options: Any) -> str:
    """The one line with which these options are refused."""
    with pytest.raises(ConfigError) as caught:
        Config(**options)
    line = str(caught.value)
    assert "\n" not in line
    return line


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
    least = 0 if name == "seed" else 1
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
        ({}, 8),
        ({"workers": 3}, 8),
        ({"workers": 12}, 12),
        ({"in_flight": 1}, 1),
        ({"in_flight": "3", "workers": 4}, 3),
        ({"in_flight": None, "workers": "9"}, 9),
    ],
)
def test_eight_trials_are_open_at_once_or_one_a_worker(
    options: dict[str, Any], expected: int
) -> None:
    config = Config(**options)
    assert config.in_flight == expected
    # Written down, so that a study goes on as it was begun.
    assert config.as_settings()["in_flight"] == expected
    assert Config.from_mapping(config.as_settings()) == config


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
    assert "timeout must be above 0 s" in line_of(timeout=value)


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


# --- names ----------------------------------------------------------------------------


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
    },
)


@given(configs)
def test_the_way_to_toml_and_back(options: dict[str, Any]) -> None:
    config = Config(**options)
    text = tomli_w.dumps(config.as_settings())
    again = Config.from_mapping(tomllib.loads(text))
    assert again == config
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


# --- the command line -----------------------------------------------------------------


def actions() -> dict[str, argparse.Action]:
    """Every long flag of the parser, with underscores."""
    return {
        option.removeprefix("--").replace("-", "_"): action
        for action in command_module._parser()._actions
        for option in action.option_strings
        if option.startswith("--")
    }


def test_every_option_has_its_flag_and_every_flag_its_option() -> None:
    fields = {field.name for field in dataclasses.fields(Config)}
    flags = set(actions()) - {"help", "config", "dry_run", "set"}
    assert flags == fields - {"space"}
    page = command_module._parser().format_help()
    for name in flags | {"config", "dry_run", "set"}:
        assert f"--{name.replace('_', '-')}" in page
        assert actions()[name].help


def test_help_names_the_defaults_that_hold() -> None:
    page = command_module._parser().format_help()
    defaults = Config()
    assert f"fixed within a study [{defaults.max_epochs}]" in page
    assert f"without gain [{defaults.patience}]" in page
    assert f"[{defaults.n_trials} if no budget is given]" in page
    assert f"[{defaults.sampler}]" in page
    assert f"[{defaults.pruner}]" in page
    assert f"anew [{defaults.final_seeds}]" in page
    assert f"at once [{defaults.workers}]" in page
    assert f"[{defaults.out}]" in page
    assert max(map(len, page.splitlines())) <= 88


def test_a_bare_command_is_the_default_config() -> None:
    command = read_command([])
    assert command.config == Config()
    assert command.dry_run is False
    assert read_command(["--dry-run"]).dry_run is True


VALUES = {
    "data": "a.csv",
    "target": "y",
    "valid_data": "v.csv",
    "test_data": "t.csv",
    "drop": "a,b",
    "split": "70/20/10",
    "n_trials": "5",
    "max_epochs": "6",
    "budget_epochs": "7",
    "timeout": "8m",
    "patience": "9",
    "warm_start": "runs/old",
    "sampler": "random",
    "pruner": "none",
    "engine": "lightning",
    "workers": "2",
    "in_flight": "3",
    "accelerator": "cpu",
    "seed": "11",
    "final_seeds": "2",
    "out": "o",
    "name": "n",
}
SWITCHES = ("stop_when_flat", "extend")


def test_every_flag_reaches_its_option() -> None:
    names = {f.name for f in dataclasses.fields(Config)} - {"space"}
    assert {*VALUES, *SWITCHES} == names
    for name in SWITCHES:
        flag = f"--{name.replace('_', '-')}"
        assert read_command([flag]).config == Config(**{name: True}) != Config()
    for name, value in VALUES.items():
        flag = f"--{name.replace('_', '-')}"
        expected = Config(**{name: value})
        assert read_command([flag, value]).config == expected
        assert read_command([f"{flag}={value}"]).config == expected
        assert expected != Config()


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(
        'n_trials = 9\nsampler = "random"\ndrop = ["z"]\ntimeout = "5m"\n'
        "[space]\nlr = 0.5\nwidth = 8\n"
    )
    config = read_command(
        ["--config", str(path), "--n-trials", "2", "--drop", "a", "--set", "lr=0.1"]
    ).config
    assert config.n_trials == 2
    assert config.sampler == "random"
    assert config.drop == ("a",)
    assert config.timeout == 300
    assert dict(config.space) == {"lr": "0.1", "width": 8}


def test_repeated_set_and_drop_add_up_and_the_last_wins() -> None:
    config = read_command(
        [
            "--set",
            "lr=1e-3..1e-2",
            "--set",
            "optimizer=adam,sgd",
            "--set",
            "lr=0.1",
            "--drop",
            "a,b",
            "--drop",
            "c",
        ]
    ).config
    assert config.space == {"lr": "0.1", "optimizer": "adam,sgd"}
    assert config.drop == ("a", "b", "c")
    assert read_command(["--n-trials", "2", "--n-trials", "3"]).config.n_trials == 3


@pytest.mark.parametrize("text", ["lr", "=3", "lr=", " = ", "", "lr= "])
def test_assignments_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="--set must be NAME=VALUE"):
        read_command(["--set", text])


def test_a_value_may_hold_an_equals_sign() -> None:
    with pytest.raises(SpaceError, match='space "lr"'):
        read_command(["--set", "lr=a=b"])


def test_set_beside_a_space_that_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("space = 3\n")
    for extra in ([], ["--set", "lr=0.1"]):
        with pytest.raises(ConfigError, match="space must be a table"):
            read_command(["--config", str(path), *extra])


@pytest.mark.parametrize("value", ["0", '""', "false", "[]"])
def test_an_empty_space_that_is_no_table(tmp_path: Path, value: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f"space = {value}\n")
    with pytest.raises(ConfigError, match="space must be a table"):
        read_command(["--config", str(path)])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--n-trial", "3"], 'unknown option "n-trial"; did you mean "n-trials"?'),
        (["--n_trials=3"], 'unknown option "n_trials"; did you mean "n-trials"?'),
        (["--n", "3"], 'unknown option "n"'),
        (["--zzzzz"], 'unknown option "zzzzz"'),
        (["adult.csv"], 'unexpected argument "adult.csv"; options begin with --'),
        (["--n-trials"], "--n-trials: expected one argument"),
    ],
)
def test_flags_are_never_guessed(arguments: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_command(arguments)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_a_parser_never_exits_on_a_mistake() -> None:
    parser = Parser(prog="x")
    parser.add_argument("folder")
    assert parser.read(["runs/a"]).folder == "runs/a"
    with pytest.raises(ConfigError):
        parser.read([])


def test_a_range_of_batch_sizes_is_no_mistake_before_the_table_is_read() -> None:
    assert Config(space={"batch_size": "16..64"}).space == {"batch_size": "16..64"}


def test_a_name_fits_every_file_system(tmp_path: Path) -> None:
    assert Config(name="x" * 100).name == "x" * 100
    assert line_of(name="x" * 101) == "name must have at most 100 characters, got 101"
    assert Config(data="x" * 240 + ".csv").name == "x" * 100
