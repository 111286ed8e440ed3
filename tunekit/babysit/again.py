"""``--replay``: a watched model's schedule, trained once more on the same rows.

It is written down where it is, from time to time, so that the same command goes on
after a kill; the schedule is that with which it began, even if its model has been
trained on since.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunekit.babysit.folder import Folder
from tunekit.babysit.halfway import Halfway, Stood
from tunekit.babysit.replay import best_of, replayed
from tunekit.babysit.schedule import Stretch, schedule_of
from tunekit.babysit.seldom import Turns
from tunekit.config import Config, check_name
from tunekit.errors import ConfigError, ResumeError
from tunekit.interrupt import shield
from tunekit.trial import Recipe

if TYPE_CHECKING:
    from rich.console import Console

    from tunekit.data import Table
    from tunekit.workers.setup import Setup

__all__ = ["Replay"]


class Replay:
    """One call of the command.

    Args:
        folder: The babysat model's.
        console: Where to print.
        seed: Of weights, batches and masks; the model's own when None.
        out: Where models live.
        name: The new model's.

    Attributes:
        place: The new model's folder.

    Raises:
        ConfigError: An option that cannot be used, or the model is no table's.
        ResumeError: The folder is no babysat model.
    """

    def __init__(
        self,
        folder: Path,
        console: Console,
        *,
        seed: str | None,
        out: str | None,
        name: str | None,
    ) -> None:
        self._model, self._console = Folder(folder), console
        settings = self._model.settings()
        best_of(self._model)
        if "recipe" not in settings:
            raise ConfigError(
                f"{folder} must be a table's model, got a module's; from Python, "
                "babysit(...).replay(seed) trains its schedule again"
            )
        self._recipe = Recipe(**settings["recipe"])
        shared = {field.name for field in dataclasses.fields(Config)}
        known = {k: v for k, v in settings.items() if k in shared}
        self._config = Config.from_mapping(known)
        own = self._config.seed
        self._seed = Config.from_mapping({"seed": seed}).seed if seed else own
        if name:
            check_name(name)
        named = name or f"{folder.name}-replay-{self._seed}"
        self.place = Path(out or folder.parent) / named
        self._turns = Turns()

    def run(self) -> None:
        """Train the schedule, or go on; judge its model and keep it.

        Raises:
            ConfigError: The place holds something else.
            StoppedError: The schedule diverges.
        """
        from tunekit.workers.setup import Setup

        setup, halfway = Setup.of(self._config), Halfway(self.place)
        self._model.check_data(setup.table.describe())
        with halfway.alone():
            stood = halfway.stood()
            to = best_of(self._model) if stood is None else stood.about["to"]
            schedule, about = self._known(to, setup.table)
            if stood is not None and stood.about != about:
                raise self._other()
            if stood is not None and stood.result is not None:
                result = stood.result
            else:
                halfway.begin(about, [] if stood is None else stood.curve)
                self._say_first(schedule, halfway.epochs, stood)
                result = self._trained(setup, halfway, schedule)
        self._say_end(result)
        if to != best_of(self._model):
            self._say(
                f"{self._model.path} has come further since; for the schedule that it "
                "has now, choose another --name"
            )

    def _known(self, to: str, table: Table) -> tuple[list[Stretch], dict[str, Any]]:
        """The way to a checkpoint, and what tells its replay from any other."""
        try:
            schedule = schedule_of(self._model.lines.backwards(), to)
        except ResumeError:
            if to == best_of(self._model):
                raise
            raise self._other() from None
        what = [each.as_dict() for each in schedule]
        known = [self._recipe.as_dict(), table.describe()["fingerprint"], what]
        digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
        return schedule, {"to": to, "seed": self._seed, "sha256": digest}

    def _other(self) -> ConfigError:
        return ConfigError(
            f"{self.place} must be new or a replay of {self._model.path} with seed "
            f"{self._seed}, got one of another model or seed; choose another --name"
        )

    def _trained(
        self, setup: Setup, halfway: Halfway, schedule: list[Stretch]
    ) -> dict[str, Any]:
        """What the schedule comes to, once its model is kept."""
        from tunekit.babysit.job import judged, run_of
        from tunekit.predict import save
        from tunekit.states import part_of

        whole = sum(each.epochs for each in schedule)
        lowest = halfway.lowest

        def hear(epoch: int, value: float) -> None:
            nonlocal lowest
            lowest = min(lowest, value)
            self._say_seldom(f"{epoch} of {whole} epochs, now {value:.4f}", lowest)

        with closing(setup.engine()) as engine:
            curve, state = replayed(
                schedule,
                engine,
                lambda horizon: run_of(self._recipe),
                seed=self._seed,
                keep=halfway,
                before=halfway.curve,
                begin=halfway.stretch,
                hear=hear,
            )
        halfway.keep()
        table = setup.table
        test = judged(table, self._recipe, state)
        # The weights are those of the best epoch of the last stretch.
        last = curve[-schedule[-1].epochs :]
        best = {
            "val_loss": min(last),
            "epoch": len(curve) - len(last) + last.index(min(last)) + 1,
        }
        result = {**best, "error": test["error"], "rows": test["rows"]}
        with shield():
            save(
                self.place,
                network_state=part_of(state, "best"),
                recipe=self._recipe,
                n_inputs=table.n_inputs,
                classes=table.classes,
                preprocessor=table.preprocessor,
                info=best,
            )
            halfway.end(curve, result)
        return result

    def _say_first(
        self, schedule: list[Stretch], epochs: int, stood: Stood | None
    ) -> None:
        whole = sum(each.epochs for each in schedule)
        self._say(
            f"{whole} epochs by the schedule of {self._model.path}, seed {self._seed}"
        )
        if stood is not None and stood.trouble:
            self._say(f"{self.place}: {stood.trouble}")
        if epochs:
            self._say(f"going on after {epochs} epochs")

    def _say_seldom(self, text: str, lowest: float) -> None:
        if self._turns.is_due():
            self._say(f"{text}, lowest {lowest:.4f}")

    def _say_end(self, result: Mapping[str, Any]) -> None:
        self._say(
            f"lowest validation loss {result['val_loss']:.4f}, test accuracy "
            f"{1 - result['error']:.2%} on {result['rows']:,} rows; model "
            f"{self.place / 'model'}"
        )

    def _say(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(text), soft_wrap=True)
