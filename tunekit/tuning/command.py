"""``python -m tunekit.study --module …``: anybody's LightningModule, by its name."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from tunekit.config import PRUNERS, SAMPLERS, Parser, read_toml
from tunekit.errors import (
    ConfigError,
    StoppedError,
    TunekitError,
    did_you_mean,
    one_line,
)
from tunekit.files import write_json
from tunekit.tuning.job import tune
from tunekit.tuning.named import named, space_of

__all__ = ["main"]

_INTRO = """\
Finds good hyperparameters for a LightningModule of your own, and keeps the weights of
the best trials.

example:
  python -m tunekit.study --module mypackage.mymodule:MyModule \\
      --data mypackage.mydata:MyDataModule --set "lr=log 1e-4..1e-1" \\
      --set "layers=int 1..4" --set act=relu,gelu --max-epochs 20 --n-trials 30

The module is called with the hyperparameters by name; without --data it brings its own
loaders. The same command again goes on where it was stopped; a larger budget continues.
In a file (--config study.toml) the same options are keys, [space] holds
hyperparameters, such as lr = { scale = "log", low = 1e-4, high = 1e-1 }, and [trainer]
arguments of the Trainer."""
_FLAGS: Mapping[str, tuple[Any, str]] = {
    "module": (str, "package.module:Name of a LightningModule, or of a maker of one"),
    "data": (
        str,
        "package.module:Name of a LightningDataModule, or of a maker of loaders",
    ),
    "monitor": (str, "the name under which it logs its value [val_loss]"),
    "direction": (str, "minimize or maximize [minimize]"),
    "max_epochs": (int, "the longest a trial trains; fixed within a study [30]"),
    "n_trials": (int, "configurations to try [30 if no budget is given]"),
    "budget_epochs": (int, "epochs of all trials"),
    "timeout": (str, "wall time: 90s, 10m, 2h"),
    "trial_timeout": (str, "end a trial alone that takes longer or hangs"),
    "sampler": (str, f"{', '.join(SAMPLERS)} [{SAMPLERS[0]}]"),
    "pruner": (str, f"{', '.join(PRUNERS)} [{PRUNERS[0]}]"),
    "warm_start": (str, "folder of an earlier study, whose best are tried first"),
    "seed": (int, "seed of everything random [0]"),
    "out": (str, "where studies live [runs]"),
    "name": (str, "the study's name [the module's]"),
}
_SWITCHES = {
    "stop_when_flat": "end sooner, once all that is left gains less than another seed",
    "extend": "widen the ranges or choices of a study, and keep its trials",
}
_TABLES = ("space", "trainer")


def main(arguments: Sequence[str]) -> int:
    """The command line; the exit code."""
    try:
        _search(_settings(arguments))
    except KeyboardInterrupt as stop:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 128 + signal.Signals[str(stop) or "SIGINT"]
    except StoppedError as error:
        return _fail(error, 3)
    except TunekitError as error:
        return _fail(error, 2)
    except OSError as error:
        return _fail(error, 3)
    return 0


def _search(settings: dict[str, Any]) -> None:
    made = named(settings.pop("module"), "module")
    data = settings.pop("data", None)
    if data is not None:
        data = named(data, "data")
        data = data() if callable(data) else data
    scales, fixed = space_of(settings.pop("space", {}))
    budgets = ("n_trials", "budget_epochs", "timeout")
    if not any(name in settings for name in budgets):
        settings["n_trials"] = 30
    folder = Path(settings["out"]) / settings["name"]
    print(f"searching {', '.join(scales)} of {made.__name__}, in {folder}", flush=True)
    result = tune(
        lambda params: made(**{**fixed, **params}),
        scales,
        data=data,
        on_trial_end=_tell,
        **settings,
    )
    params = {**fixed, **result.best_params}
    best = {"params": params, "value": result.best_value, "trial": result.best_number}
    write_json(folder / "best.json", best)
    shown = "  ".join(f"{name}={_brief(v)}" for name, v in params.items())
    print(f"best of {len(result.trials)} trials: {result.best_value:.6g}  {shown}")
    print(f"kept in {folder}: best.json, and the best trials' weights in checkpoints/")


def _tell(trial: FrozenTrial) -> None:
    """A line for a trial that has ended."""
    known = trial.user_attrs
    value, error = known.get("best_val_loss"), known.get("error", "")
    came_to = "failed: " + one_line(error) if error else "no finite value"
    if value is not None:
        came_to = f"{value:.6g} at epoch {known['best_epoch']} of {known['epochs']}"
    shown = "  ".join(f"{name}={_brief(v)}" for name, v in known["params"].items())
    print(f"trial {trial.number:4d}  {came_to}  {shown}", flush=True)


def _brief(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else one_line(str(value))


def _settings(arguments: Sequence[str]) -> dict[str, Any]:
    """What flags and file ask for; flags win."""
    given = vars(_parser().read(arguments))
    settings = read_toml(given.pop("config")) if "config" in given else {}
    known = [*_FLAGS, *_SWITCHES, *_TABLES]
    for key in settings:
        if key not in known:
            raise ConfigError(f'unknown key "{key}"{did_you_mean(key, known)}')
    for name in _TABLES:
        if not isinstance(settings.setdefault(name, {}), dict):
            raise ConfigError(f"{name} must be a table, got {settings[name]!r}")
    for assignment in given.pop("set", []):
        name, equals, value = assignment.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise ConfigError(
                '--set must be NAME=VALUE, NAME=A,B,C or "NAME=SCALE LOW..HIGH", got '
                f'"{assignment}"'
            )
        settings["space"] = {**settings["space"], name.strip(): value.strip()}
    settings |= given
    if not settings["trainer"]:
        del settings["trainer"]
    defaults = {"max_epochs": 30, "out": "runs"}
    name = str(settings.get("module", "")).rpartition(":")[2].rpartition(".")[2]
    return {**defaults, "name": name, **settings}


def _parser() -> Parser:
    parser = Parser(
        prog="python -m tunekit.study",
        description=_INTRO,
        argument_default=argparse.SUPPRESS,
    )
    for name, (kind, words) in _FLAGS.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, metavar=kind.__name__.upper(), help=words)
    for name, words in _SWITCHES.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, action="store_true", help=words)
    parser.add_argument(
        "--set",
        metavar="NAME=RANGE",
        action="append",
        help="a hyperparameter: log, one-minus-log, uniform, int or int-log and a "
        'range ("lr=log 1e-4..1e-1"), a list (act=relu,gelu) or a value (width=64)',
    )
    parser.add_argument(
        "--config", metavar="FILE.toml", help="the same options as keys"
    )
    return parser


def _fail(error: Exception, code: int) -> int:
    print(f"error: {one_line(' '.join(str(error).split()))}", file=sys.stderr)
    return code
