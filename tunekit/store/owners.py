"""Who trains a trial, and how often that ended a process: a small file beside a lock.

    leases/owner-00007.json    {"host": …, "boot": …, "pid": …, "doing": "alone", …}

An owner that leaves removes it. One that is there while nobody holds the lock belonged
to a process that was killed, or to a host whose locks this one does not see.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Self

from tunekit.files import UNFINISHED
from tunekit.process import machine, signature

__all__ = ["SILENT_SECONDS", "Owner"]

SILENT_SECONDS = 180.0
"""A host that has not been heard of for so long does not hold its leases any more."""


@dataclass(frozen=True)
class Owner:
    """Who trains a trial, and what it came to with those before.

    Example:
        >>> owner = Owner.here()
        >>> for _ in range(3):
        ...     owner = Owner.here().after(replace(owner, doing="alone"), epochs=2)
        >>> owner.deaths, owner.doomed
        (3, True)
        >>> Owner.here().after(owner, epochs=3).deaths
        0
    """

    host: str = ""
    boot: str = ""
    """Tells one start of a machine from the next; empty where a system has none."""
    pid: int = 0
    doing: str = ""
    """``alone`` or ``company``: whether this process trains others at once, while it
    trains an epoch that was never recorded; empty before that."""
    epochs: int = 0
    """How many were recorded when the trial was taken up."""
    alone: int = 0
    """Processes that were killed at the epoch after these, with this trial alone."""
    company: int = 0
    """The same, with others, any of which may be to blame."""

    @classmethod
    def here(cls) -> Self:
        """This process."""
        host, boot = machine()
        return cls(host, boot, os.getpid())

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Whoever is named in a file; None for nobody, or when it cannot be read."""
        with suppress(OSError, ValueError, TypeError):
            found = cls(**json.loads(path.read_text("utf-8")))
            if all(
                type(getattr(found, f.name)).__name__ == f.type for f in fields(cls)
            ):
                return found
        return None

    def write(self, path: Path) -> None:
        """Put this into the file, whole; a reader sees this or what was there.

        It is not waited for: after a power failure another boot says more than it.
        """
        beside = path.with_name(f"{UNFINISHED}{signature()}")
        beside.write_text(json.dumps(asdict(self)), "utf-8")
        beside.replace(path)

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is on another host, whose locks may not be seen here.

        Containers of one machine are one kernel, thus have one boot and see each
        other's locks; and whoever was on this host before it was started is gone.
        """
        host, boot = machine()
        return self.host != host and (self.boot != boot or not boot)

    @property
    def deaths(self) -> int:
        """Processes that were killed at the same epoch of this trial."""
        return self.alone + self.company

    @property
    def suspected(self) -> bool:
        """Whether it must be tried alone before it is trained beside others.

        Whoever is killed takes all its trials with it, the innocent ones, too. Once
        that has happened twice, each of them is trained for that one epoch alone, and
        nothing of it is recorded: the order of what is recorded stays what it was.
        """
        return self.company >= 2

    @property
    def doomed(self) -> bool:
        """Whether it ended as many processes alone as it may: it was retried twice."""
        return self.alone >= 3

    def after(self, before: Owner | None, epochs: int | None) -> Self:
        """This owner of a trial of so many epochs, after another one.

        Its death counts where it trained an epoch that nobody has trained yet; not
        when the machine was started anew since. With every epoch that is recorded, the
        count begins again.
        """
        if before is None:
            return replace(self, epochs=epochs or 0)
        epochs = before.epochs if epochs is None else epochs
        alone, company = before.alone, before.company
        if before.epochs != epochs:
            alone = company = 0
        if before.host != self.host or before.boot == self.boot:
            alone += before.doing == "alone"
            company += before.doing == "company"
        return replace(self, epochs=epochs, alone=alone, company=company)
