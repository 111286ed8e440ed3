"""One call that searches the hyperparameters of anybody's own training loop."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from tunekit.board import Board
from tunekit.budget import Budget
from tunekit.closing import trials_frame
from tunekit.errors import ConfigError
from tunekit.history import history
from tunekit.interrupt import Interrupted, listening, shield
from tunekit.store import (
    MemoryStore,
    Store,
    check_same,
    settings_of,
    widen,
)
from tunekit.tally import as_one
from tunekit.tuning.candidates import OwnSpace
from tunekit.tuning.options import Options
from tunekit.tuning.own import OwnEngine
from tunekit.tuning.result import TuneResult
from tunekit.warm import KEY, recorded
from tunekit.workers import end_paused, work

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from tunekit.space import Scale

__all__ = ["tune"]

_POLL_SECONDS = 0.2
_DESCRIBED = {"fingerprint": "make", "source": "what make returns"}
"""What stands in the place of a table's split."""


def tune(
    make: Callable[[Any], Any],
    space: Mapping[str, Scale] | Callable[[Any], Any],
    *,
    data: Any = None,
    monitor: str = "val_loss",
    direction: str = "minimize",
    max_epochs: int,
    n_trials: int | None = None,
    budget_epochs: int | None = None,
    timeout: float | str | None = None,
    trial_timeout: float | str | None = None,
    sampler: str | BaseSampler | None = None,
    pruner: str | BasePruner | None = None,
    enqueue: Sequence[Mapping[str, Any]] | None = None,
    warm_start: Any = None,
    stop_when_flat: bool = False,
    trainer: Mapping[str, Any] | Callable[[Any], Mapping[str, Any]] | None = None,
    in_flight: int = 1,
    seed: int = 0,
    out: str | Path | None = None,
    extend: bool = False,
    name: str | None = None,
    on_trial_end: Callable[[FrozenTrial], None] = lambda trial: None,
) -> TuneResult:
    """Search the hyperparameters of a LightningModule, or of any training loop.

    Args:
        make: Called with the parameters (human units: momentum, not its gap to one);
            returns a LightningModule of either Lightning package; a pair of one and its
            data, where hyperparameters change the data; or any iterable of floats, such
            as a generator that yields the validation loss after each epoch. It is
            closed where training ends early. Each trial draws from streams of its own:
            what must be alike for all, as a split, needs a seed of its own here. What a
            module changes as it trains and no checkpoint of Lightning's holds is lost
            where the trial is paused.
        space: A dict of name to scale, or a function ``trial -> params`` that calls
            ``trial.suggest_float`` and the like, or ``.suggest(trial, name)`` of a
            scale; such a function is called a few times beforehand, to know it.
        data: What modules are trained on that bring none: a LightningDataModule, a pair
            of training and validation loaders, or training loaders alone. None where a
            module has loaders of its own; an iterable always has.
        monitor: The name under which a module logs its value, by the end of an epoch.
            Where validation logs it several times an epoch, the best of these counts.
            An iterable gives no other values.
        direction: ``minimize`` or ``maximize``.
        max_epochs: The longest that one trial trains; no more values are asked for.
        n_trials: The budget in trials. At least one of three budgets is needed; of
            several, whichever ends first ends the search. Where trials are paused and
            promoted and ``budget_epochs`` is None, all of them together train for a
            quarter of their ``max_epochs``, but at least once to the end.
        budget_epochs: The budget in epochs of all trials together: one value is one
            epoch. It is never exceeded.
        timeout: The budget of wall time, in seconds, or text such as ``10m``; over all
            calls that go on with one study.
        trial_timeout: What one trial may train, in the same form. One that takes longer
            or hangs ends alone, as failed. In the main thread of Linux or macOS, code
            that is in Python is broken off, as a loop, a sleep or a lock; elsewhere,
            and in one long operation of a library, it ends with its next value.
        sampler: A name (coarse-to-fine, random, tpe, gp, qmc, cmaes, grid) or any
            Optuna sampler; coarse-to-fine when None.
        pruner: A name (promote, none, median, halving, hyperband) or any Optuna pruner;
            promote when None: trials are paused, and the most promising go on.
        enqueue: Configurations to try first, in human units; what one leaves out, the
            sampler gives.
        warm_start: An earlier study, as the folder of one, a result, or an
            ``optuna.Study``: three of its best configurations that lie far from one
            another are tried after those of ``enqueue``. Its hyperparameters are
            matched by name; trials outside this space are skipped, which is logged.
        stop_when_flat: End the search before its budget, once all that is left of it
            can be expected to gain less than another seed changes; the study's user
            attribute ``flat`` says what was found.
        trainer: Arguments of the Trainer that trains a module, such as
            ``{"accelerator": "gpu", "callbacks": [EarlyStopping("val_loss")]}``, or a
            function of the trial (its ``number`` and ``params``) that gives them.
            Among them, callbacks, loggers and plugins may be objects, which are copied
            for each trial, or functions of the trial, called for each. A trial keeps
            its loggers when it is promoted. None for an iterable.
        in_flight: Trials that are open at once; each iterable gives one value in turn.
            Modules are trained one at a time.
        seed: Decides all that is drawn, also by ``make`` and what it returns, from the
            global streams of torch, NumPy and Python: every trial has its own.
        out: Keep everything in the folder ``out/name``, with TensorBoard's curves of
            every trial in its ``tb``, so that the same call goes on
            with what was stopped, and returns at once what is finished. A trial that
            was stopped is run again to where it was, which counts once. In memory
            alone when None.
        extend: Let the space of a study that ``out`` holds grow to this one, with wider
            ranges or more choices; its trials are kept.
        name: The study's name; ``study`` when None.
        on_trial_end: Hears of every trial that has ended here.

    Raises:
        ConfigError: An option that cannot be used; ``make`` returns neither a module
            nor an iterable; or the monitored value is not logged.
        SpaceError: A space, or an enqueued configuration, that cannot be used.
        ResumeError: The folder holds another study.
        StoppedError: Five trials in a row failed, or the folder cannot be written.
        KeyboardInterrupt: After Ctrl-C; with ``out``, the same call goes on.

    Example:
        >>> from tunekit import LogUniform
        >>> def make(params):
        ...     x = 4.0
        ...     for epoch in range(20):
        ...         x -= params["lr"] * 2 * x
        ...         yield x * x
        >>> space = {"lr": LogUniform(1e-3, 1.0)}
        >>> result = tune(make, space, max_epochs=20, n_trials=9)
        >>> result.best_value < 0.1, len(result.trials), sorted(result.best_params)
        (True, 9, ['lr'])
    """
    began = time.monotonic()
    if not callable(make):
        raise ConfigError(f"make must be a function of params, got {make!r}")
    options = Options(
        monitor=monitor,
        direction=direction,
        max_epochs=max_epochs,
        n_trials=n_trials,
        budget_epochs=budget_epochs,
        timeout=timeout,  # type: ignore[arg-type]  # made a number there
        trial_timeout=trial_timeout,  # type: ignore[arg-type]
        sampler=sampler,  # type: ignore[arg-type]  # made a name there
        pruner=pruner,  # type: ignore[arg-type]
        enqueue=() if enqueue is None else enqueue,
        warm_start=warm_start,
        stop_when_flat=stop_when_flat,
        extend=extend,
        in_flight=in_flight,
        seed=seed,
        name="study" if name is None else name,
    )
    own = OwnSpace(space, options.seed)
    folder = None if out is None else Path(out) / options.name
    engine = OwnEngine(
        make,
        data=data,
        monitor=monitor,
        maximize=options.maximize,
        trainer=trainer,
        folder=None if folder is None else folder / "trials",
    )
    store, finished = _open(options, own, folder)
    if not finished:
        if folder is not None and (known := _trained_by(store)) is not None:
            engine.expect_engine(known, folder)
        try:
            with listening():
                board = None if folder is None else _board(folder, monitor, own)
                _search(store, engine, own, options, began, on_trial_end, board)
        except Interrupted as stop:
            raise KeyboardInterrupt(str(stop)) from None
    order = history(store.trials(), store.order(), maximize=options.maximize)
    return TuneResult(
        study=store.study,
        trials=_frame(store),
        history=order,
        folder=folder,
        make=make,
        params_of=lambda trial: own.suggest(trial).params,
        weights=store.weights,
    )


def _open(options: Options, own: OwnSpace, folder: Path | None) -> tuple[Store, bool]:
    """The study, new or begun before, and whether it has its result already."""
    settings = options.as_settings(own)
    before: dict[str, Any] | None = None
    first: Sequence[Mapping[str, Any]]
    if folder is not None and Store.exists(folder):
        before = settings_of(folder)
        if options.extend:
            same = {**settings, "space": before.get("space", {})}
            check_same(folder, same, _DESCRIBED)
            if own.scales is None:
                raise ConfigError(
                    "extend must have a space that is a dict of scales, got a "
                    "function; give the scales or another name"
                )
            widen(folder, settings, own.scales)
        check_same(folder, settings, _DESCRIBED)
        first = recorded(folder)
    else:
        first = _warm(options, own)
    sampler, pruner = options.build_sampler(own, first), options.build_pruner()
    chooser = options.build_chooser(sampler, own)
    if folder is None:
        return MemoryStore(options.name, settings, sampler, pruner, chooser), False
    if before is None:
        Store.create(folder, settings, {**_DESCRIBED, KEY: first})
    store = Store(folder, sampler, pruner, chooser)
    if before is not None and _is_finished(store, before, options):
        return store, True
    store.extend(settings)
    store.study.set_user_attr("finished", False)
    return store, False


def _trained_by(store: Store) -> str | None:
    """What trained the trials that a study has values of already."""
    engines = (
        trial.user_attrs.get("engine")
        for trial in store.trials()
        if trial.intermediate_values
    )
    return next((each for each in engines if each is not None), None)


def _warm(options: Options, own: OwnSpace) -> Sequence[dict[str, Any]]:
    """The configurations of a warm start, with a word on those left out."""
    found = options.warm(own)
    if found.skipped:
        logging.getLogger("tunekit").warning("%s", found)
    return found.configurations


def _is_finished(store: Store, before: Mapping[str, Any], options: Options) -> bool:
    """Whether the folder already holds the result of this budget."""
    tally = store.tally()
    if not store.study.user_attrs.get("finished") or tally.opened or tally.paused:
        return False
    if store.next_step(_budget(options, None).allows) is None:
        return True
    old, new = before.get("timeout"), options.timeout
    return old is not None and new is not None and new <= old


def _search(
    store: Store,
    engine: OwnEngine,
    own: OwnSpace,
    options: Options,
    began: float,
    on_end: Callable[[FrozenTrial], None],
    board: Board | None,
) -> None:
    """Train until the budget is spent."""
    spent: float = store.study.user_attrs.get("seconds", 0.0)
    until = None if options.timeout is None else began + options.timeout - spent

    budget = _budget(options, until)
    try:
        while True:
            work(
                store,
                engine,
                own,
                budget,
                board=board,
                on_end=on_end,
                in_flight=options.in_flight,
            )
            if not store.tally().opened:
                break
            # Beside another process on this study: what that one still trains.
            time.sleep(_POLL_SECONDS)
        end_paused(store, own, engine.name)
        store.study.set_user_attr("finished", True)
    finally:
        engine.close()
        total = round(spent + time.monotonic() - began, 3)
        store.release_all()
        # On a full disk this fails, too; the first error is the one to tell.
        with shield(), contextlib.suppress(OSError, AssertionError):
            store.study.set_user_attr("seconds", total)


def _board(folder: Path, monitor: str, own: OwnSpace) -> Board:
    """TensorBoard's files of a study, described."""
    board = Board(folder / "tb", monitor)
    board.describe(own.scales.domains() if own.scales else {})
    return board


def _budget(options: Options, until: float | None) -> Budget:
    """What the search may spend, until a ``time.monotonic()`` if there is one."""

    def seconds_left(trials: Sequence[Any]) -> float:
        assert until is not None
        return until - time.monotonic()

    return Budget(
        n_trials=options.n_trials,
        epochs=options.epochs,
        seconds_left=None if until is None else seconds_left,
        max_epochs=options.max_epochs,
    )


def _frame(store: Store) -> pd.DataFrame:
    frame = trials_frame(as_one(store.tally()))
    if frame.empty:
        columns = ["number", "state", "value", "epochs", "seconds"]
        return pd.DataFrame(columns=columns)
    return frame
