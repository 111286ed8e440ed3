"""The finished model: saved, loaded back, asked for predictions of new rows.

On the command line: ``python -m tunekit.predict FOLDER rows.csv -o predictions.csv``.
"""

from __future__ import annotations

from tunekit.interrupt import is_command

is_command(__name__)  # before the rest is imported

from tunekit.predict.model import save
from tunekit.predict.predictor import Predictor

__all__ = ["Predictor", "save"]
