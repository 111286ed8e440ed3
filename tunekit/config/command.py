"""The command line: flags, a TOML file, and one line when something is off."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from tunekit.config.settings import PRUNERS, SAMPLERS, Config, read_toml
from tunekit.errors import ConfigError, did_you_mean

__all__ = ["Command", "Parser", "add_data", "asks_for_module", "read_command"]

_INTRO = """\
Finds good hyperparameters for a neural network that classifies the rows of a table,
and leaves a trained model, a report, and the curves of every trial.

examples:
  python -m tunekit.study                                  the embedded digits table
  python -m tunekit.study --data adult.csv --target income --n-trials 50
  python -m tunekit.study --data adult.csv --target income --timeout 10m
  python -m tunekit.study --set lr=1e-4..1e-2 --set optimizer=adamw,sgd --set dropout=0
  python -m tunekit.study --module mypackage.mymodule:MyModule --help    your own module

The same command again goes on where it was stopped; a larger budget continues."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose every complaint is one line with a suggestion."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise ConfigError(message.removeprefix("argument "))

    def read(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """Parse, and say which known option an unknown one resembles."""
        found, unknown = self.parse_known_args(arguments)
        if unknown:
            got = unknown[0].split("=")[0]
            if not got.startswith("-"):
                raise ConfigError(f'unexpected argument "{got}"; options begin with --')
            known = [o.lstrip("-") for a in self._actions for o in a.option_strings]
            name = got.lstrip("-")
            near = did_you_mean(name.replace("_", "-"), known)
            raise ConfigError(f'unknown option "{name}"{near}')
        return found


@dataclass(frozen=True)
class Command:
    """What was asked for on the command line."""

    config: Config
    dry_run: bool


def read_command(arguments: Sequence[str] | None = None) -> Command:
    """The options of ``python -m tunekit.study``.

    Raises:
        ConfigError: One line, for anything that cannot be used.

    Example:
        >>> read_command(["--n-trials", "5", "--set", "lr=1e-3..1e-2"]).config.space
        {'lr': '1e-3..1e-2'}
    """
    given = vars(_parser().read(arguments))
    settings = read_toml(given.pop("config")) if "config" in given else {}
    dry_run = given.pop("dry_run", False)
    space = settings.get("space", {})
    for assignment in given.pop("set", []):
        name, equals, value = assignment.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise ConfigError(
                "--set must be NAME=VALUE, NAME=LOW..HIGH or NAME=A,B,C, "
                f'got "{assignment}"'
            )
        if not isinstance(space, dict):
            raise ConfigError(
                f"space must be a table of hyperparameters, got {space!r}"
            )
        space = {**space, name.strip(): value.strip()}
    if space:
        settings["space"] = space
    if "drop" in given:
        given["drop"] = [c for part in given["drop"] for c in part.split(",")]
    return Command(Config.from_mapping({**settings, **given}), dry_run)


def asks_for_module(arguments: Sequence[str]) -> bool:
    """Whether a command line, or the file that it names, has a module."""
    for i, each in enumerate(arguments):
        flag, equals, value = each.partition("=")
        if flag == "--module":
            return True
        if flag == "--config":
            path = value if equals else "".join(arguments[i + 1 : i + 2])
            try:
                return "module" in read_toml(path)
            except ConfigError:
                return False  # whoever reads it next says so
    return False


def add_data(parser: Parser) -> None:
    """The flags that say which rows are read."""
    data = parser.add_argument_group("data")
    data.add_argument("--data", metavar="FILE", help="CSV, Parquet or npz (X, y)")
    data.add_argument("--target", metavar="COLUMN", help="the column with the class")
    data.add_argument("--drop", metavar="COLUMNS", action="append", help="leave out")
    data.add_argument(
        "--split", metavar="A/B/C", help="train/validation/test shares [60/20/20]"
    )
    data.add_argument(
        "--valid-data", metavar="FILE", help="validation rows of their own"
    )
    data.add_argument("--test-data", metavar="FILE", help="test rows of their own")


def _parser() -> Parser:
    """The flags; each absent one leaves the file's or the default value."""
    parser = Parser(
        prog="python -m tunekit.study",
        description=_INTRO,
        argument_default=argparse.SUPPRESS,
    )
    add_data(parser)
    budget = parser.add_argument_group(
        "budget (any one suffices; the first to end counts)"
    )
    budget.add_argument(
        "--n-trials",
        metavar="N",
        help="configurations to try [30 if no budget is given]; with --pruner\n"
        "promote they share N x max-epochs / 4 epochs",
    )
    budget.add_argument("--budget-epochs", metavar="N", help="epochs of all trials")
    budget.add_argument(
        "--timeout", metavar="TIME", help="the whole command's time: 90s, 10m, 2h"
    )
    budget.add_argument(
        "--trial-timeout",
        metavar="TIME",
        help="end a trial alone that takes longer or hangs",
    )
    budget.add_argument(
        "--stop-when-flat",
        action="store_true",
        help="end sooner, once all that is left gains less than another seed",
    )
    budget.add_argument(
        "--max-epochs",
        metavar="N",
        help="the longest a trial trains; fixed within a study [30]",
    )
    budget.add_argument(
        "--patience", metavar="N", help="end a trial after N epochs without gain [10]"
    )

    search = parser.add_argument_group("search")
    search.add_argument(
        "--set",
        metavar="NAME=RANGE",
        action="append",
        help="narrow (lr=1e-4..1e-2), list (optimizer=adamw,sgd) or fix (dropout=0) "
        "a hyperparameter; --dry-run shows them all",
    )
    search.add_argument("--sampler", metavar="NAME", help=_choices(SAMPLERS))
    search.add_argument("--pruner", metavar="NAME", help=_choices(PRUNERS))
    search.add_argument(
        "--warm-start",
        metavar="FOLDER",
        help="an earlier study, whose best are tried first",
    )
    search.add_argument("--seed", metavar="N", help="seed of everything random [0]")
    search.add_argument(
        "--final-seeds", metavar="N", help="times the winner is trained anew [5]"
    )

    machine = parser.add_argument_group("machine")
    machine.add_argument(
        "--engine",
        metavar="NAME",
        help="auto, vectorized (many trials as one\nnetwork) or lightning [auto]",
    )
    machine.add_argument(
        "--workers", metavar="N", help="processes that search at once [1]"
    )
    machine.add_argument(
        "--in-flight", metavar="N", help="trials open at once [2 to 8, by the budget]"
    )
    machine.add_argument(
        "--accelerator", metavar="NAME", help="auto, cpu or gpu [auto]"
    )

    files = parser.add_argument_group("files")
    files.add_argument("--out", metavar="FOLDER", help="where studies live [runs]")
    files.add_argument(
        "--name", metavar="NAME", help="the study's name [the file's stem]"
    )
    files.add_argument(
        "--keep-checkpoints",
        metavar="N",
        help="ended trials whose checkpoints stay, the best "
        "ones [weights of 5, states of 20]",
    )
    files.add_argument(
        "--extend",
        action="store_true",
        help="widen the ranges or choices of a study, and keep its trials",
    )
    files.add_argument(
        "--config", metavar="FILE.toml", help="the same options as keys (n_trials = 50)"
    )
    files.add_argument(
        "--dry-run", action="store_true", help="show what would be done; write nothing"
    )
    return parser


def _choices(names: Sequence[str]) -> str:
    """The names of a choice, the default in brackets."""
    return f"{', '.join(names[:-1])} or {names[-1]} [{names[0]}]"
