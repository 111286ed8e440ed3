"""The two Lightning packages: which is in use, and which an object belongs to.

``pytorch_lightning`` and ``lightning.pytorch`` are separate class trees: what is made
for a Trainer of one has to be made of the classes of that one.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import Any

__all__ = ["PACKAGES", "in_use", "package_of", "part_of"]

PACKAGES = ("pytorch_lightning", "lightning.pytorch")
"""The one that is taken where nothing speaks for either, first."""


@cache
def in_use() -> str:
    """The package that is imported; ``pytorch_lightning`` if neither or both are.

    Decided once: a package that is imported later must not turn what was made for the
    other into something else.

    Example:
        >>> in_use() in PACKAGES
        True
    """
    imported = [package for package in PACKAGES if package in sys.modules]
    return imported[0] if len(imported) == 1 else PACKAGES[0]


def package_of(module: Any) -> str | None:
    """Whose LightningModule something is; None where it is none.

    Example:
        >>> from pytorch_lightning import LightningModule
        >>> package_of(LightningModule()), package_of([0.5])
        ('pytorch_lightning', None)
    """
    for package in PACKAGES:
        # A package that nobody has imported has made nothing.
        found = sys.modules.get(package)
        if found is not None and isinstance(module, found.LightningModule):
            return package
    return None


def part_of(package: str, path: str) -> Any:
    """Something of a package, such as ``callbacks.Checkpoint``."""
    where, _, name = f"{package}.{path}".rpartition(".")
    return getattr(importlib.import_module(where), name)
