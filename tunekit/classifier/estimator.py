"""``TunedClassifier``: the search as one of scikit-learn's classifiers."""

from __future__ import annotations

import dataclasses
import numbers
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from tunekit.classifier.job import Job
from tunekit.classifier.result import METRICS
from tunekit.classifier.rows import plain_labels, read_classes, read_rows
from tunekit.config import Config
from tunekit.data import frame_table
from tunekit.errors import ConfigError, did_you_mean
from tunekit.space import Scale
from tunekit.store import Store, settings_of

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["TunedClassifier"]

_NAME = "classifier"


class TunedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A neural network for the rows of a table, with its hyperparameters searched.

    Rows are a DataFrame with numbers, texts, categories, dates, booleans and missing
    values as they are, or an array; classes are of any kind. ``fit`` searches the
    hyperparameters on a part of the rows and chooses on the others; keep test rows of
    your own, or use ``cross_val_score``.

    Args:
        n_trials: Configurations to try. The budget is whichever of ``n_trials``,
            ``budget_epochs`` and ``timeout`` ends first; 30 trials when none is given.
        budget_epochs: Epochs of all trials together.
        timeout: Seconds for the whole of ``fit``, or a text such as ``10m``.
        max_epochs: The longest that a trial trains; weak ones are stopped early.
        metric: What the winner is chosen by on validation rows: ``log_loss``, or
            ``accuracy`` (with the loss where that is alike). The search itself goes by
            the loss, which also counts how sure an answer was.
        space: By hyperparameter a narrower range (``"1e-4..1e-2"``), a list of choices,
            one value, or a scale such as ``LogUniform(1e-4, 1e-2)``.
        valid_share: The share of rows that networks do not learn from, and that choose
            between them; of each class alike.
        final_seeds: Times that the winner is trained anew; the best of them is kept.
        sampler: How configurations are chosen; see ``tunekit.Config``.
        pruner: How weak trials are stopped early; likewise.
        engine: ``auto``, ``vectorized`` (many trials as one network) or ``lightning``.
        accelerator: ``cpu``, ``gpu``, or ``auto``: a GPU if there is one.
        random_state: The seed of the split, the search and every network, or a
            ``RandomState`` to draw it from; another one every time when None.
        out: Keep the study in the folder ``out/name``: ``fit`` with the same rows goes
            on with one that was stopped, returns at once with one that has ended, and
            searches on with a larger budget. In memory alone when None.
        name: The study's name in ``out``; ``classifier`` when None.
        verbose: 0 for silence; else what is going on is printed.

    Attributes:
        classes_: The classes, sorted; ``predict_proba`` has its columns in this order.
        result_: What the search came to, a ``tunekit.classifier.Search``:
            ``best_params``, ``best_value``, ``trials``, ``history``, ``model``.
        predictor_: The network with its preprocessing, a ``tunekit.Predictor``.
        n_features_in_: Columns of the rows.
        feature_names_in_: Their names; only where the rows were a frame with such.

    Raises:
        ConfigError: ``fit`` with an option that cannot be used.
        DataError: Rows or classes that cannot be used.
        ResumeError: ``fit`` where ``out/name`` holds another study.
        StoppedError: ``fit`` where no network came to a finite loss.
        KeyboardInterrupt: ``fit`` after Ctrl-C; with ``out`` the same call goes on.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> x, y = load_iris(return_X_y=True, as_frame=True)
        >>> model = TunedClassifier(n_trials=4, max_epochs=20, random_state=0)
        >>> model.fit(x, y).score(x, y) > 0.9
        True
        >>> model.predict_proba(x[:2]).shape, sorted(model.result_.model)[0]
        ((2, 3), 'asked_seeds')
    """

    def __init__(
        self,
        *,
        n_trials: int | None = None,
        budget_epochs: int | None = None,
        timeout: float | str | None = None,
        max_epochs: int = 30,
        metric: str = "log_loss",
        space: Mapping[str, Any] | None = None,
        valid_share: float = 0.2,
        final_seeds: int = 3,
        sampler: str = "coarse-to-fine",
        pruner: str = "promote",
        engine: str = "auto",
        accelerator: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        out: str | Path | None = None,
        name: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_trials = n_trials
        self.budget_epochs = budget_epochs
        self.timeout = timeout
        self.max_epochs = max_epochs
        self.metric = metric
        self.space = space
        self.valid_share = valid_share
        self.final_seeds = final_seeds
        self.sampler = sampler
        self.pruner = pruner
        self.engine = engine
        self.accelerator = accelerator
        self.random_state = random_state
        self.out = out
        self.name = name
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> Self:
        """Search the hyperparameters, and train the winner.

        Args:
            X: Rows by columns: a frame, an array or a list of lists.
            y: The class of each row.

        Raises:
            ValueError: Rows, classes or an option that cannot be used, in one line.
            TypeError: A cell that is no plain value.
        """
        began = time.monotonic()
        config, share = self._config(), self._share()
        if self.metric not in METRICS:
            raise ConfigError(
                f"metric must be one of {', '.join(METRICS)}, got {self.metric!r}"
                + did_you_mean(str(self.metric), METRICS)
            )
        rows = read_rows(self, X, reset=True)
        classes_C, y_N = read_classes(self, y, rows)
        names = [str(name) for name in rows.columns]
        table = frame_table(
            rows,
            y_N,
            plain_labels(classes_C),
            valid_share=share,
            seed=config.seed,
            array_names=() if isinstance(X, pd.DataFrame) else names,
        )
        job = Job(
            config,
            table,
            valid_share=share,
            metric=self.metric,
            kept=self.out is not None,
            console=self._console(),
            began=began,
        )
        self.predictor_, self.result_ = job.run()
        self.classes_, self._names = classes_C, names
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each row.

        Args:
            X: Rows with the columns that were learnt from.

        Raises:
            ValueError: When a column is missing or a cell is not of its column's kind.
        """
        places_N = self.predict_proba(X).argmax(axis=1)
        labels_N: np.ndarray = self.classes_[places_N]
        return labels_N

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class for each row, float64, rows by classes.

        Args:
            X: Rows with the columns that were learnt from.

        Raises:
            ValueError: When a column is missing or a cell is not of its column's kind.
        """
        check_is_fitted(self)
        rows = read_rows(self, X, reset=False)
        columns = pd.Index(self._names, dtype=object)
        return self.predictor_.predict_proba(rows.set_axis(columns, axis=1))

    def __sklearn_tags__(self) -> Any:
        """Missing values are welcome, infinite ones count as such.

        Texts are welcome, too; that tag stays as it is, because scikit-learn has it
        promise that nobody looks at single cells, and a list in one is refused here.
        """
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _config(self) -> Config:
        """The options as every study has them, checked."""
        if self.name is not None and self.out is None:
            raise ConfigError(
                f"name must come with out, the folder it lies in, got {self.name!r} "
                "alone; give out, too"
            )
        space: Any = {} if self.space is None else self.space
        if isinstance(space, Mapping):
            space = {name: _setting(each) for name, each in space.items()}
        options = {
            name: _plain(getattr(self, name))
            for name in (
                "n_trials",
                "budget_epochs",
                "timeout",
                "max_epochs",
                "final_seeds",
                "sampler",
                "pruner",
                "engine",
                "accelerator",
            )
        }
        out = "runs" if self.out is None else str(self.out)
        name = _NAME if self.name is None else self.name
        config = Config(**options, space=space, out=out, name=name)
        return dataclasses.replace(config, seed=self._seed(config))

    def _seed(self, config: Config) -> int:
        """The seed; that of a study which goes on, where none is asked for."""
        state: Any = self.random_state
        if isinstance(state, numbers.Integral):
            return int(state)
        if state is None and self.out is not None and Store.exists(config.folder):
            return int(settings_of(config.folder).get("seed", 0))
        return int(check_random_state(state).randint(2**31 - 1))

    def _share(self) -> float:
        share: Any = self.valid_share
        if not isinstance(share, numbers.Real) or not 0 < float(share) < 1:
            raise ConfigError(
                f"valid_share must be above 0 and below 1, got {share!r}; for example "
                "0.2"
            )
        return float(share)

    def _console(self) -> Console | None:
        if not self.verbose:
            return None
        from rich.console import Console

        return Console(highlight=False)


def _setting(value: Any) -> Any:
    """What stands in a space as a configuration file has it."""
    return value.as_setting() if isinstance(value, Scale) else _plain(value)


def _plain(value: Any) -> Any:
    """Numbers that come from an array, such as a grid of parameters, as Python's."""
    return value.item() if isinstance(value, np.generic) else value
