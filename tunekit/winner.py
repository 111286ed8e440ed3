"""The winner: trained anew with several seeds, and judged once on the locked test rows.

The score with which a trial won is the best of many draws and flatters it. So the
winning recipe is trained again from other seeds; all of these models are evaluated on
test rows that nothing has seen, with an interval over seeds and rows; the one with the
lowest validation loss is saved. Baselines on the same rows say what the search was
worth.

Shapes: S seeds, N test rows, C classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from tunekit.errors import StoppedError
from tunekit.metrics import interval, row_losses
from tunekit.mlp import MLP
from tunekit.predict import Predictor, save
from tunekit.trial import Engine, Fitted, Metrics, Recipe, Run

if TYPE_CHECKING:
    from pathlib import Path

    from tunekit.data import Table

__all__ = ["Judge", "crown"]


@dataclass(frozen=True)
class Judge:
    """Evaluates trained networks on the test rows, through the predictor people use."""

    table: Table

    def probabilities(self, recipe: Recipe, fitted: Fitted) -> NDArray[np.float64]:
        """Probabilities of the classes for every test row, (N, C)."""
        table = self.table
        network = MLP.of(recipe, table.n_inputs, len(table.classes))
        network.load_state_dict(fitted.weights)
        predictor = Predictor(network, table.preprocessor, table.classes, recipe)
        return predictor.predict_proba(self.table.test_rows()[0])

    def figures(
        self, proba_NC: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Loss and error (0 or 1) of every test row, each (N,)."""
        y_N = self.table.test_rows()[1]
        return row_losses(proba_NC, y_N), (proba_NC.argmax(1) != y_N).astype(float)


def crown(
    best: FrozenTrial,
    recipe: Recipe,
    *,
    engine: Engine,
    table: Table,
    settings: Mapping[str, Any],
    folder: Path,
    say: Callable[[str], None] = lambda text: None,
    seconds_left: Callable[[], float] | None = None,
) -> dict[str, Any]:
    """Train, judge and save the winner.

    Args:
        best: The winning trial.
        recipe: Its recipe.
        engine: What trains.
        table: The data; its test rows are asked for here and nowhere before.
        settings: The study's, for seed, final_seeds, max_epochs and patience.
        folder: The study folder; ``model/`` is written into it.
        say: Hears what is going on.
        seconds_left: Time that remains; what does not fit is left out, though never the
            first seed.

    Returns:
        What ``final.json`` holds.

    Raises:
        StoppedError: If no seed came to a finite loss.
    """
    judge = Judge(table)
    left = seconds_left or (lambda: float("inf"))
    trainer = _Trainer(engine, settings, left)
    fits: list[tuple[int, Fitted]] = []
    n_seeds = settings["final_seeds"]
    for seed in range(n_seeds):
        if fits and left() <= 0:
            break
        say(f"training the winner anew: seed {seed + 1} of {n_seeds}")
        fitted, cut = trainer.train(recipe, f"final-{seed}")
        # A training cut short says nothing about the recipe; but one there must be.
        if fitted.best_epoch and not (cut and fits):
            fits.append((seed, fitted))
    if not fits:
        raise StoppedError(
            f"trial {best.number}'s recipe must train to a finite loss again, and did "
            f"with none of {n_seeds} seeds; narrow the learning rate (--set lr=…)"
        )
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
    say("saving the model and loading it back")
    _save(
        folder, recipe, fitted, table, {"trial": best.number, **model}, probas[chosen]
    )
    losses_SN = np.stack([loss for loss, _ in judged])
    errors_SN = np.stack([error for _, error in judged])
    return {
        "number": best.number,
        "recipe": recipe.as_dict(),
        "metric": "val_loss",
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
        "test": {
            "loss": float(losses_SN.mean()),
            "loss_interval": list(interval(losses_SN)),
            "error": float(errors_SN.mean()),
            "error_interval": list(interval(errors_SN, share=True)),
            "seeds": len(fits),
            "rows": losses_SN.shape[1],
        },
        "model": model,
        "confusion": _confusion(table, probas[chosen]),
        "baselines": _baselines(recipe, judge, trainer, say),
    }


class _Trainer:
    """Trains recipes to the study's horizon, or until time is up.

    Attributes:
        left: Seconds that remain.
    """

    def __init__(
        self, engine: Engine, settings: Mapping[str, Any], left: Callable[[], float]
    ) -> None:
        self._engine, self._settings, self.left = engine, settings, left

    def train(self, recipe: Recipe, key: str) -> tuple[Fitted, bool]:
        """What training left, and whether time was up before its end."""
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
            cut = epoch < run.max_epochs and self.left() <= 0
            return not cut

        return self._engine.train(run, on_epoch), cut


def _save(
    folder: Path,
    recipe: Recipe,
    fitted: Fitted,
    table: Table,
    info: dict[str, Any],
    proba_NC: NDArray[np.float64],
) -> None:
    """Save the model, load it back, and compare what it predicts.

    Raises:
        StoppedError: If the loaded model predicts anything else, to the last bit.
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
    again_NC = Predictor.load(folder).predict_proba(table.test_rows()[0])
    if not np.array_equal(again_NC, proba_NC):
        raise StoppedError(
            f"{folder / 'model'} must predict what the trained network did, and does "
            "not; check the disk and run the same command again"
        )


def _baselines(
    recipe: Recipe, judge: Judge, trainer: _Trainer, say: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    """Loss and error of majority class, softmax regression and default recipe."""
    table = judge.table
    n_rows, n_classes = len(table.test_rows()[1]), len(table.classes)
    # One row is added to each class, so that a class without training rows costs no
    # infinite loss (Laplace).
    counts_C = np.bincount(table.y_train, minlength=n_classes) + 1.0
    share_NC = np.tile(counts_C / counts_C.sum(), (n_rows, 1))
    found = {"majority class": judge.figures(share_NC)}
    size = min(Recipe().batch_size, max(2, len(table.y_train) // 2))
    default = dataclasses.replace(Recipe(), batch_size=size)
    plain = dataclasses.replace(default, n_layers=0, dropout=0.0)
    for name, each in (("softmax regression", plain), ("default recipe", default)):
        if trainer.left() <= 0:
            break
        say(f"training a baseline: {name}")
        fitted, cut = trainer.train(each, f"baseline-{name}")
        if fitted.best_epoch and not cut:
            found[name] = judge.figures(judge.probabilities(each, fitted))
    return {
        name: {"loss": float(loss_N.mean()), "error": float(error_N.mean())}
        for name, (loss_N, error_N) in found.items()
    }


def _confusion(table: Table, proba_NC: NDArray[np.float64]) -> list[list[int]]:
    """Test rows by true class (rows) and predicted class (columns)."""
    n_classes = len(table.classes)
    y_N = table.test_rows()[1]
    counts = np.bincount(
        y_N * n_classes + proba_NC.argmax(1), minlength=n_classes * n_classes
    )
    rows: list[list[int]] = counts.reshape(n_classes, n_classes).tolist()
    return rows


def _curve(fitted: Fitted) -> list[list[float]]:
    """``[epoch, train_loss, val_loss, train_score, val_score, lr]`` an epoch."""
    return [
        [epoch, m.train_loss, m.val_loss, m.train_score, m.val_score, m.lr]
        for epoch, m in enumerate(fitted.curve, start=1)
    ]
