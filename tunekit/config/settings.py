"""Every option of a study, checked before any work is done.

The command line, a TOML file and Python give the same ``Config``; a wrong key, type,
range or name stops here, in one line.
"""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tunekit.config.typed import AT_LEAST, TIMES, as_flag, typed
from tunekit.errors import ConfigError, did_you_mean, one_line
from tunekit.rungs import epochs_for
from tunekit.space import recipe_space

__all__ = ["PRUNERS", "SAMPLERS", "Config", "check_name", "read_toml"]

SAMPLERS: tuple[str, ...] = (
    "coarse-to-fine",
    "tpe",
    "random",
    "grid",
    "qmc",
    "gp",
    "cmaes",
)
"""Names of samplers, the default first."""
PRUNERS: tuple[str, ...] = ("promote", "none", "median", "halving", "hyperband")
"""Names of pruners, the default first."""
DEFAULT_TRIALS = 30
"""The budget when none is given."""
_IN_FLIGHT = 8
"""Trials open at once, at most, unless somebody says otherwise."""
_FITS_AN_OPEN_TRIAL = 4
"""Full trainings that a budget needs for each trial that is open at once."""
_ENGINES = ("auto", "vectorized", "lightning")
_ACCELERATORS = ("auto", "cpu", "gpu")
_LONGEST_NAME = 100
"""Characters of a study's name; folders of some systems have at most 255."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """All options of one study; see each field.

    Raises:
        ConfigError: One line, if any option cannot be used.

    Example:
        >>> Config(data="adult.csv", target="income", timeout="10m").name
        'adult'
        >>> Config(n_trials=0)
        Traceback (most recent call last):
        tunekit.errors.ConfigError: n-trials must be at least 1, got 0
    """

    data: str | None = None
    """CSV, Parquet or npz file; the embedded digits table when None."""
    target: str | None = None
    """Column that holds the class."""
    valid_data: str | None = None
    """File with validation rows of its own."""
    test_data: str | None = None
    """File with test rows of its own."""
    drop: tuple[str, ...] = ()
    """Columns to leave out."""
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Shares of training, validation and test rows; or a text such as ``60/20/20``."""
    n_trials: int | None = None
    """Configurations to sample; 30 when no budget is given. With the pruner
    ``promote`` and no ``budget_epochs``, all of them together train for a quarter of
    their ``max_epochs``, but at least once to the end; see :attr:`epochs`."""
    max_epochs: int = 30
    """The longest a trial trains."""
    budget_epochs: int | None = None
    """Epochs of all trials together."""
    timeout: float | None = None
    """Seconds for the whole command; or a text such as ``10m``."""
    trial_timeout: float | None = None
    """Seconds that one trial may train, or a text such as ``10m``: what takes longer
    fails alone; see :mod:`tunekit.limit`."""
    patience: int = 10
    """Epochs without a better validation loss after which a trial ends."""
    space: Mapping[str, Any] = field(default_factory=dict)
    """By hyperparameter: a narrower range, choices, or a fixed value."""
    sampler: str = SAMPLERS[0]
    """How configurations are chosen."""
    pruner: str = PRUNERS[0]
    """How weak trials are stopped early; ``promote`` pauses trials and lets the best
    go on."""
    warm_start: str | None = None
    """Folder of an earlier study: its best configurations are tried first."""
    stop_when_flat: bool = False
    """End the search once what is left of the budget can be expected to gain less than
    another seed changes; see :mod:`tunekit.flat`."""
    engine: str = "auto"
    """What trains: ``vectorized`` (many trials as one network; also ``auto``) or
    ``lightning`` (one after the other in a Trainer)."""
    workers: int = 1
    """Processes that train at once."""
    in_flight: int | None = None
    """Trials open at once; when None 2 to 8, by the budget (in a Trainer, one), and no
    fewer than workers."""
    accelerator: str = "auto"
    """``cpu``, ``gpu``, or ``auto``: a GPU if there is one."""
    seed: int = 0
    """Seed of the split, the search and every model."""
    final_seeds: int = 5
    """Seeds with which the winner is trained anew."""
    out: str = "runs"
    """Folder of all studies."""
    keep_checkpoints: int | None = None
    """Ended trials whose checkpoints stay, the best ones; when None the weights of 5
    and, to go on from with a larger budget, the states of 20."""
    extend: bool = False
    """Let the space of a study that exists grow to this one; its trials are kept."""
    name: str = ""
    """The study's name; the data file's stem, or ``digits``, when empty."""

    def __post_init__(self) -> None:
        """Check and complete every option."""
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            object.__setattr__(self, each.name, typed(each.name, value))
        for name, low in AT_LEAST.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise ConfigError(
                    f"{as_flag(name)} must be at least {low}, got {value}"
                )
        for name, known in _ONE_OF.items():
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(
                    f'{as_flag(name)} must be one of {", ".join(known)}, got "{value}"'
                    + did_you_mean(value, known)
                )
        for name in TIMES:
            seconds = getattr(self, name)
            if seconds is not None and not 0 < seconds < math.inf:
                raise ConfigError(
                    f"{as_flag(name)} must be above 0 s and finite, got {seconds:g} s"
                )
        self._check_split()
        if self.n_trials is self.budget_epochs is self.timeout is None:
            object.__setattr__(self, "n_trials", DEFAULT_TRIALS)
        if not self.name:
            stem = Path(self.data).stem if self.data else "digits"
            slug = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")
            object.__setattr__(self, "name", slug[:_LONGEST_NAME] or "study")
        check_name(self.name)
        recipe_space(self.space)

    @property
    def open_trials(self) -> int:
        """Trials open at once: ``in_flight``, where it is given.

        Who promotes decides by what others have come to: a search of few full trainings
        learns most from few at a time. Where time is what ends it, more are faster.

        Example:
            >>> Config(n_trials=30, max_epochs=50).open_trials
            2
            >>> Config(n_trials=30, max_epochs=50, in_flight=5).open_trials
            5
        """
        if self.in_flight is not None:
            return self.in_flight
        if self.engine == "lightning":
            n = 1
        elif self.pruner != "promote" or self.epochs is None:
            n = _IN_FLIGHT
        else:
            fits = self.epochs / self.max_epochs
            n = min(_IN_FLIGHT, max(2, round(fits / _FITS_AN_OPEN_TRIAL)))
        return max(n, self.workers)

    def as_begun_with(self, settings: Mapping[str, Any]) -> Self:
        """This, with what a study keeps that nobody asks to be changed.

        Args:
            settings: As its ``study.toml`` has them.
        """
        begun = settings.get("in_flight")
        if self.in_flight is not None or begun is None:
            return self
        return dataclasses.replace(self, in_flight=max(begun, self.workers))

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """A Config from keys such as a TOML file holds.

        Raises:
            ConfigError: For an unknown key, with the nearest known one.
        """
        known = [each.name for each in dataclasses.fields(cls)]
        for key in settings:
            if key not in known:
                near = did_you_mean(key.replace("-", "_"), known)
                raise ConfigError(f'unknown key "{key}"{near}')
        return cls(**settings)

    @property
    def epochs(self) -> int | None:
        """Epochs of all trials together, if they are limited.

        Where trials are paused and promoted, their number alone says little of the
        work; see :func:`tunekit.rungs.epochs_for`.

        Example:
            >>> Config(n_trials=30, max_epochs=50, pruner="promote").epochs
            375
            >>> Config(n_trials=30, pruner="none").epochs is None
            True
        """
        if self.budget_epochs or self.n_trials is None or self.pruner != "promote":
            return self.budget_epochs
        return epochs_for(self.n_trials, self.max_epochs)

    @property
    def folder(self) -> Path:
        """The study's folder, ``OUT/NAME``."""
        return Path(self.out) / self.name

    def data_options(self) -> dict[str, Any]:
        """What reading the table needs, as ``tunekit.data.load`` takes it."""
        names = ("data", "target", "valid_data", "test_data", "drop", "split", "seed")
        return {name: getattr(self, name) for name in names}

    def as_settings(self) -> dict[str, Any]:
        """Every option that has a value, plain, as it stands in ``study.toml``."""
        found = {
            each.name: getattr(self, each.name) for each in dataclasses.fields(self)
        }
        found["drop"], found["split"] = list(self.drop), list(self.split)
        found["in_flight"] = self.open_trials
        found["space"] = dict(self.space)
        del found["extend"]  # it is asked for once, and is no property of a study
        return {name: value for name, value in found.items() if value is not None}

    def _check_split(self) -> None:
        shares = self.split
        if len(shares) != 3 or min(shares) < 0 or shares[0] <= 0:
            raise ConfigError(
                "split must be three shares such as 60/20/20 (train/validation/test), "
                f"got {'/'.join(f'{share:g}' for share in shares)}"
            )
        given = {"valid-data": self.valid_data, "test-data": self.test_data}
        for share, (flag, file) in zip(shares[1:], given.items(), strict=True):
            if share == 0 and file is None:
                raise ConfigError(
                    f"split must leave rows for every part, got {share:g}; "
                    f"give a share above 0 or --{flag} FILE"
                )
        total = sum(shares)
        # Shares that were divided once stay as they are: another division may change
        # their last bit, and the study would seem to be of another split.
        if not math.isclose(total, 1.0, rel_tol=1e-9):
            object.__setattr__(self, "split", tuple(share / total for share in shares))


_ONE_OF: dict[str, tuple[str, ...]] = {
    "sampler": SAMPLERS,
    "pruner": PRUNERS,
    "engine": _ENGINES,
    "accelerator": _ACCELERATORS,
}


def check_name(name: str) -> None:
    """Refuse a study's name that makes no folder.

    Raises:
        ConfigError: If it is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", str(name)):
        raise ConfigError(
            'name must be letters, digits, ".", "_" or "-" and begin with a letter '
            f'or digit, got "{one_line(str(name))}"'
        )
    if len(name) > _LONGEST_NAME:
        raise ConfigError(
            f"name must have at most {_LONGEST_NAME} characters, got {len(name)}"
        )


def read_toml(path: str | Path) -> dict[str, Any]:
    """The keys of a TOML file.

    Raises:
        ConfigError: If it cannot be read, or is no TOML; with the line.
    """
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError(f"config {path}: cannot be read ({why})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"config {path}: must be UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"config {path}: must be TOML, got: {error}") from None
    except ValueError as error:  # such as a path with a null character in it
        raise ConfigError(f"config {path!r}: cannot be read ({error})") from None
