"""The folder of a babysat model, which holds all of its state.

    babysit.toml          every setting, resolved
    split.json            raw row numbers of each part, for a table
    course.json           where the model stands; course-before.json, a round before
    history.jsonl         every round and every edit, one line each
    checkpoints/          safetensors, with a checksum and whose each is
    steer.toml            the person's
    tb/, model/, report.json, report.html

A round is there once ``course.json`` says so, which is written last and whole: a kill
at any moment leaves the model where a round ended. What a later moment left is trained
again, to the same bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tunekit.babysit.course import Course
from tunekit.babysit.history import History
from tunekit.errors import ConfigError, ResumeError, StoppedError, one_line
from tunekit.files import (
    UNFINISHED,
    read_sealed,
    read_toml,
    write_bytes,
    write_sealed,
    write_toml,
)
from tunekit.states import from_bytes, to_bytes
from tunekit.store import other_name
from tunekit.store.litter import sweep
from tunekit.trial import State

__all__ = ["SETTINGS", "Folder", "Stand"]

SETTINGS, COURSE, BEFORE = "babysit.toml", "course.json", "course-before.json"
HISTORY = "history.jsonl"

Stand = dict[str, Any]
"""What is kept beside the course: what the person's file said, seconds, and so on."""


class Folder:
    """One model's folder.

    Args:
        path: Where it is.

    Attributes:
        lines: Its history.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lines = path, History(path / HISTORY)

    @property
    def exists(self) -> bool:
        """Whether a babysat model is there."""
        with suppress(OSError):
            return (self.path / SETTINGS).is_file()
        return False

    def settings(self) -> dict[str, Any]:
        """Every setting.

        Raises:
            ResumeError: There are none that can be read.
        """
        path = self.path / SETTINGS
        try:
            return read_toml(path.read_text("utf-8"))
        except FileNotFoundError:
            raise ResumeError(
                f"{self.path} must be the folder of a babysat model, got no {SETTINGS}"
            ) from None
        except (OSError, ValueError) as error:
            raise ResumeError(
                f"{path} must be readable TOML, got: {one_line(str(error))}; restore "
                "it from a copy",
                other_name(self.path),
            ) from None

    def create(
        self, settings: Mapping[str, Any], split: Mapping[str, Any] | None
    ) -> None:
        """Make it.

        Args:
            settings: Every setting, plain values.
            split: What was read, and the split; None where that is not ours.

        Raises:
            ConfigError: It cannot be written, or holds something else.
        """
        try:
            there = self.path.exists()
            found = [p.name for p in self.path.iterdir()] if there else []
            ours = ("checkpoints", "split.json", ".lock", "steer.toml")
            other = [n for n in found if n not in ours and not n.startswith(UNFINISHED)]
            if other:
                raise ConfigError(
                    f"{self.path} must be new or a babysat model, got a folder with "
                    f"other files ({one_line(sorted(other)[0])}); choose another --name"
                )
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
            if split is not None:
                write_sealed(self.path / "split.json", split)
            write_toml(self.path / SETTINGS, settings)
        except OSError as error:
            raise ConfigError(
                f"{self.path} must be a folder that can be written, got: "
                f"{error.strerror or error}; choose another --out"
            ) from None

    def check_data(self, described: Mapping[str, Any]) -> None:
        """Refuse to go on with other rows.

        Args:
            described: What was read now, as :meth:`create` was given it.

        Raises:
            ResumeError: They differ, or the file that tells is damaged.
        """
        path = self.path / "split.json"
        try:
            before = read_sealed(path.read_text("utf-8"))
        except (OSError, ValueError):
            raise ResumeError(
                f"{path} must be as it was written, and is damaged; restore it from a "
                "copy",
                other_name(self.path),
            ) from None
        if before.get("fingerprint") != described["fingerprint"]:
            raise ResumeError(
                f'the model "{self.path.name}" was begun with other data '
                f"({before.get('source')}, now {described['source']})",
                other_name(self.path),
            )

    def widen(self, settings: Mapping[str, Any]) -> None:
        """Record a larger budget."""
        with self._writing():
            write_toml(self.path / SETTINGS, settings)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else trains this model meanwhile.

        Raises:
            ResumeError: Somebody does.
        """
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise ResumeError(
                f"{self.path} is being trained by another process; wait for its end, "
                "or stop it",
                other_name(self.path),
            ) from None
        try:
            yield
        finally:
            lock.release()

    def stand(self) -> tuple[Course, Stand, str] | None:
        """Where the model stands; None before its first round.

        Returns:
            The course, what is kept beside it, and a line on what was damaged.

        Raises:
            ResumeError: Neither of the two last rounds can be read, or is there.
        """
        trouble = ""
        paths = [self.path / name for name in (COURSE, BEFORE)]
        for path in paths:
            try:
                course, found = self._read(path)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError) as error:
                trouble = (
                    f"{path.name} is damaged ({one_line(str(error))}): goes on from "
                    "the round before"
                )
                continue
            return course, found, trouble
        if trouble:
            raise ResumeError(
                f"{self.path} must hold a course that can be read, got damage in "
                f"{COURSE} and no {BEFORE}; restore them from a copy",
                other_name(self.path),
            )
        # A first commit that was killed leaves one line.
        if len([*islice(self.lines, 2)]) > 1:
            raise ResumeError(
                f"{self.path} must hold {COURSE}, got a {HISTORY} without it; restore "
                "it from a copy",
                other_name(self.path),
            )
        return None

    def commit(
        self, course: Course, beside: Mapping[str, Any], lines: Sequence[Any]
    ) -> None:
        """Write down where the model stands now, and what it came by.

        Raises:
            StoppedError: That could not be written; the round before stands.
        """
        with self._writing():
            size = self.lines.append(lines)
            now, before = self.path / COURSE, self.path / BEFORE
            kept = course.checkpoints
            for path in (now, before):
                try:
                    kept |= self._read(path)[0].checkpoints
                except (FileNotFoundError, ValueError, KeyError, TypeError):
                    continue  # what is damaged must not replace what is not
                if path == now:
                    write_bytes(before, now.read_bytes())
                break
            write_sealed(now, {**beside, "history": size, "course": course.as_dict()})
            # An edit ends no round: what is half done of the next one stays.
            if any("round" in line for line in lines):
                self._sweep(kept)

    def history(self) -> list[dict[str, Any]]:
        """Every round and edit so far, all at once."""
        return list(self.lines)

    def load(self, name: str, whose: str | None = None) -> State | None:
        """A checkpoint; None where there is none, or it is damaged, or another's."""
        try:
            data = self._of(name).read_bytes()
            state = from_bytes(data, whose)
        except (OSError, ValueError):
            return None
        return state

    def save(self, name: str, state: State, whose: str) -> None:
        """Keep a checkpoint, whole or not at all.

        Raises:
            StoppedError: It could not be written.
        """
        with self._writing():
            write_bytes(self._of(name), to_bytes(state, whose))

    def lost(self, names: set[str]) -> set[str]:
        """Of these checkpoints, those that are gone or damaged."""
        return {name for name in names if self.load(name) is None}

    def _of(self, name: str) -> Path:
        return self.path / "checkpoints" / f"{name}.safetensors"

    def _sweep(self, kept: set[str]) -> None:
        """Delete checkpoints that nobody will go on from, and broken writes."""
        sweep(self.path)
        for path in (self.path / "checkpoints").glob("*.safetensors"):
            if path.stem not in kept:
                path.unlink(missing_ok=True)

    @staticmethod
    def _read(path: Path) -> tuple[Course, Stand]:
        """A course and what is beside it.

        Raises:
            OSError: It cannot be read.
            ValueError: It is damaged; KeyError or TypeError, another program's.
        """
        found = read_sealed(path.read_text("utf-8"))
        return Course.from_dict(found.pop("course")), found

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoppedError(
                f"{self.path} must be writable, got: {error.strerror or error}; make "
                "room or mend that, and run the same command again: what was recorded "
                "is kept"
            ) from error
