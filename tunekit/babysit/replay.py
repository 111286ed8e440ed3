"""A babysat model's schedule, trained once more."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunekit.babysit.folder import Folder
from tunekit.babysit.nowhere import Nowhere
from tunekit.babysit.nudges import Settings
from tunekit.babysit.rounds import train_round
from tunekit.babysit.schedule import Stretch, as_rounds, schedule_of
from tunekit.errors import ConfigError, StoppedError
from tunekit.trial import Engine, Recipe

if TYPE_CHECKING:
    from rich.console import Console

    from tunekit.trial import State

__all__ = ["replay_command", "replayed", "schedule_in"]


def schedule_in(folder: Path) -> list[Stretch]:
    """The way to the best epoch of a model that is kept in a folder.

    Raises:
        ResumeError: The folder is no babysat model, or damaged.
        StoppedError: It has not come to its first round.
    """
    kept = Folder(folder)
    kept.settings()
    found = kept.stand()
    if found is None or not found[0].best_at:
        raise StoppedError(
            f"{folder} must have come to a first finite loss, and has not; run its "
            "command again first"
        )
    return schedule_of(kept.history(), found[0].best_at)


def replayed(
    schedule: Sequence[Stretch],
    engine: Engine,
    run_of: Callable[[Settings], Mapping[str, Any]],
    *,
    seed: int,
    maximize: bool = False,
) -> tuple[list[float], State]:
    """Train a schedule without watching.

    Args:
        schedule: What :func:`schedule_in` gives.
        engine: What trains.
        run_of: The arguments of a run with some settings.
        seed: With the model's own seed it comes to its weights, to the last bit.
        maximize: Whether higher values are better; those returned are negative then.

    Returns:
        The value of each epoch, and the state after the last.

    Raises:
        StoppedError: It diverges.
    """
    keep, curve, name = Nowhere(), [], ""
    for each in as_rounds(schedule):
        found = train_round(engine, each, run_of, keep, seed=seed, maximize=maximize)
        assert found is not None  # there is no limit of time
        (outcome,) = found
        curve += outcome.val
        if outcome.checkpoint is None:
            raise StoppedError(
                f"the schedule must train to a finite loss with seed {seed}, too, and "
                f"diverged after {len(curve)} epochs; choose another seed"
            )
        name = outcome.checkpoint
        keep.forget_all_but(name)
    state = keep.load(name)
    assert state is not None
    return curve, state


def replay_command(
    folder: Path,
    console: Console,
    *,
    seed: str | None,
    out: str | None,
    name: str | None,
) -> None:
    """``--replay``: train the schedule on the same rows, judge it, keep its model.

    Args:
        folder: The babysat model's.
        console: Where to print.
        seed: Of weights, batches and masks; the model's own when None.
        out: Where models live.
        name: The new model's.

    Raises:
        ConfigError: The place is taken, or the model is no table's.
    """
    from rich.text import Text

    from tunekit.babysit.job import judged, run_of
    from tunekit.config import Config, check_name
    from tunekit.predict import save
    from tunekit.states import part_of
    from tunekit.workers.setup import Setup

    schedule, settings = schedule_in(folder), Folder(folder).settings()
    if "recipe" not in settings:
        raise ConfigError(
            f"{folder} must be a table's model, got a module's; from Python, "
            "babysit(...).replay(seed) trains its schedule again"
        )
    recipe = Recipe(**settings["recipe"])
    shared = {field.name for field in dataclasses.fields(Config)}
    config = Config.from_mapping({k: v for k, v in settings.items() if k in shared})
    drawn = Config.from_mapping({"seed": seed}).seed if seed else config.seed
    if name:
        check_name(name)
    place = Path(out or folder.parent) / (name or f"{folder.name}-replay-{drawn}")
    if place.exists():
        raise ConfigError(f"{place} must be new, got a folder; choose another --name")
    setup = Setup.of(config)
    table = setup.table
    Folder(folder).check_data(table.describe())
    epochs = sum(each.epochs for each in schedule)

    def say(text: str) -> None:
        console.print(Text(text), soft_wrap=True)

    say(f"{epochs} epochs by the schedule of {folder}, seed {drawn}")
    with closing(setup.engine()) as engine:
        curve, state = replayed(schedule, engine, run_of(recipe), seed=drawn)
    test = judged(table, recipe, state)
    # The weights are those of the best epoch of the last stretch.
    last = curve[-schedule[-1].epochs :]
    lowest = min(last)
    save(
        place,
        network_state=part_of(state, "best"),
        recipe=recipe,
        n_inputs=table.n_inputs,
        classes=table.classes,
        preprocessor=table.preprocessor,
        info={"val_loss": lowest, "epoch": epochs - len(last) + last.index(lowest) + 1},
    )
    say(
        f"lowest validation loss {lowest:.4f}, test accuracy "
        f"{1 - test['error']:.2%} on {test['rows']:,} rows; model {place / 'model'}",
    )
