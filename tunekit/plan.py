"""What a person is told first: what was read, what will be searched, how long."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from tunekit.errors import ConfigError, one_line
from tunekit.trial import Recipe, Run

if TYPE_CHECKING:
    from tunekit.config import Config
    from tunekit.data import Table
    from tunekit.space import Space
    from tunekit.trial import Engine, Metrics

__all__ = ["Plan"]

_TIMED_EPOCHS = 3
_COLUMNS_SHOWN = 40


class Plan:
    """The opening lines of a study, and its dry run."""

    def __init__(
        self, console: Console, config: Config, table: Table, space: Space
    ) -> None:
        self._console, self._config = console, config
        self._table, self._space = table, space

    def say(self, text: str) -> None:
        """One line, taken literally: names from data are no markup."""
        self._console.print(
            Text(one_line(text)), soft_wrap=not self._console.is_terminal
        )

    def show(self) -> None:
        """What was read, what will be searched, and within which budget."""
        table, config = self._table, self._config
        kinds = Counter(column.kind for column in table.columns)
        of_kinds = ", ".join(f"{n:,} {kind}" for kind, n in kinds.most_common())
        self.say(
            f"{table.source}: {table.n_rows:,} rows, {len(table.classes)} classes of "
            f'"{table.target}", {table.n_features:,} columns used (of {of_kinds})'
        )
        sizes = {part: len(rows) for part, rows in table.split.items()}
        self.say(
            f"  train {sizes['train']:,} · validation {sizes['validation']:,} · "
            f"test {sizes['test']:,} rows, the last locked away until the end"
        )
        for note in table.notes:
            self.say(f"  note: {note}")
        for name in self._space.idle:
            if name in config.space:
                condition = self._space.conditions[name]
                self.say(f"  note: {name} counts only with {condition}: no effect here")
        searched = ", ".join(self._space.scales) or "nothing"
        self.say(f"  searching {len(self._space.scales)} hyperparameters: {searched}")
        self.say(f"  {self._budget()}; results in {config.folder}")

    def show_space(self) -> None:
        """Every column, every hyperparameter and its scale."""
        columns = Grid(title="columns", title_justify="left", box=None)
        for heading in ("column", "kind", "missing", "note"):
            columns.add_column(heading)
        for column in self._table.columns[:_COLUMNS_SHOWN]:
            cells = (column.name, column.kind, str(column.missing), column.note)
            columns.add_row(*[Text(one_line(cell)) for cell in cells])
        self._console.print(columns)
        hidden = len(self._table.columns) - _COLUMNS_SHOWN
        if hidden > 0:
            self.say(f"… and {hidden} more columns")
        space = Grid(title="hyperparameters", title_justify="left", box=None)
        for heading in ("name", "scale", "range", "counts only with"):
            space.add_column(heading)
        for name, scale in self._space.scales.items():
            condition = self._space.conditions.get(name)
            kind, range_ = _words(scale.as_setting())
            space.add_row(name, kind, range_, str(condition or ""))
        for name, value in self._space.fixed.items():
            space.add_row(name, "fixed", str(value), "")
        self._console.print(space)

    def show_expected_time(self, engine: Engine, default: Recipe) -> None:
        """Train the default recipe for a moment, and say what the whole may take."""
        config, stamps = self._config, [time.perf_counter()]

        def on_epoch(epoch: int, metrics: Metrics) -> bool:
            stamps.append(time.perf_counter())
            return epoch < _TIMED_EPOCHS

        run = Run(
            recipe=default,
            max_epochs=config.max_epochs,
            patience=config.patience,
            seed=config.seed,
            key="dry-run",
        )
        engine.train(run, on_epoch)
        # The first epoch also pays for what is set up once.
        later = stamps[2:] or stamps[1:]
        epoch = (later[-1] - stamps[len(stamps) - len(later) - 1]) / len(later)
        workers = min(config.workers, config.open_trials)
        most = [config.n_trials * config.max_epochs] if config.n_trials else []
        most += [config.epochs] if config.epochs else []
        final = (config.final_seeds + 2) * config.max_epochs * epoch
        parts = [f"an epoch of the default recipe takes {epoch:.2g} s"]
        if most:
            whole = min(most) * epoch / workers + final
            parts.append(f"the whole at most about {max(1, round(whole / 60))} min")
        if config.timeout:
            parts.append(f"and no longer than {config.timeout / 60:.3g} min")
        self.say(f"expected time: {', '.join(parts)} (dry run: nothing was written)")

    def _budget(self) -> str:
        config = self._config
        parts = []
        if config.n_trials is not None:
            parts.append(f"{config.n_trials} trials")
        if config.epochs is not None:
            parts.append(f"{config.epochs} epochs in all")
        if config.timeout is not None:
            parts.append(f"{config.timeout:g} s")
        early = {
            "none": "no early stopping of weak trials",
            "promote": "all begun with few, the best go on",
        }.get(config.pruner, f"weak ones stopped early ({config.pruner})")
        return (
            f"{' or '.join(parts)}, each trial at most {config.max_epochs} epochs, "
            f"chosen by {config.sampler}, {early}"
        )


def _words(setting: Any) -> tuple[str, str]:
    """A scale and its range, for the table."""
    if isinstance(setting, Mapping):
        return str(setting["scale"]), f"{setting['low']:g} .. {setting['high']:g}"
    if isinstance(setting, list):
        return "choices", ", ".join(map(str, setting))
    raise ConfigError(f"a range or a list expected, got {setting!r}")
