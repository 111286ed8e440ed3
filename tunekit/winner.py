"""The winner: trained anew with several seeds, and judged once on the locked test rows.

The score with which a trial won is the best of many draws and flatters it. So the
winning recipe is trained again from other seeds; all of these models are evaluated on
test rows that nothing has seen, with an interval over seeds and rows; the one with the
lowest validation loss is saved. Baselines on the same rows say what the search was
worth.

Shapes: S seeds, N test rows, C classes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from tunekit.errors import StoppedError
from tunekit.files import write_json
from tunekit.interrupt import shield
from tunekit.metrics import interval, row_losses
from tunekit.mlp import MLP
from tunekit.predict import Predictor, save
from tunekit.trial import Engine, Fitted, Metrics, Recipe, Run

if TYPE_CHECKING:
    from pathlib import Path

    from sklearn.linear_model import LogisticRegression

    from tunekit.data import Table

__all__ = ["Judge", "crown"]


class Judge:
    """Evaluates networks on the test rows, which are read and transformed once."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.frame, self.y_N = table.test_rows()
        self._x_NF = table.preprocessor.transform(self.frame)

    def probabilities(self, recipe: Recipe, fitted: Fitted) -> NDArray[np.float64]:
        """Probabilities of the classes for every test row, (N, C)."""
        table = self.table
        network = MLP.of(recipe, table.n_inputs, len(table.classes))
        network.load_state_dict(fitted.weights)
        predictor = Predictor(network, table.preprocessor, table.classes, recipe)
        return predictor.predict_proba_inputs(self._x_NF)

    def figures(
        self, proba_NC: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Loss and error (0 or 1) of every test row, each (N,)."""
        wrong_N = proba_NC.argmax(1) != self.y_N
        return row_losses(proba_NC, self.y_N), wrong_N.astype(float)

    def majority(self) -> NDArray[np.float64]:
        """The share of each class in the training rows, for every test row."""
        # One row more a class keeps the loss finite where a class has none (Laplace).
        n_classes = len(self.table.classes)
        counts_C = np.bincount(self.table.y_train, minlength=n_classes) + 1.0
        return np.tile(counts_C / counts_C.sum(), (len(self.y_N), 1))

    def linear(self, model: LogisticRegression) -> NDArray[np.float64]:
        """Probabilities of a linear model for every test row."""
        proba_NC = np.zeros((len(self.y_N), len(self.table.classes)))
        proba_NC[:, model.classes_] = model.predict_proba(self._x_NF)
        return proba_NC


def crown(
    best: FrozenTrial,
    recipe: Recipe,
    *,
    default: Recipe,
    engine: Engine,
    table: Table,
    settings: Mapping[str, Any],
    folder: Path,
    say: Callable[[str], None] = lambda text: None,
    seconds_left: Callable[[], float] = lambda: math.inf,
) -> dict[str, Any]:
    """Train, judge and save the winner; ``model/`` and ``final.json`` belong together.

    Args:
        best: The winning trial.
        recipe: Its recipe.
        default: The default recipe, as a baseline.
        engine: What trains.
        table: The data; its test rows are asked for here and nowhere before.
        settings: The study's, for seed, final_seeds, max_epochs and patience.
        folder: The study folder.
        say: Hears what is going on.
        seconds_left: Time that remains; what does not fit is left out, though never the
            first seed, and what is left out is told.

    Returns:
        What ``final.json`` holds.

    Raises:
        StoppedError: If no seed came to a finite loss.
    """
    trainer = _Trainer(engine, settings, seconds_left, _longest(best, settings))
    baselines = _Baselines(default)
    n_seeds = settings["final_seeds"]
    fits: list[tuple[int, Fitted]] = []
    left_out: list[dict[str, str]] = []
    for seed in range(n_seeds):
        what = f"seed {seed}"
        if fits and seconds_left() <= 0:
            left_out.append({"what": what, "why": "no time left"})
            continue
        say(f"training the winner anew: seed {seed + 1} of {n_seeds}")
        fitted, whole = trainer.train(recipe, f"final-{seed}")
        if not fitted.best_epoch:
            left_out.append({"what": what, "why": "diverged"})
        elif not whole and fits:
            left_out.append({"what": what, "why": "no time left"})
        else:
            # A first seed that time cut short is better than none.
            fits.append((seed, fitted))
            if not whole:
                why = f"no time left: cut at epoch {len(fitted.curve)}, but counted"
                left_out.append({"what": what, "why": why})
            if len(fits) == 1:
                # Where time is short, something to compare with is worth more than
                # another seed.
                left_out += baselines.train(table, trainer, say)
    if not fits:
        raise StoppedError(
            f"trial {best.number}'s recipe must train to a finite loss again, and did "
            f"with none of {n_seeds} seeds; narrow the learning rate (--set lr=…)"
        )
    judge = Judge(table)
    probas = [judge.probabilities(recipe, fitted) for _, fitted in fits]
    judged = [judge.figures(proba_NC) for proba_NC in probas]
    chosen = min(range(len(fits)), key=lambda i: fits[i][1].best.val_loss)
    seed, fitted = fits[chosen]
    loss_N, error_N = judged[chosen]
    model = {
        "seed": seed,
        "loss": float(loss_N.mean()),
        "error": float(error_N.mean()),
        "val_loss": fitted.best.val_loss,
        "epoch": fitted.best_epoch,
    }
    final = {
        "number": best.number,
        "recipe": recipe.as_dict(),
        "metric": "val_loss",
        "asked": {"seeds": n_seeds},
        "seeds": [
            {
                "seed": seed,
                "val_loss": fitted.best.val_loss,
                "best_epoch": fitted.best_epoch,
                "test_loss": float(loss_N.mean()),
                "test_error": float(error_N.mean()),
                "curve": _curve(fitted),
            }
            for (seed, fitted), (loss_N, error_N) in zip(fits, judged, strict=True)
        ],
        "test": _test_figures(judged),
        "model": model,
        "confusion": _confusion(judge, probas[chosen]),
        "baselines": baselines.figures(judge),
        "left_out": left_out,
    }
    say("saving the model and loading it back")
    with shield():
        info = {"trial": best.number, **model}
        _save(folder, recipe, fitted, table, info, judge, probas[chosen])
        write_json(folder / "final.json", final)
    return final


class _Trainer:
    """Trains recipes to the study's horizon, or until time is up."""

    def __init__(
        self,
        engine: Engine,
        settings: Mapping[str, Any],
        left: Callable[[], float],
        longest: int,
    ) -> None:
        self._engine, self._settings, self._left = engine, settings, left
        self._longest = longest

    def train(self, recipe: Recipe, key: str) -> tuple[Fitted, bool]:
        """The trained network, and whether time sufficed to train it whole."""
        run = Run(
            recipe=recipe,
            max_epochs=self._settings["max_epochs"],
            patience=self._settings["patience"],
            seed=self._settings["seed"],
            key=key,
        )
        cut = False

        def on_epoch(epoch: int, metrics: Metrics) -> bool:
            nonlocal cut
            cut = self._left() <= 0
            return not cut and epoch < self._longest

        fitted = self._engine.train(run, on_epoch)
        return fitted, not cut or len(fitted.curve) >= self._longest

    def has_time(self) -> bool:
        """Whether anything more can be begun."""
        return self._left() > 0


def _longest(best: FrozenTrial, settings: Mapping[str, Any]) -> int:
    """Epochs to train anew: no more than a trial had that the budget cut short."""
    if best.user_attrs.get("stopped") == "budget":
        return max(1, len(best.intermediate_values))
    return int(settings["max_epochs"])


def _test_figures(
    judged: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> dict[str, Any]:
    """Means over seeds and rows, with intervals."""
    losses_SN = np.stack([loss for loss, _ in judged])
    errors_SN = np.stack([error for _, error in judged])
    low, high = interval(losses_SN)
    return {
        "loss": float(losses_SN.mean()),
        # A cross-entropy is never below zero, though a symmetric interval may be.
        "loss_interval": [max(0.0, low), high],
        "error": float(errors_SN.mean()),
        "error_interval": list(interval(errors_SN, share=True)),
        "seeds": losses_SN.shape[0],
        "rows": losses_SN.shape[1],
    }


def _save(
    folder: Path,
    recipe: Recipe,
    fitted: Fitted,
    table: Table,
    info: dict[str, Any],
    judge: Judge,
    proba_NC: NDArray[np.float64],
) -> None:
    """Save the model, load it back, and compare what it predicts from raw rows.

    Raises:
        StoppedError: If the loaded model predicts anything else.
    """
    save(
        folder,
        network_state=fitted.weights,
        recipe=recipe,
        n_inputs=table.n_inputs,
        classes=table.classes,
        preprocessor=table.preprocessor,
        info=info,
    )
    again_NC = Predictor.load(folder).predict_proba(judge.frame)
    if not np.array_equal(again_NC, proba_NC):
        raise StoppedError(
            f"{folder / 'model'} must predict what the trained network did, and does "
            "not; check the disk and run the same command again"
        )


class _Baselines:
    """Beside the winner: majority class, softmax regression, default recipe."""

    def __init__(self, default: Recipe) -> None:
        self._default = default
        self._fitted: Fitted | None = None
        self._linear: LogisticRegression | None = None

    def train(
        self, table: Table, trainer: _Trainer, say: Callable[[str], None]
    ) -> list[dict[str, str]]:
        """Train what has to be trained; what was left out, and why."""
        left_out: list[dict[str, str]] = []
        why = "no time left"
        if trainer.has_time():
            say("training a baseline: softmax regression")
            self._linear = _softmax_regression(table)
        else:
            left_out.append({"what": "softmax regression", "why": why})
        if trainer.has_time():
            say("training a baseline: default recipe")
            fitted, whole = trainer.train(self._default, "baseline")
            if whole and fitted.best_epoch:
                self._fitted = fitted
            why = "diverged" if whole else why
        if self._fitted is None:
            left_out.append({"what": "default recipe", "why": why})
        return left_out

    def figures(self, judge: Judge) -> dict[str, dict[str, float]]:
        """Loss and error of each on the test rows."""
        found = {"majority class": judge.majority()}
        if self._linear is not None:
            found["softmax regression"] = judge.linear(self._linear)
        if self._fitted is not None:
            proba_NC = judge.probabilities(self._default, self._fitted)
            found["default recipe"] = proba_NC
        judged = {name: judge.figures(proba_NC) for name, proba_NC in found.items()}
        return {
            name: {"loss": float(loss_N.mean()), "error": float(error_N.mean())}
            for name, (loss_N, error_N) in judged.items()
        }


def _softmax_regression(table: Table) -> LogisticRegression:
    """The linear model, fitted to the end by L-BFGS."""
    from sklearn.linear_model import LogisticRegression

    linear = LogisticRegression(max_iter=500)
    with warnings.catch_warnings():
        # Where it has not converged by then, it is as good as it gets.
        warnings.simplefilter("ignore")
        linear.fit(table.x_train, table.y_train)
    return linear


def _confusion(judge: Judge, proba_NC: NDArray[np.float64]) -> list[list[int]]:
    """Test rows by true class (rows) and predicted class (columns)."""
    n_classes = len(judge.table.classes)
    counts = np.bincount(
        judge.y_N * n_classes + proba_NC.argmax(1), minlength=n_classes * n_classes
    )
    rows: list[list[int]] = counts.reshape(n_classes, n_classes).tolist()
    return rows


def _curve(fitted: Fitted) -> list[list[float]]:
    """``[epoch, train_loss, val_loss, train_score, val_score, lr]`` a finite epoch."""
    return [
        [epoch, m.train_loss, m.val_loss, m.train_score, m.val_score, m.lr]
        for epoch, m in enumerate(fitted.curve, start=1)
        if math.isfinite(m.train_loss + m.val_loss)
    ]
