"""What a study came to, as Python objects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna
    import pandas as pd

__all__ = ["Result"]


@dataclass(frozen=True)
class Result:
    """What a study came to.

    Attributes:
        folder: The study folder; everything below is read from it.
        report: The content of ``report.json``.
        study: The Optuna study.
        trials: One row a trial: number, state, value (lowest validation loss), epochs,
            seconds, and one column per hyperparameter.
    """

    folder: Path
    report: dict[str, Any]
    study: optuna.Study
    trials: pd.DataFrame

    @property
    def best_params(self) -> dict[str, Any]:
        """The winner's hyperparameters, as people read them."""
        params: dict[str, Any] = self.report["best"]["params"]
        return params

    @property
    def best_value(self) -> float:
        """The lowest validation loss of any trial."""
        return float(self.report["best"]["val_loss"])

    @property
    def history(self) -> list[tuple[int, float]]:
        """(epochs spent in all, best validation loss so far), one an improvement."""
        return [(epochs, loss) for epochs, loss in self.report["history"]]

    def as_config(self) -> dict[str, Any]:
        """What trains the saved model again, as LightningCLI reads it.

        ``LitMLP(**config["model"])``, ``TableData(**config["data"])`` and
        ``Trainer(**config["trainer"])`` are what its sections stand for.

        Raises:
            DataError: The model's files are damaged or gone.
        """
        from tunekit.export import read

        return read(self.folder).as_config()

    def as_python(self) -> str:
        """What trains the saved model again, as a program, ready to paste.

        Raises:
            DataError: The model's files are damaged or gone.
        """
        from tunekit.export import FORMATS, read

        return FORMATS["python"](read(self.folder))["train.py"]
