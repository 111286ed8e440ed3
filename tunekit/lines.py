r"""Lines of a journal: each carries a checksum, which tells damage from what was told.

The format is Optuna's, one JSON object a line, with one more key at its end, which
Optuna's own reader passes over::

    {"op_code":7,"worker_id":"…","trial_id":3,"step":1,…,"crc32":"5f2c91aa"}

The checksum is that of the line without this key. Lines without one were written by an
earlier version, or by Optuna itself; they are taken for what they say where they have
the keys that Optuna writes.

The number of a trial is nowhere in Optuna's journal: it is the count of the lines that
make trials. Those that are written here also say it, as ``trial_id``, so that the
loss of one does not rename all that follow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import IntEnum
from typing import Any
from zlib import crc32

__all__ = [
    "CREATES",
    "Operation",
    "creations",
    "is_whole",
    "opened",
    "repaired",
    "sealed",
]


class Operation(IntEnum):
    """What a line of Optuna's journal does."""

    CREATE_STUDY = 0
    DELETE_STUDY = 1
    STUDY_USER_ATTR = 2
    STUDY_SYSTEM_ATTR = 3
    CREATE_TRIAL = 4
    TRIAL_PARAM = 5
    TRIAL_STATE = 6
    TRIAL_REPORT = 7
    TRIAL_USER_ATTR = 8
    TRIAL_SYSTEM_ATTR = 9


CREATES = b'{"op_code":4,'
"""How a line begins that makes a trial."""
_KEY = b',"crc32":"'
_SEAL = len(_KEY) + 8 + len(b'"}')
_MUST: dict[Operation, dict[str, Any]] = {
    Operation.CREATE_STUDY: {"study_name": str, "directions": list},
    Operation.DELETE_STUDY: {"study_id": int},
    Operation.STUDY_USER_ATTR: {"study_id": int, "user_attr": dict},
    Operation.STUDY_SYSTEM_ATTR: {"study_id": int, "system_attr": dict},
    Operation.CREATE_TRIAL: {"study_id": int, "datetime_start": str | None},
    Operation.TRIAL_PARAM: {
        "trial_id": int,
        "param_name": str,
        "param_value_internal": int | float,
        "distribution": str,
    },
    Operation.TRIAL_STATE: {"trial_id": int, "state": int, "values": list | None},
    Operation.TRIAL_REPORT: {
        "trial_id": int,
        "step": int,
        "intermediate_value": int | float,
    },
    Operation.TRIAL_USER_ATTR: {"trial_id": int, "user_attr": dict},
    Operation.TRIAL_SYSTEM_ATTR: {"trial_id": int, "system_attr": dict},
}
_MAY = {
    Operation.CREATE_TRIAL: {
        *("trial_id", "state", "value", "values", "datetime_complete", "params"),
        *("distributions", "user_attrs", "system_attrs", "intermediate_values"),
    },
    Operation.TRIAL_STATE: {"datetime_start", "datetime_complete"},
}


def sealed(log: Mapping[str, Any]) -> bytes:
    r"""A log as a line with its checksum.

    Example:
        >>> line = sealed({"op_code": 1, "worker_id": "w", "study_id": 0})
        >>> line
        b'{"op_code":1,"worker_id":"w","study_id":0,"crc32":"f1d82b4a"}\n'
        >>> opened(line)
        {'op_code': 1, 'worker_id': 'w', 'study_id': 0}
        >>> opened(line.replace(b":0,", b":1,")) is None
        True
    """
    text = json.dumps(log, separators=(",", ":")).encode()
    return b'%s%s%08x"}\n' % (text[:-1], _KEY, crc32(text))


def opened(line: bytes) -> dict[str, Any] | None:
    """The log that a line tells; None where it is torn or damaged.

    Args:
        line: With its end of line: without one it is torn.

    Example:
        >>> opened(b'{"op_code":1,"worker_id":"w","study_id":0}')  # its end is lost
    """
    if not line.endswith(b"\n"):
        return None
    text = _unsealed(line)
    try:
        log = json.loads(text or line)
    except ValueError:  # bytes that are no UTF-8 among them
        return None
    if text is None and not _is_optunas(log):
        return None
    found: dict[str, Any] = log
    return found


def is_whole(line: bytes) -> bool:
    """Whether a line is as it was written; quicker than :func:`opened`."""
    return _unsealed(line) is not None or opened(line) is not None


def repaired(line: bytes) -> bytes | None:
    """A line of which one byte has changed as it was; None where that is not so.

    A checksum of 32 bits tells which byte it is. That bytes changed otherwise look like
    a line with one byte changed has a chance of about its length in 2^24, before it has
    to be JSON as it is written here.

    Example:
        >>> line = sealed({"op_code": 1, "worker_id": "w", "study_id": 0})
        >>> repaired(line.replace(b":0,", b"x0,")) == line
        True
    """
    body, key, digits = line[: -_SEAL - 1], line[-_SEAL - 1 : -11], line[-11:-3]
    text = body + b"}"
    right = b"%08x" % crc32(text)
    if key + line[-3:] == _KEY + b'"}\n' and _apart(digits, right) > 1:
        try:
            error = crc32(text) ^ int(digits, 16)
        except ValueError:
            return None
        at = len(text) - 1
        while at >= 0 and error not in _BYTES:
            # What it was before the last byte, which is taken to be right.
            index = _TOPS[error >> 24]
            error = ((error ^ _TABLE[index]) << 8 | index) & 0xFFFFFFFF
            at -= 1
        if at < 0:
            return None
        changed = bytes([text[at] ^ _BYTES[error]])
        text = text[:at] + changed + text[at + 1 :]
        right = digits
    whole = text[:-1] + _KEY + right + b'"}\n'
    log = opened(whole)
    fits = log is not None and sealed(log) == whole and _apart(line, whole) == 1
    return whole if fits else None


def creations(lines: bytes) -> int:
    """How many of some whole lines make a trial."""
    return lines.startswith(CREATES) + lines.count(b"\n" + CREATES)


def _table() -> list[int]:
    """How each byte changes a CRC-32 that is zero."""
    entries = [*range(256)]
    for _ in range(8):
        entries = [(n >> 1) ^ (0xEDB88320 if n & 1 else 0) for n in entries]
    return entries


_TABLE = _table()
_BYTES = {entry: byte for byte, entry in enumerate(_TABLE)}
_TOPS = {entry >> 24: byte for byte, entry in enumerate(_TABLE)}


def _apart(line: bytes, other: bytes) -> int:
    """In how many bytes two lines of one length differ."""
    return sum(a != b for a, b in zip(line, other, strict=True))


def _unsealed(line: bytes) -> bytes | None:
    """What a line says beside its checksum, if that is there and right."""
    body, seal = line[: -_SEAL - 1], line[-_SEAL - 1 :]
    if not (seal.startswith(_KEY) and seal.endswith(b'"}\n')):
        return None
    text = body + b"}"
    return text if seal[len(_KEY) : -3] == b"%08x" % crc32(text) else None


def _is_optunas(log: Any) -> bool:
    """Whether a line without a checksum has the very keys that Optuna writes."""
    if not isinstance(log, dict):
        return False
    code = log.get("op_code")
    if type(code) is not int or code not in _MUST:
        return False
    operation = Operation(code)
    must = {"op_code": int, "worker_id": str, **_MUST[operation]}
    for name, kind in must.items():
        value = log.get(name)
        if name not in log or not isinstance(value, kind) or isinstance(value, bool):
            return False
    return log.keys() <= {*must, *_MAY.get(operation, ())}
