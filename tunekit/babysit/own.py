"""Babysitting from Python: a table, or anybody's LightningModule."""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunekit.babysit.course import Course, Rules
from tunekit.babysit.curves import Curves
from tunekit.babysit.folder import Folder, Nowhere
from tunekit.babysit.job import Job
from tunekit.babysit.nudges import Knob, Settings, knobs_of
from tunekit.babysit.options import Options
from tunekit.babysit.pages import described, write_pages
from tunekit.babysit.replay import replayed
from tunekit.babysit.schedule import Stretch, schedule_of
from tunekit.babysit.sitter import Sitter, Told
from tunekit.config import Config, check_name
from tunekit.errors import ConfigError, ResumeError, SpaceError, StoppedError
from tunekit.interrupt import Interrupted, listening
from tunekit.modules import ModuleEngine
from tunekit.states import part_of
from tunekit.store import other_name
from tunekit.streams import streams_kept
from tunekit.trial import State

__all__ = ["Babysat", "babysit", "babysit_table"]

_FOR_EVER = 10**9


@dataclass(frozen=True)
class Babysat:
    """What a babysat module came to.

    Attributes:
        best_value: The lowest value of any epoch (the highest, where that is better).
        best_epoch: Epochs on the line up to the stretch that has it.
        epochs: Epochs trained in all, what was tried included.
        settings: The hyperparameters of the best epoch.
        schedule: The way to it, to be trained again.
        history: Every round and edit.
        folder: Where it is kept; None where that is nowhere.
    """

    best_value: float
    best_epoch: int
    epochs: int
    settings: Settings
    schedule: list[Stretch]
    history: list[dict[str, Any]] = field(repr=False)
    folder: Path | None
    _weights: Mapping[str, Any] = field(repr=False)
    _make: Callable[[Settings], Any] = field(repr=False)
    _replay: Callable[[int], list[float]] = field(repr=False)

    def best_module(self) -> Any:
        """The module, made with the last settings, with the weights of the best epoch.

        It is in evaluation mode, on the CPU.
        """
        with streams_kept():
            given = self._make(self.settings)
            module = given[0] if isinstance(given, tuple) else given
            if hasattr(module, "configure_model"):
                module.configure_model()
        module.load_state_dict(self._weights, strict=False)
        return module.eval()

    def replay(self, seed: int = 0) -> list[float]:
        """Train the schedule again without watching; the value of each epoch.

        Args:
            seed: With the seed it had, it comes to the same values.
        """
        return self._replay(seed)


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
            may change, and between which ends.
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
        trainer: Arguments of the Trainers; see :func:`tunekit.tune`.
        seed: Of weights, batches and nudges.
        out: The folder of models; in memory when None. With it a crash costs nothing:
            the same call goes on, and ``OUT/NAME/steer.toml`` may be edited meanwhile.
        name: The model's folder; needed with ``out``.
        on_round: Hears of every line of the history.

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
    begin = _checked(knobs, start, hold)
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
    keep = _kept(out, name, space, begin, monitor, direction, seed, rules)
    path = keep.path if isinstance(keep, Folder) else None
    engine = ModuleEngine(
        make,
        data=data,
        monitor=monitor,
        maximize=maximize,
        trainer=trainer,
        folder=None if path is None else path / "trials",
        renewed=True,
    )
    horizon = config.budget_epochs or _FOR_EVER

    def run_of(settings: Settings) -> Mapping[str, Any]:
        return {"params": dict(settings), "max_epochs": horizon}

    until = None if config.timeout is None else time.monotonic() + config.timeout
    try:
        with listening(), _alone(keep), closing(_Curves(keep, monitor)) as curves:

            def tell(told: Told) -> None:
                curves.tell(told.line)
                if on_round is not None:
                    on_round(told.line)

            sitter = Sitter(
                engine,
                run_of,
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
            course = sitter.sit()
    except Interrupted as stop:
        raise KeyboardInterrupt(str(stop)) from None
    history = keep.history()
    weights = _weights(keep, course)
    if path is not None:
        report = described(
            path.name,
            course,
            history,
            metric=monitor,
            seconds=sitter.seconds,
            maximize=maximize,
        )
        write_pages(path, report, history, knobs)
    schedule = schedule_of(history, course.best_at)
    sign = -1.0 if maximize else 1.0

    def replay(seed: int) -> list[float]:
        curve, _ = replayed(schedule, engine, run_of, seed=seed, maximize=maximize)
        return [sign * value for value in curve]

    return Babysat(
        best_value=sign * course.best,
        best_epoch=course.best_epoch,
        epochs=course.spent,
        settings=schedule[-1].settings,
        schedule=schedule,
        history=history,
        folder=path,
        _weights=weights,
        _make=make,
        _replay=replay,
    )


def babysit_table(**options: Any) -> dict[str, Any]:
    """Babysit tunekit's own network on a table, as ``python -m tunekit.babysit`` does.

    Args:
        options: The command's, with underscores: ``data``, ``target``,
            ``budget_epochs``, ``space={"lr": 0.01}``, ``hold``, ``out``, ``name``, …

    Returns:
        What ``report.json`` holds.

    Raises:
        TunekitError: As the command says in one line.
        KeyboardInterrupt: After Ctrl-C; everything is kept.
    """
    from rich.console import Console

    began = time.monotonic()
    try:
        with listening():
            console = Console(file=io.StringIO())
            return Job(Options.from_mapping(options), console, began).run()
    except Interrupted as stop:
        raise KeyboardInterrupt(str(stop)) from None


class _Curves:
    """TensorBoard's curves of a model in a folder; nothing for one that is nowhere."""

    def __init__(self, keep: Folder | Nowhere, metric: str) -> None:
        self._curves: Curves | None = None
        if isinstance(keep, Folder):
            self._curves = Curves(keep.path / "tb", keep.history(), metric)

    def tell(self, line: Mapping[str, Any]) -> None:
        if self._curves is not None:
            self._curves.tell(line)

    def close(self) -> None:
        if self._curves is not None:
            self._curves.close()


def _checked(
    knobs: Mapping[str, Knob], start: Mapping[str, float], hold: Sequence[str]
) -> Settings:
    """The settings to begin with, in the order of the space."""
    if set(start) != set(knobs):
        raise SpaceError(
            f"start must have a value for each of {', '.join(knobs) or 'no'} "
            f"hyperparameters in space, got {', '.join(start) or 'none'}"
        )
    for name, knob in knobs.items():
        value = start[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SpaceError(f'start "{name}" must be a number, got {value!r}')
        if not knob.scale.low <= value <= knob.scale.high:
            raise SpaceError(
                f'start "{name}" must be between {knob.scale.low:g} and '
                f"{knob.scale.high:g}, got {value:g}"
            )
    for name in hold:
        if name not in knobs:
            raise ConfigError(f'hold must name what is in space, got "{name}"')
    return {name: float(start[name]) for name in knobs}


def _kept(
    out: str | Path | None,
    name: str | None,
    space: Mapping[str, Any],
    start: Settings,
    monitor: str,
    direction: str,
    seed: int,
    rules: Rules,
) -> Folder | Nowhere:
    """Where all is kept; a folder that holds another model is refused."""
    if out is None:
        return Nowhere()
    if not name:
        raise ConfigError("name must be given where out is, got none")
    check_name(name)
    folder = Folder(Path(out) / name)
    settings: dict[str, Any] = {
        "monitor": monitor,
        "direction": direction,
        "seed": seed,
        "start": start,
        "space": {key: scale.as_setting() for key, scale in space.items()},
        "interval": rules.interval,
        "burst": rules.burst,
        "nudges": rules.nudges,
        "patience": rules.patience,
    }
    if not folder.exists:
        folder.create(settings, None)
        return folder
    before = folder.settings()
    for key in sorted({*settings, *before}):
        if before.get(key) != settings.get(key):
            raise ResumeError(
                f'the model "{name}" was begun with {key} {before.get(key)}, now '
                f"{settings.get(key)}",
                other_name(folder.path),
            )
    return folder


def _alone(keep: Folder | Nowhere) -> AbstractContextManager[None]:
    """Nobody else trains it meanwhile."""
    return keep.alone() if isinstance(keep, Folder) else nullcontext()


def _weights(keep: Folder | Nowhere, course: Course) -> dict[str, Any]:
    state: State | None = keep.load(course.best_at) if course.best_at else None
    if state is None:
        raise StoppedError(
            "training must come to a finite value, got none with any setting tried; "
            "begin with a lower learning rate"
        )
    return part_of(state, "best")
