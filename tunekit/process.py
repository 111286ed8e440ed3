"""Which process this is, on which machine, and which processes are gone."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

__all__ = ["is_gone", "machine", "signature"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def machine() -> tuple[str, str]:
    """The host's name, and which of its starts this is; "" where a system has no id."""
    boot = ""
    with suppress(OSError):
        boot = _BOOT_ID.read_text("ascii").strip()
    return socket.gethostname(), boot


def signature() -> str:
    """A new name for a file, by which others can tell whether its writer is gone.

    Example:
        >>> signature() != signature(), is_gone(signature())
        (True, False)
    """
    return f"{_here()}-{os.getpid()}-{secrets.token_hex(8)}"


def is_gone(signed: str) -> bool:
    """Whether whoever gave this name has certainly ended.

    A process of another host, of another container, or of this host before it was
    started anew, is not known here.
    """
    here, _, rest = signed.partition("-")
    pid = rest.partition("-")[0]
    # Signal 0 asks; on Windows it ends.
    if here != _here() or not pid.isdigit() or os.name == "nt":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


@cache
def _here() -> str:
    return hashlib.sha256("\n".join(machine()).encode()).hexdigest()[:8]
