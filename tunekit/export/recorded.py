"""What a study's folder says of the model that it saved, and of how it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunekit.config import Config
from tunekit.errors import ConfigError, DataError
from tunekit.files import read_toml
from tunekit.predict.model import FOLDER, find
from tunekit.predict.model import read as read_model
from tunekit.space import recipe_space
from tunekit.space.recipe import CONDITIONS
from tunekit.trial import Recipe

__all__ = ["Winner", "read"]

_DATA = ("data", "target", "valid_data", "test_data", "drop", "split")
_REST = ("accelerator", "seed", "max_epochs")
_SEEDS = 2**32
"""Lightning takes seeds below this."""


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The saved model: all that trains it again, and what it came to."""

    folder: Path
    """The study's."""
    trial: int
    """The trial whose recipe won."""
    recipe: Recipe
    n_features: int
    n_classes: int
    data: Mapping[str, Any]
    """What was read, as ``TableData`` takes it."""
    accelerator: str
    seed: int
    """The study's."""
    key: str
    """What names the random streams of this training."""
    epochs: int
    """The epoch (from 1) with the lowest validation loss, whose weights were saved."""
    horizon: int
    """Epochs over which the cosine schedule falls."""
    val_loss: float
    test_loss: float
    test_error: float

    @property
    def falls(self) -> bool:
        """Whether its schedule needs to know the horizon."""
        return self.recipe.schedule == "cosine"

    def as_config(self) -> dict[str, Any]:
        """The config of ``LightningCLI(LitMLP, TableData)``, plain values.

        Its sections are arguments: ``LitMLP(**config["model"])``,
        ``TableData(**config["data"])``, ``Trainer(**config["trainer"])``. Of the
        recipe it holds what counts: no momentum under Adam.
        """
        fields = self.recipe.as_dict()
        recipe = {
            name: value
            for name, value in fields.items()
            if name not in CONDITIONS
            or CONDITIONS[name].holds(fields[CONDITIONS[name].parent])
        }
        batch_size = recipe.pop("batch_size")
        streams = {"seed": self.seed, "key": self.key}
        return {
            "seed_everything": self.seed % _SEEDS,
            "trainer": {
                "max_epochs": self.epochs,
                "accelerator": self.accelerator,
                "devices": 1,
            },
            "model": {
                "n_features": self.n_features,
                "n_classes": self.n_classes,
                **recipe,
                **({"horizon": self.horizon} if self.falls else {}),
                **streams,
            },
            "data": {**self.data, "batch_size": batch_size, **streams},
        }


def read(folder: str | Path) -> Winner:
    """The winner of a study.

    Args:
        folder: The study's.

    Raises:
        ConfigError: The folder is no study.
        DataError: It has no model yet, or one of its files is damaged.
    """
    folder = Path(folder)
    settings = _settings(folder)
    described, _ = read_model(find(folder))
    try:
        info = described["info"]
        # Nothing but values that an option or a hyperparameter can have goes on.
        rest = {name: settings[name] for name in _REST}
        data = {name: settings[name] for name in _DATA if name in settings}
        config = Config.from_mapping(data | rest)
        return Winner(
            folder=folder,
            trial=int(info["trial"]),
            recipe=_recipe(described["recipe"]),
            n_features=int(described["n_inputs"]),
            n_classes=len(described["classes"]),
            data=_data(config),
            accelerator=config.accelerator,
            seed=config.seed,
            key=f"final-{int(info['seed'])}",
            epochs=int(info["epoch"]),
            horizon=config.max_epochs,
            val_loss=float(info["val_loss"]),
            test_loss=float(info["loss"]),
            test_error=float(info["error"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder / 'study.toml'} and {folder / FOLDER} must be those of a study, "
            f"got {type(error).__name__}: {error}; run the same tunekit.study command "
            "again, which mends what it can"
        ) from None


def _settings(folder: Path) -> dict[str, Any]:
    """What ``study.toml`` says."""
    path = folder / "study.toml"
    try:
        return read_toml(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"{folder} is no study folder: it lacks {path.name}; give the folder "
            "OUT/NAME of a study"
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path} cannot be read ({why}); restore it from a copy of the folder"
        ) from None


def _recipe(fields: dict[str, Any]) -> Recipe:
    """The recipe, if each of its fields can have its value."""
    recipe = Recipe(**fields)
    if recipe_space(recipe.as_dict()).fixed != recipe.as_dict():
        raise ValueError("a recipe that has ranges")
    return recipe


def _data(config: Config) -> dict[str, Any]:
    """What ``TableData`` is to be told beside seed and key."""
    files = {"data": config.data or "digits", "target": config.target}
    files |= {"valid_data": config.valid_data, "test_data": config.test_data}
    told: dict[str, Any] = {name: each for name, each in files.items() if each}
    if config.drop:
        told["drop"] = list(config.drop)
    return {**told, "split": list(config.split)}
