"""The search within ``fit``: on a table in memory, with a study folder or without."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial
from rich.console import Console

from tunekit import report
from tunekit.budget import Budget
from tunekit.classifier.result import Search, winner_of
from tunekit.config import Config
from tunekit.data import Table
from tunekit.errors import DataError, StoppedError
from tunekit.files import allow_many
from tunekit.interrupt import Interrupted, listening, shield
from tunekit.predict import Predictor, save
from tunekit.screen import Screen
from tunekit.space import recipe_space
from tunekit.store import Store, check_same, settings_of
from tunekit.study.clock import Clock
from tunekit.trial import Engine, Fitted, Recipe
from tunekit.winner.training import Trainer, longest
from tunekit.workers import Setup, end_paused, work
from tunekit.workers.room import check_room

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Job"]

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class _Kept:
    """The network of the winner that was kept."""

    fitted: Fitted
    info: dict[str, Any]


class Job:
    """One call of ``fit``.

    Args:
        config: All options of the search.
        table: The rows.
        valid_share: The share of them that validates; part of what a study is.
        metric: What the winner is chosen by.
        kept: Whether the study lies in its folder, to be gone on with.
        console: Where to say what is going on; None for silence.
        began: When ``fit`` was called (``time.monotonic()``).

    Raises:
        ConfigError: An option does not fit the table.
    """

    def __init__(
        self,
        config: Config,
        table: Table,
        *,
        valid_share: float,
        metric: str,
        kept: bool,
        console: Console | None,
        began: float,
    ) -> None:
        if kept and Store.exists(config.folder):
            config = config.as_begun_with(settings_of(config.folder))
        space = recipe_space(config.space, len(table.y_train))
        self.config, self.table, self.metric = config, table, metric
        self.setup = Setup(config, table, space)
        self.folder = config.folder if kept else None
        split = [1.0 - valid_share, valid_share]
        self.settings = {**self.setup.settings, "split": split, "metric": metric}
        self._console, self._clock = console, Clock(began, config.timeout)

    def run(self) -> tuple[Predictor, Search]:
        """Search, train the winner anew, keep the best network.

        Raises:
            ResumeError: The folder holds another study.
            StoppedError: No trial came to a finite loss, or it had to stop.
            KeyboardInterrupt: After Ctrl-C; where there is a folder, all is kept.
        """
        try:
            with listening():
                return self._run()
        except Interrupted as stop:
            raise KeyboardInterrupt(str(stop)) from None

    def _run(self) -> tuple[Predictor, Search]:
        store, searched = self._open()
        engine: Engine | None = None
        try:
            predictor = self._saved(store) if searched else None
            if predictor is None:
                engine = self.setup.engine()
                self.setup.expect(engine)
                predictor = self._train(store, engine, search_on=not searched)
        finally:
            if engine is not None:
                engine.close()
            store.release_all()
        found = Search.of(store, predictor.info, self.metric, self.folder)
        return predictor, found

    def _open(self) -> tuple[Store, bool]:
        """The study, new or begun before, and whether its budget is spent already."""
        if self.folder is None:
            return self.setup.open(in_memory=True), False
        allow_many()
        described = self.table.describe()
        before: Mapping[str, Any] | None = None
        if Store.exists(self.folder):
            check_same(self.folder, self.settings, described)
            before = settings_of(self.folder)
        check_room(self.setup)
        if before is None:
            Store.create(self.folder, self.settings, described)
        store = self.setup.open()
        if before is not None and self._is_finished(store, before):
            return store, True
        store.extend(self.settings)
        store.study.set_user_attr("finished", False)
        return store, False

    def _is_finished(self, store: Store, before: Mapping[str, Any]) -> bool:
        tally = store.tally()
        if not store.study.user_attrs.get("finished") or tally.opened or tally.paused:
            return False
        if store.next_step(self.setup.budget(None).allows) is None:
            return True
        old, new = before.get("timeout"), self.config.timeout
        return old is not None and new is not None and new <= old

    def _saved(self, store: Store) -> Predictor | None:
        """The model of a study that has ended, if it is whole and the one asked for."""
        assert self.folder is not None
        try:
            predictor = Predictor.load(self.folder)
        except DataError:
            return None
        best = winner_of(store.trials(), self.metric)
        asked = (self.metric, self.config.final_seeds)
        is_it = best is not None and predictor.info.get("trial") == best.number
        had = predictor.info.get("metric"), predictor.info.get("asked_seeds")
        if not is_it or had != asked:
            return None
        report.renew(self.folder)
        return predictor

    def _train(self, store: Store, engine: Engine, *, search_on: bool) -> Predictor:
        """Search until the budget is spent; then the winner, several times anew."""
        self._clock.share_out()
        budget = self.setup.budget(self._clock.search_until)
        with contextlib.ExitStack() as stack:
            on_end: Callable[[FrozenTrial], None] = _hear_nothing
            say: Callable[[str], None] = _hear_nothing
            if self._console is not None:
                values = self.setup.space.from_stored
                left = self._clock.search_seconds_left
                screen = Screen(self._console, budget, store.trials, values, left)
                stack.enter_context(screen)
                on_end, say = screen.ended, screen.phase
            if search_on:
                self._search(store, engine, budget, on_end)
            say("training the winner anew")
            predictor = self._crown(store, engine)
            with shield():
                self._end(store, engine)
            return predictor

    def _end(self, store: Store, engine: Engine) -> None:
        """Record that all is done, and report."""
        study = store.study
        seconds = study.user_attrs.get("seconds", 0.0) + self._clock.total
        study.set_user_attr("seconds", round(seconds, 3))
        study.set_user_attr("engine", engine.name)
        study.set_user_attr("finished", True)
        if self.folder is not None:
            report.write(self.folder)

    def _search(
        self,
        store: Store,
        engine: Engine,
        budget: Budget,
        on_end: Callable[[FrozenTrial], None],
    ) -> None:
        board = None if self.folder is None else self.setup.board()
        while True:
            work(
                store,
                engine,
                self.setup.space,
                budget,
                board=board,
                on_end=on_end,
                in_flight=self.config.open_trials,
            )
            if not store.tally().opened:
                break
            # Beside another process on this study: what that one still trains.
            time.sleep(_POLL_SECONDS)
        end_paused(store, self.setup.space, engine.name)

    def _crown(self, store: Store, engine: Engine) -> Predictor:
        """Train the winner anew with several seeds; keep the best by the metric."""
        best = winner_of(store.trials(), self.metric)
        if best is None:
            raise StoppedError(_why_no_winner(store))
        space = self.setup.space
        params = {**space.fixed, **space.from_stored(best.params)}
        recipe = Recipe().with_params(params)
        kept = self._best_of_seeds(best, recipe, engine)
        predictor = self._predictor(recipe, kept)
        if self.folder is not None:
            with shield():
                save(
                    self.folder,
                    network_state=kept.fitted.weights,
                    recipe=recipe,
                    n_inputs=self.table.n_inputs,
                    classes=self.table.classes,
                    preprocessor=self.table.preprocessor,
                    info=kept.info,
                )
        return predictor

    def _best_of_seeds(
        self, best: FrozenTrial, recipe: Recipe, engine: Engine
    ) -> _Kept:
        left, n_seeds = self._clock.seconds_left, self.config.final_seeds
        epochs = longest(best, self.settings)
        had = best.user_attrs.get("epochs") or 1
        seconds = best.user_attrs.get("seconds", 0.0) / had * epochs
        trainer = Trainer(engine, self.settings, left, epochs, seconds)
        waiting = [f"final-{seed}" for seed in range(n_seeds)]
        trained: dict[str, tuple[Fitted, bool]] = {}
        while waiting and (not trained or trainer.has_time()):
            wave = waiting[: trainer.wave(len(waiting))]
            waiting = waiting[len(wave) :]
            trained |= trainer.train(dict.fromkeys(wave, recipe), _hear_nothing)
        finite = {key: each for key, each in trained.items() if each[0].best_epoch}
        # One that time cut short counts only where none is whole.
        whole = {key: fitted for key, (fitted, is_whole) in finite.items() if is_whole}
        fits = whole or {key: fitted for key, (fitted, _) in finite.items()}
        if not fits:
            raise StoppedError(
                f"trial {best.number}'s recipe must train to a finite loss again, and "
                f"did with none of {n_seeds} seeds; narrow the learning rate "
                '(space={"lr": "1e-4..1e-2"})'
            )

        def rank(key: str) -> tuple[float, float]:
            m = fits[key].best
            first = -m.val_score if self.metric == "accuracy" else m.val_loss
            return first, m.val_loss

        key = min(fits, key=rank)
        fitted = fits[key]
        info = {
            "trial": best.number,
            "seed": int(key.removeprefix("final-")),
            "seeds": len(fits),
            "asked_seeds": n_seeds,
            "metric": self.metric,
            "val_loss": fitted.best.val_loss,
            "val_accuracy": fitted.best.val_score,
            "epoch": fitted.best_epoch,
        }
        return _Kept(fitted, info)

    def _predictor(self, recipe: Recipe, kept: _Kept) -> Predictor:
        import torch

        from tunekit.mlp import MLP

        table = self.table
        # Weights about to be replaced are drawn from nobody else's stream.
        with torch.random.fork_rng(devices=[]):
            network = MLP.of(recipe, table.n_inputs, len(table.classes))
        network.load_state_dict(kept.fitted.weights)
        return Predictor(network, table.preprocessor, table.classes, recipe, kept.info)


def _hear_nothing(told: Any) -> None:
    """For those who are told what nobody wants to see."""


def _why_no_winner(store: Store) -> str:
    trials = store.trials()
    errors = [t.user_attrs["error"] for t in trials if "error" in t.user_attrs]
    last = f", the last error: {errors[-1]}" if errors else ""
    return (
        "a winner needs at least one epoch with a finite loss, and none of "
        f"{len(trials)} trials had one{last}; raise the budget, or narrow the learning "
        'rate (space={"lr": "1e-4..1e-2"})'
    )
