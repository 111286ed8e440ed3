"""A replay's folder while it is trained, and after.

    replay.json       which replay it is, how far it is, and at last what it came to
    checkpoints/      where it goes on; gone at its end
    model/

``replay.json`` names the checkpoint that it goes with and is written after it, whole:
a kill at any moment costs what was trained since, and is trained again to the same bit.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunekit.babysit.folder import Folder
from tunekit.babysit.seldom import Seldom
from tunekit.errors import ConfigError, one_line
from tunekit.files import UNFINISHED, read_sealed, write_bytes, write_sealed
from tunekit.interrupt import shield
from tunekit.states import from_bytes, to_bytes
from tunekit.store.litter import sweep
from tunekit.trial import State

__all__ = ["REPLAY", "Halfway", "Stood"]

REPLAY = "replay.json"
_CHECKPOINTS, _LOCK = "checkpoints", ".lock"
_KEEP_SECONDS = 15.0
"""Where a replay is, is written down at most so often."""


@dataclass(frozen=True)
class Stood:
    """Where an earlier process left a replay.

    Attributes:
        about: Which replay it is, as :meth:`Halfway.begin` was told.
        curve: The values of whole stretches.
        result: What it came to; None while it goes on.
        trouble: A line on what was damaged; empty when nothing was.
    """

    about: dict[str, Any]
    curve: list[float]
    result: dict[str, Any] | None
    trouble: str = ""


class Halfway:
    """Keeps the newest checkpoint of a replay, in memory and now and then on the disk.

    Args:
        path: The replay's folder.

    Attributes:
        curve: The values of whole stretches that are trained.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._about: Mapping[str, Any] = {}
        self.curve: list[float] = []
        self._states: dict[str, State] = {}
        self._newest = ""
        self._seldom = Seldom(_KEEP_SECONDS)

    @property
    def epochs(self) -> int:
        """How many are trained."""
        state = self._states.get(self._newest)
        return len(self.curve) + (0 if state is None else len(state.curve))

    @property
    def lowest(self) -> float:
        """The lowest value of them; infinite before the first."""
        state = self._states.get(self._newest)
        half = [] if state is None else [each.val_loss for each in state.curve]
        return min([*self.curve, *half], default=math.inf)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else trains it meanwhile; the folder is made where there is none.

        Raises:
            ConfigError: Something else is there.
            ResumeError: Another process trains it.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(
                f"{self.path} must be new, got a file; choose another --name"
            )
        if self.path.exists() and not (self.path / REPLAY).exists():
            # A process that ended before its first line leaves these.
            names = sorted(each.name for each in self.path.iterdir())
            other = [n for n in names if n != _LOCK and not n.startswith(UNFINISHED)]
            if other:
                raise ConfigError(
                    f"{self.path} must be new or a replay, got a folder with other "
                    f"files ({one_line(other[0])}); choose another --name"
                )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"{self.path} must be a folder that can be written, got: "
                f"{error.strerror or error}; choose another --out"
            ) from None
        with Folder(self.path).alone():
            sweep(self.path)
            yield

    def stood(self) -> Stood | None:
        """Where it was left, to go on from there; None where it has not begun.

        Raises:
            ConfigError: What tells that is damaged.
        """
        path = self.path / REPLAY
        try:
            found = read_sealed(path.read_text("utf-8"))
            about, curve = found["about"], found["curve"]
            name, result = found["checkpoint"], found["result"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError):
            raise ConfigError(
                f"{path} must be as it was written, and is damaged; choose another "
                "--name, or delete that folder"
            ) from None
        if result is not None and (self.path / "model").exists():
            # Killed just before its end, it has left these.
            shutil.rmtree(self.path / _CHECKPOINTS, ignore_errors=True)
            return Stood(about, curve, result)
        if result is not None:
            return Stood(about, [], None, "its model is gone: begins anew")
        if not name:
            return Stood(about, [], None)
        try:
            self._states[name] = from_bytes(self._of(name).read_bytes())
        except (OSError, ValueError):
            return Stood(about, [], None, "its checkpoint is damaged: begins anew")
        self._newest = name
        return Stood(about, curve, None)

    def begin(self, about: Mapping[str, Any], curve: Sequence[float]) -> None:
        """Say which replay it is, before anything is trained.

        Args:
            about: What tells it from every other one, plain values.
            curve: The values of whole stretches that were trained already.
        """
        self._about, self.curve = about, list(curve)
        if not self._states:
            self._write("", None)

    def stretch(self, curve: Sequence[float]) -> None:
        """Another stretch begins, after epochs of these values."""
        self.curve = list(curve)

    def load(self, name: str, whose: str | None = None) -> State | None:
        """A checkpoint; None where there is none of this name."""
        return self._states.get(name)

    def save(self, name: str, state: State, whose: str) -> None:
        """Keep a checkpoint, and now and then on the disk, too."""
        self._states[name], self._newest = state, name
        self._seldom(self.keep)

    def forget_all_but(self, name: str) -> None:
        """Let go of every other checkpoint in memory."""
        self._states = {name: self._states[name]}

    def keep(self) -> None:
        """Write down where it is."""
        newest = self._of(self._newest)
        with shield():
            write_bytes(newest, to_bytes(self._states[self._newest]))
            self._write(self._newest, None)
            for path in newest.parent.glob("*.safetensors"):
                if path != newest:
                    path.unlink()

    def end(self, curve: Sequence[float], result: Mapping[str, Any]) -> None:
        """It has come to its end, and its model is there."""
        self.curve = list(curve)
        with shield():
            self._write("", result)
            shutil.rmtree(self.path / _CHECKPOINTS, ignore_errors=True)
            sweep(self.path)

    def _of(self, name: str) -> Path:
        return self.path / _CHECKPOINTS / f"{name}.safetensors"

    def _write(self, checkpoint: str, result: Mapping[str, Any] | None) -> None:
        found = {"about": self._about, "checkpoint": checkpoint, "curve": self.curve}
        write_sealed(self.path / REPLAY, {**found, "result": result})
