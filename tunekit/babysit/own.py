"""Babysitting from Python: a table, or anybody's LightningModule."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console

from tunekit.babysit.asked import checked_start, kept_in, place_of, settings_of
from tunekit.babysit.babysat import Babysat, best_weights
from tunekit.babysit.course import Course
from tunekit.babysit.job import Job
from tunekit.babysit.nudges import Settings, knobs_of
from tunekit.babysit.options import Options
from tunekit.babysit.pages import described, write_pages
from tunekit.babysit.replay import replayed
from tunekit.babysit.schedule import schedule_of
from tunekit.babysit.seldom import Seldom
from tunekit.babysit.sitter import Sitter, Told
from tunekit.babysit.telling import Telling
from tunekit.babysit.watching import Watching
from tunekit.config import Config
from tunekit.errors import ConfigError
from tunekit.interrupt import Interrupted, listening
from tunekit.modules import ModuleEngine

__all__ = ["Babysat", "babysit", "babysit_table"]

_FOR_EVER = 10**9
_RENEW_SECONDS = 30.0
"""The report is renewed at most so often while training goes on."""


def babysit(
    make: Callable[[Settings], Any],
    space: Mapping[str, Any],
    *,
    start: Mapping[str, float],
    data: Any = None,
    monitor: str = "val_loss",
    direction: str = "minimize",
    budget_epochs: int | None = None,
    timeout: float | str | None = None,
    interval: int = 6,
    burst: int = 1,
    nudges: int = 2,
    patience: int = 2,
    hold: Sequence[str] = (),
    trainer: Any = None,
    seed: int = 0,
    out: str | Path | None = None,
    name: str | None = None,
    on_round: Callable[[Mapping[str, Any]], None] | None = None,
    progress: bool = False,
) -> Babysat:
    """Train one LightningModule and adjust its hyperparameters as it trains.

    Every ``interval`` epochs nudges of a few hyperparameters are tried for ``burst``
    epochs each, from one checkpoint, and the best goes on; where the value turns bad,
    the module is taken back to a checkpoint from before. What ``make`` gives with other
    settings must have the same layers: optimizers get the new learning rate, momentum
    and weight decay and keep what they have learnt; dropout is that of the new module.

    Args:
        make: Called with the settings; returns a LightningModule of either package, or
            a pair of one and its data.
        space: By name, a ``LogUniform``, ``OneMinusLogUniform`` or ``Uniform``: what
            may change, and between which ends. What is named ``lr`` or
            ``learning_rate``, or ends so after an underscore, is lowered on a plateau,
            cut where training diverges and cooled down at the end of a budget; names
            such as ``dropout`` and ``weight_decay``, and those that end so, are what
            holds the model back where it overfits. See
            :func:`tunekit.babysit.nudges.knobs_of` for all such names.
        start: What each begins with.
        data: As for :func:`tunekit.tune`.
        monitor: The name under which the module logs its value.
        direction: ``minimize`` or ``maximize``.
        budget_epochs: Epochs in all, what is tried included.
        timeout: Seconds, or a text such as ``2d``. A budget is needed.
        interval: Epochs between two nudges.
        burst: Epochs for which nudges are tried.
        nudges: Nudges tried beside what is.
        patience: Intervals without a gain after which the value counts as flat.
        hold: Names that are not nudged.
        trainer: Arguments of the Trainers; see :func:`tunekit.tune`. Callbacks write
            below ``OUT/NAME/trials``, each of what is tried side by side in a folder of
            its own: there a ``ModelCheckpoint`` has the files of the last round alone,
            and those that it would replace itself; elsewhere nothing is deleted. The
            best epoch is kept without it.
        seed: Of weights, batches and nudges.
        out: The folder of models; in memory when None. With it a crash costs nothing:
            the same call goes on, and ``OUT/NAME/steer.toml`` may be edited meanwhile.
        name: The model's folder; needed with ``out``.
        on_round: Hears of every line of the history.
        progress: Whether to print a line now and then, as the command does.

    Raises:
        ConfigError: An argument that cannot be used.
        ResumeError: The folder holds another model.
        StoppedError: No epoch had a finite value.
        KeyboardInterrupt: After Ctrl-C; with ``out`` everything is kept.

    Example:
        >>> from pytorch_lightning.demos.boring_classes import DemoModel, RandomDataset
        >>> from torch.utils.data import DataLoader
        >>> from tunekit import LogUniform
        >>> found = babysit(
        ...     lambda settings: DemoModel(**settings),
        ...     {"learning_rate": LogUniform(1e-4, 1e-1)},
        ...     start={"learning_rate": 1e-2},
        ...     data=DataLoader(RandomDataset(32, 16), batch_size=8),
        ...     monitor="train_loss",
        ...     budget_epochs=4,
        ... )
        >>> found.epochs
        4
    """
    knobs = knobs_of(space)
    begin = checked_start(knobs, start, hold)
    # One place says what an option may be.
    asked = {"budget_epochs": budget_epochs, "timeout": timeout, "seed": seed}
    config = Config.from_mapping({k: v for k, v in asked.items() if v is not None})
    if config.budget_epochs is None and config.timeout is None:
        raise ConfigError(
            "a budget must be given, got none; give budget_epochs or timeout"
        )
    if direction not in ("minimize", "maximize"):
        raise ConfigError(f'direction must be minimize or maximize, got "{direction}"')
    watched = {"interval": interval, "burst": burst, "nudges": nudges}
    watched["patience"] = patience
    options = Options.from_mapping(watched)
    rules = dataclasses.replace(options.rules, horizon=config.budget_epochs)
    maximize = direction == "maximize"
    settings = settings_of(space, begin, monitor, direction, seed, rules)
    path = place_of(out, name)

    def engine(folder: str) -> ModuleEngine:
        return ModuleEngine(
            make,
            data=data,
            monitor=monitor,
            maximize=maximize,
            trainer=trainer,
            folder=None if path is None else path / folder,
            renewed=True,
        )

    def run_of(horizon: int | None) -> Callable[[Settings], Mapping[str, Any]]:
        if horizon == 0:  # an older history does not say
            horizon = config.budget_epochs
        return lambda settings: {
            "params": dict(settings),
            "max_epochs": horizon or _FOR_EVER,
        }

    until = None if config.timeout is None else time.monotonic() + config.timeout
    seldom = Seldom(_RENEW_SECONDS)
    watching = Watching(_console(progress), config.budget_epochs, maximize=maximize)

    def report(course: Course, *, ended: bool) -> None:
        if path is None:
            return
        told = described(
            path.name,
            course,
            telling.account,
            schedule_of(keep.lines.backwards(), course.best_at),
            metric=monitor,
            seconds=sitter.seconds,
            maximize=maximize,
            ended=ended,
        )
        write_pages(path, told, telling.account, knobs)

    def tell(told: Told) -> None:
        telling(told.line)
        watching(told)
        if told.course.best_at:
            seldom(lambda: report(told.course, ended=False))
        if on_round is not None:
            on_round(told.line)

    try:
        # Before there is a folder: arguments of a Trainer may be wrong.
        own = engine("trials")
        with listening(), kept_in(path, settings) as keep:
            sitter = Sitter(
                own,
                run_of(config.budget_epochs),
                keep,
                knobs,
                begin,
                rules,
                seed=seed,
                held=list(hold),
                maximize=maximize,
                until=until,
                tell=tell,
            )
            if sitter.trouble:
                watching.say(sitter.trouble)
            telling = Telling(
                keep.lines, path and path / "tb", monitor, hear=watching.say
            )
            with closing(telling):
                course = sitter.sit()
            weights = best_weights(keep, course, stopped=sitter.stopped)
            report(course, ended=True)
    except Interrupted as stop:
        raise KeyboardInterrupt(str(stop)) from None
    schedule = schedule_of(keep.lines.backwards(), course.best_at)
    sign = -1.0 if maximize else 1.0

    def replay(seed: int) -> list[float]:
        # Another process may train the model meanwhile: nothing of its is touched.
        beside = engine("replay")
        try:
            with listening():
                curve, _ = replayed(
                    schedule, beside, run_of, seed=seed, maximize=maximize
                )
        except Interrupted as stop:
            raise KeyboardInterrupt(str(stop)) from None
        return [sign * value for value in curve]

    return Babysat(
        best_value=sign * course.best,
        best_epoch=course.lowest_epoch,
        epochs=course.spent,
        settings=schedule[-1].settings,
        schedule=schedule,
        folder=path,
        _keep=keep,
        _weights=weights,
        _make=make,
        _replay=replay,
    )


def babysit_table(**options: Any) -> dict[str, Any]:
    """Babysit tunekit's own network on a table, as ``python -m tunekit.babysit`` does.

    Args:
        options: The command's, with underscores: ``data``, ``target``,
            ``budget_epochs``, ``space={"lr": 0.01}``, ``hold``, ``out``, ``name``, …;
            ``progress=True`` prints what the command does.

    Returns:
        What ``report.json`` holds.

    Raises:
        TunekitError: As the command says in one line.
        KeyboardInterrupt: After Ctrl-C; everything is kept.
    """
    began = time.monotonic()
    console = _console(options.pop("progress", False))
    try:
        with listening():
            return Job(Options.from_mapping(options), console, began).run()
    except Interrupted as stop:
        raise KeyboardInterrupt(str(stop)) from None


def _console(progress: bool) -> Console:
    """Where lines are printed, or nowhere."""
    return Console(highlight=False, quiet=not progress)
