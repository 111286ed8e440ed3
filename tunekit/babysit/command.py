"""``python -m tunekit.babysit``: one line for whatever goes wrong, and a code."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunekit.babysit.folder import SETTINGS
from tunekit.babysit.halfway import REPLAY
from tunekit.config import Parser, add_data, read_toml, resumable
from tunekit.errors import ConfigError

__all__ = ["main"]

_INTRO = """\
Trains one network for as long as you like and adjusts its hyperparameters as it trains:
every few epochs small changes are tried for a short burst, the best is kept, and all of
it is taken back when the validation loss turns bad.

examples:
  python -m tunekit.babysit --budget-epochs 300               the embedded digits table
  python -m tunekit.babysit --data adult.csv --target income --timeout 2d
  python -m tunekit.babysit --study runs/adult                a study's winner
  python -m tunekit.babysit --replay runs/adult-babysat       its schedule, once more

To step in while it trains, edit runs/NAME/steer.toml: a value holds from the next
interval on. tensorboard --logdir runs/NAME/tb shows the curves.
The same command again goes on where it was stopped; a larger budget continues."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    began = time.monotonic()
    found: list[Path] = []

    def work() -> None:
        given = vars(_parser().read(arguments))
        replayed = given.pop("replay", None)
        if replayed is not None:
            job = _replay(Path(replayed), given)
            found.append(job.place)
            job.run()
            return
        options = _options(given)
        found.append(options.folder)
        _run(options, began)

    return resumable(work, lambda: found[0] if found else None, SETTINGS, REPLAY)


def _run(options: Any, began: float) -> None:
    from rich.console import Console

    from tunekit.babysit.job import Job

    Job(options, Console(highlight=False), began).run()


def _replay(folder: Path, given: dict[str, Any]) -> Any:
    """What trains a model's schedule again, and keeps what it comes to."""
    from rich.console import Console

    from tunekit.babysit.again import Replay

    seed = given.pop("seed", None)
    out, name = given.pop("out", None), given.pop("name", None)
    if given:
        raise ConfigError(
            "--replay takes --seed, --out and --name beside it, got "
            f"--{next(iter(given)).replace('_', '-')}"
        )
    return Replay(folder, Console(highlight=False), seed=seed, out=out, name=name)


def _options(given: dict[str, Any]) -> Any:
    from tunekit.babysit.options import Options

    settings = read_toml(given.pop("config")) if "config" in given else {}
    space = dict(settings.get("space", {}))
    for assignment in given.pop("set", []):
        name, equals, value = assignment.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise ConfigError(
                f'--set must be NAME=VALUE or NAME=LOW..HIGH, got "{assignment}"'
            )
        space[name.strip()] = value.strip()
    if "drop" in given:
        given["drop"] = [c for part in given["drop"] for c in part.split(",")]
    return Options.from_mapping({**settings, **given, "space": space})


def _parser() -> Parser:
    parser = Parser(
        prog="python -m tunekit.babysit",
        description=_INTRO,
        argument_default=argparse.SUPPRESS,
    )
    add_data(parser)
    budget = parser.add_argument_group("budget (without one it trains until stopped)")
    budget.add_argument(
        "--budget-epochs", metavar="N", help="epochs in all, what is tried included"
    )
    budget.add_argument("--timeout", metavar="TIME", help="90s, 10m, 2h or 3d")
    watch = parser.add_argument_group("watching")
    watch.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        help="begin with a value (lr=0.01, width=256), or keep one\n"
        "within a range (lr=1e-4..1e-2)",
    )
    watch.add_argument("--hold", metavar="NAMES", help="never nudge these (lr,dropout)")
    watch.add_argument("--interval", metavar="N", help="epochs between two nudges [6]")
    watch.add_argument("--burst", metavar="N", help="epochs a nudge is tried for [1]")
    watch.add_argument("--nudges", metavar="N", help="nudges tried beside what is [2]")
    watch.add_argument(
        "--patience", metavar="N", help="intervals without gain until it is flat [2]"
    )
    watch.add_argument("--seed", metavar="N", help="seed of everything random [0]")
    files = parser.add_argument_group("files and machine")
    files.add_argument(
        "--study", metavar="FOLDER", help="begin with the winner of a study"
    )
    files.add_argument(
        "--replay",
        metavar="FOLDER",
        help="train a watched model's schedule again, with its seed or --seed",
    )
    files.add_argument("--out", metavar="FOLDER", help="where models live [runs]")
    files.add_argument(
        "--name", metavar="NAME", help="the model's name [the file's stem, -babysat]"
    )
    files.add_argument("--config", metavar="FILE.toml", help="the same options as keys")
    files.add_argument(
        "--engine", metavar="NAME", help="auto, vectorized or lightning [auto]"
    )
    files.add_argument("--accelerator", metavar="NAME", help="auto, cpu or gpu [auto]")
    return parser
