"""What a search of anybody's own training loop came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunekit.budget import best_of
from tunekit.errors import ConfigError, StoppedError, one_line
from tunekit.streams import streams_kept
from tunekit.tuning.stored import human

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from optuna.trial import FrozenTrial

__all__ = ["TuneResult"]


@dataclass(frozen=True)
class TuneResult:
    """What a search came to.

    Attributes:
        study: The Optuna study.
        trials: One row a trial: number, state, value (the best of its epochs), epochs,
            seconds, and one column per hyperparameter.
        history: (epochs spent in all, best value so far), one pair an improvement.
        folder: Where it is kept; None when only in memory.
        make: What made every trial's module or iterable.
        params_of: What the space gave a trial, which ``make`` was called with.
        weights: By a trial's number, the weights of its best epoch; None where they
            were not kept.
    """

    study: optuna.Study
    trials: pd.DataFrame
    history: list[tuple[int, float]]
    folder: Path | None
    make: Callable[[Any], Any] = field(repr=False)
    params_of: Callable[[FrozenTrial], Any] = field(repr=False)
    weights: Callable[[int], dict[str, Any] | None] = field(repr=False)

    @property
    def best_params(self) -> dict[str, Any]:
        """The best trial's hyperparameters, as ``make`` was called with them.

        Where that was no dict, those that the space asked the trial for.

        Raises:
            StoppedError: If no trial had a finite value.
        """
        best = self._best
        params = self.params_of(best)
        if isinstance(params, Mapping):
            return dict(params)
        return human(best.params, best.distributions)

    @property
    def best_value(self) -> float:
        """The best value of any trial at any epoch, in any state.

        Raises:
            StoppedError: If no trial had a finite value.
        """
        return float(self._best.user_attrs["best_val_loss"])

    @property
    def best_number(self) -> int:
        """The number of the best trial.

        Raises:
            StoppedError: If no trial had a finite value.
        """
        return int(self._best.number)

    def best_module(self) -> Any:
        """The best trial's LightningModule, made anew, with the weights it had then.

        It is in evaluation mode, on the CPU. Layers that it builds in
        ``configure_model`` are built, too. What ``get_extra_state`` says is not kept.

        Raises:
            ConfigError: If iterables were searched, which leave no weights.
            StoppedError: If no trial had a finite value, its weights are gone, or they
                are not those of the module's layers.
        """
        best = self._best
        with streams_kept():
            made = self.make(self.params_of(best))
        module = made[0] if isinstance(made, tuple) and made else made
        if not hasattr(module, "load_state_dict"):
            raise ConfigError(
                "best_module needs make(params) to return a LightningModule, got "
                f"{type(module).__name__}; use best_params"
            )
        weights = self.weights(best.number)
        if weights is None:
            raise StoppedError(
                f"best_module needs the weights of trial {best.number}, got none that "
                "can be read; train best_params anew"
            )
        with streams_kept():
            if hasattr(module, "configure_model"):
                module.configure_model()
            _load(module, weights)
        return module.eval()

    @property
    def _best(self) -> FrozenTrial:
        trials = self.study.get_trials(deepcopy=False)
        best = best_of(trials, maximize=self.study.direction.name == "MAXIMIZE")
        if best is not None:
            return best
        errors = [t.user_attrs["error"] for t in trials if "error" in t.user_attrs]
        last = f", the last error: {errors[-1]}" if errors else ""
        raise StoppedError(
            "a best trial needs at least one finite value, and none of "
            f"{len(trials)} trials had one{last}; mend that or raise the budget"
        )


def _load(module: Any, weights: Mapping[str, Any]) -> None:
    """Give a module its weights, or say in a line why they are not its own."""
    state = module.state_dict()
    # Of its state, only tensors are kept.
    other = {name for name, value in state.items() if hasattr(value, "shape")}
    other ^= set(weights)
    try:
        if not other:
            module.load_state_dict(weights, strict=False)
            return
        problem = f"got other layers for {', '.join(sorted(other)[:3])}"
    except RuntimeError as error:  # of another shape
        problem = f"got {one_line(' '.join(str(error).split()))}"
    raise StoppedError(
        f"best_module needs make(params) to build every layer of the trial, {problem}; "
        "build them in __init__ or in configure_model"
    )
