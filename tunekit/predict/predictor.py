"""A trained network with its preprocessing: raw rows in, classes out.

Inference runs in float64 and evaluation mode on the CPU, so that a row alone gets the
probabilities it gets in a batch up to float64's rounding (about 2e-16: sums are taken
in another order), and the same rows in the same order the very same ones.

Shapes: N rows, F inputs, C classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunekit.errors import DataError
from tunekit.predict.model import FORMAT, find, read
from tunekit.trial import Recipe

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from tunekit.data import Label, Preprocessor
    from tunekit.mlp import MLP

__all__ = ["Predictor"]

_CHUNK = 4096


class Predictor:
    """A trained network with its preprocessing: raw rows in, classes out.

    Attributes:
        classes_: The classes, in the order of the columns of ``predict_proba``.
        recipe: What the network was built and trained with.
        info: What was recorded about its making.

    Example:
        >>> predictor = Predictor.load("runs/digits")  # doctest: +SKIP
        >>> predictor.predict("new_rows.csv")  # doctest: +SKIP
        array([3, 8, 0])
    """

    def __init__(
        self,
        network: MLP,
        preprocessor: Preprocessor,
        classes: Sequence[Label],
        recipe: Recipe,
        info: dict[str, Any] | None = None,
    ) -> None:
        """Take a network apart from any folder; ``load`` is the usual way."""
        import numpy as np

        self._network = copy.deepcopy(network).cpu().double().eval()
        self._preprocessor = preprocessor
        self.classes_: np.ndarray = np.array(classes)
        self.recipe = recipe
        self.info = dict(info or {})

    @classmethod
    def load(cls, path: str | Path) -> Predictor:
        """Load a model from a study folder or from its ``model/`` folder.

        Raises:
            DataError: When there is no model, or a file of it is missing or damaged.
        """
        folder = find(Path(path))
        described, weights = read(folder)
        import safetensors.torch
        import torch

        from tunekit.data import Preprocessor
        from tunekit.mlp import MLP

        try:
            if described["format"] != FORMAT:
                raise DataError(
                    f"{folder}: the model has format {described['format']}, this "
                    f"version reads {FORMAT}; use the tunekit version that saved it"
                )
            recipe = Recipe(**described["recipe"])
            preprocessor = Preprocessor.from_json(described["preprocessor"])
            classes = described["classes"]
            # Weights about to be replaced are drawn from nobody else's stream.
            with torch.random.fork_rng(devices=[]):
                network = MLP.of(recipe, described["n_inputs"], len(classes))
            network.load_state_dict(safetensors.torch.load(weights))
            if preprocessor.n_inputs != described["n_inputs"]:
                raise ValueError("its preprocessing has another number of inputs")
        except DataError:
            raise
        except Exception as error:
            # The checksums fit, so whoever wrote these files wrote something else.
            reason = " ".join(str(error).split())[:100]
            raise DataError(
                f"{folder}: not a model this version can read ({reason}); "
                "use the tunekit version that saved it"
            ) from None
        return cls(network, preprocessor, classes, recipe, described["info"])

    def predict(self, rows: pd.DataFrame | np.ndarray | str | Path) -> np.ndarray:
        """The likeliest class of each row.

        Args:
            rows: A frame or a CSV, Parquet or npz file with the columns of the training
                table (others are ignored); an array where that came from arrays.

        Raises:
            DataError: When a column is missing or a cell is not of its column's kind.
        """
        return self.likeliest(self.predict_proba(rows))

    def predict_proba(self, rows: pd.DataFrame | np.ndarray | str | Path) -> np.ndarray:
        """The probability of each class for each row, float64 [N, C]."""
        frame = self._frame(rows)
        try:
            x_NF = self._preprocessor.transform(frame)
        except DataError as error:
            if isinstance(rows, (str, Path)):
                raise DataError(f"{rows}, {error}") from None
            raise
        return self.predict_proba_inputs(x_NF)

    def predict_proba_inputs(self, x_NF: np.ndarray) -> np.ndarray:
        """The probabilities for rows that are network inputs already, float64 [N, C].

        Args:
            x_NF: What the preprocessing made of raw rows; several networks can be asked
                about the same rows without reading them anew.

        Raises:
            DataError: When these are not as many inputs as the network has.
        """
        import numpy as np
        import torch

        n_inputs = self._preprocessor.n_inputs
        if x_NF.ndim != 2 or x_NF.shape[1] != n_inputs:
            raise DataError(
                f"inputs must be rows by {n_inputs} numbers, got shape {x_NF.shape}"
            )
        probabilities_NC = np.empty((len(x_NF), len(self.classes_)))
        with torch.inference_mode():
            for start in range(0, len(x_NF), _CHUNK):
                chunk = torch.from_numpy(x_NF[start : start + _CHUNK]).double()
                found = self._network.predict_proba(chunk)
                probabilities_NC[start : start + _CHUNK] = found.numpy()
        return probabilities_NC

    def likeliest(self, probabilities_NC: np.ndarray) -> np.ndarray:
        """The class with the highest probability, row by row."""
        labels: np.ndarray = self.classes_[probabilities_NC.argmax(axis=1)]
        return labels

    def _frame(self, rows: pd.DataFrame | np.ndarray | str | Path) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        from tunekit.data import array_frame, read_table

        if isinstance(rows, pd.DataFrame):
            return rows
        names = self._preprocessor.array_names
        if isinstance(rows, (str, Path)):
            raw = read_table(rows)
            frame = raw.frame.drop(columns=raw.target) if raw.target else raw.frame
            if not raw.array_names:
                return frame
            x_NF, shown = frame.to_numpy(), f"{rows}: X"
        elif isinstance(rows, np.ndarray):
            x_NF, shown = rows, "the array of rows"
        else:
            raise DataError(
                "rows must be a DataFrame, a two-dimensional NumPy array or a path, "
                f"got {type(rows).__name__}"
            )
        if not names:
            raise DataError(
                f"{shown} has no column names, which this model needs: "
                "pass a DataFrame or a file with a header"
            )
        if x_NF.ndim != 2 or x_NF.shape[1] != len(names):
            raise DataError(
                f"{shown} must be rows by {len(names)} columns, got shape {x_NF.shape}"
            )
        return array_frame(x_NF, names)
