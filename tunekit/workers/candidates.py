"""What a search chooses from, and what a run of it is."""

from __future__ import annotations

from typing import Any, Protocol

from optuna.trial import BaseTrial

from tunekit.space import Space
from tunekit.trial import Recipe

__all__ = ["Candidates", "Recipes"]


class Candidates(Protocol):
    """What a search chooses from."""

    def suggest(self, trial: BaseTrial) -> Any:
        """Ask a trial for all that counts; what its run is made of."""
        ...

    def shown(self, params: Any) -> dict[str, Any]:
        """What was suggested, by name, as people read it; recorded with the trial."""
        ...

    def recipe(self, params: Any) -> Recipe:
        """The recipe, for engines that train recipes."""
        ...


class Recipes:
    """Recipes: the fields that a space searches, and those that it fixes."""

    def __init__(self, space: Space) -> None:
        self._space = space

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """The fields that are searched and count."""
        return self._space.suggest(trial)

    def shown(self, params: dict[str, Any]) -> dict[str, Any]:
        """The same."""
        return dict(params)

    def recipe(self, params: dict[str, Any]) -> Recipe:
        """The default recipe with those fields replaced."""
        return Recipe().with_params({**self._space.fixed, **params})
