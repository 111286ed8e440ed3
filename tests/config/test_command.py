"""The command line."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pytest

from tunekit.config import Config, Parser, read_command
from tunekit.config import command as command_module
from tunekit.errors import ConfigError, SpaceError


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
    "trial_timeout": "9m",
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
    "keep_checkpoints": "3",
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
