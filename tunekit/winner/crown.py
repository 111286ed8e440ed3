"""The winner: trained anew with several seeds, and judged once on the locked test rows.

The score with which a trial won is the best of many draws and flatters it. So the
winning recipe is trained again from other seeds; all of these models are evaluated on
test rows that nothing has seen, with an interval over seeds and rows; the one with the
lowest validation loss is saved. Baselines on the same rows say what the search was
worth.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from tunekit.errors import StoppedError
from tunekit.files import write_sealed
from tunekit.interrupt import shield
from tunekit.predict import Predictor, save
from tunekit.trial import Engine, Fitted, Recipe
from tunekit.winner.judge import Judge, confusion, test_figures
from tunekit.winner.training import Trainer, longest, softmax_regression

if TYPE_CHECKING:
    from pathlib import Path

    from sklearn.linear_model import LogisticRegression

    from tunekit.data import Table

__all__ = ["crown"]

_Trained = dict[str, tuple[Fitted, bool]]
"""Networks by key, and whether time sufficed to train each whole."""
_NO_TIME = "no time left"
_SAY_SECONDS = 5.0


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
    n_seeds = settings["final_seeds"]
    epochs = longest(best, settings)
    spent = best.user_attrs.get("seconds", 0.0)
    had = best.user_attrs.get("epochs") or 1
    trainer = Trainer(engine, settings, seconds_left, epochs, spent / had * epochs)
    trained, linear, left_out = _train(
        trainer, recipe, default, n_seeds=n_seeds, table=table, say=say
    )
    fits, cut = _seeds(trained, n_seeds)
    left_out += cut
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
        "test": test_figures(judged),
        "model": model,
        "confusion": confusion(judge, probas[chosen]),
        "baselines": _baselines(judge, default, trained.get("baseline"), linear),
        "left_out": left_out,
    }
    say("saving the model and loading it back")
    with shield():
        info = {"trial": best.number, **model}
        _save(folder, recipe, fitted, table, info, judge, probas[chosen])
        write_sealed(folder / "final.json", final)
    return final


def _train(
    trainer: Trainer,
    recipe: Recipe,
    default: Recipe,
    *,
    n_seeds: int,
    table: Table,
    say: Callable[[str], None],
) -> tuple[_Trained, LogisticRegression | None, list[dict[str, Any]]]:
    """Train seeds and baselines; what was left out, and why."""
    recipes = {f"final-{seed}": recipe for seed in range(n_seeds)}
    # Where time is short, something to compare with is worth more than another seed.
    waiting = ["final-0", "baseline", *[key for key in recipes if key != "final-0"]]
    recipes["baseline"] = default
    trained: _Trained = {}
    linear = None
    while waiting and (not trained or trainer.has_time()):
        wave = waiting[: trainer.wave(len(waiting))]
        waiting = waiting[len(wave) :]
        seeds = sum(key != "baseline" for key in [*trained, *wave])
        what = f"training the winner anew: {seeds} of {n_seeds} seeds"
        say(what)
        trained |= trainer.train(
            {key: recipes[key] for key in wave}, _now_and_then(say, what)
        )
        if linear is None and trainer.has_time():
            say("training a baseline: softmax regression")
            linear = softmax_regression(table)
    left_out: list[dict[str, Any]] = [
        {"what": _named(key), "why": _NO_TIME} for key in waiting
    ]
    if linear is None:
        left_out.append({"what": "softmax regression", "why": _NO_TIME})
    fitted, whole = trained.get("baseline", (None, True))
    if fitted is not None and not (whole and fitted.best_epoch):
        why = _NO_TIME if not whole else "diverged"
        left_out.append({"what": _named("baseline"), "why": why})
    return trained, linear, left_out


def _now_and_then(say: Callable[[str], None], what: str) -> Callable[[int], None]:
    """Says the epoch, but not more often than people read."""
    said = time.monotonic()

    def hear(epoch: int) -> None:
        nonlocal said
        if time.monotonic() - said > _SAY_SECONDS:
            said = time.monotonic()
            say(f"{what}, epoch {epoch}")

    return hear


def _seeds(
    trained: _Trained, n_seeds: int
) -> tuple[list[tuple[int, Fitted]], list[dict[str, Any]]]:
    """The seeds that count, and what is to be said of the others.

    One that time cut short counts only where none is whole: better than nothing.
    """
    found = {
        seed: trained[f"final-{seed}"]
        for seed in range(n_seeds)
        if f"final-{seed}" in trained
    }
    any_whole = any(whole and fitted.best_epoch for fitted, whole in found.values())
    fits: list[tuple[int, Fitted]] = []
    left_out = []
    for seed, (fitted, whole) in found.items():
        if fitted.best_epoch and (whole or not any_whole):
            fits.append((seed, fitted))
        why = _NO_TIME if not whole else "diverged"
        counted = not whole and bool(fitted.best_epoch) and not any_whole
        if counted:
            why = f"{_NO_TIME}: cut at epoch {len(fitted.curve)}, but counted"
        if not whole or not fitted.best_epoch:
            gone: dict[str, Any] = {"what": _named(f"final-{seed}"), "why": why}
            left_out.append({**gone, "counted": True} if counted else gone)
    return fits, left_out


def _named(key: str) -> str:
    """What a training is called in the report."""
    return "default recipe" if key == "baseline" else key.replace("final-", "seed ")


def _baselines(
    judge: Judge,
    default: Recipe,
    trained: tuple[Fitted, bool] | None,
    linear: LogisticRegression | None,
) -> dict[str, dict[str, float]]:
    """Loss and error on the test rows: majority class, softmax regression, default."""
    found = {"majority class": judge.majority()}
    if linear is not None:
        found["softmax regression"] = judge.linear(linear)
    if trained is not None and trained[1] and trained[0].best_epoch:
        found["default recipe"] = judge.probabilities(default, trained[0])
    judged = {name: judge.figures(proba_NC) for name, proba_NC in found.items()}
    return {
        name: {"loss": float(loss_N.mean()), "error": float(error_N.mean())}
        for name, (loss_N, error_N) in judged.items()
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


def _curve(fitted: Fitted) -> list[list[float]]:
    """``[epoch, train_loss, val_loss, train_score, val_score, lr]`` a finite epoch."""
    return [
        [epoch, m.train_loss, m.val_loss, m.train_score, m.val_score, m.lr]
        for epoch, m in enumerate(fitted.curve, start=1)
        if math.isfinite(m.train_loss + m.val_loss)
    ]
