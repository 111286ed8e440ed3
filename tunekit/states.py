"""A paused run as bytes, for a file: safetensors, no pickle, and a checksum over all.

The tensors are those of :class:`tunekit.trial.State`. The rest of it is JSON under the
key ``state`` of safetensors' ``__metadata__``, together with whose state it is, and the
SHA-256 of the bytes as they are with zeros in the digest's place.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tunekit.errors import ConfigError
from tunekit.trial import Metrics, State

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "from_bytes",
    "part_of",
    "to_bytes",
    "weights_from_bytes",
    "weights_to_bytes",
]

_NO_DIGEST = "0" * 64


def to_bytes(state: State, whose: str = "") -> bytes:
    """A state as bytes; equal states are equal bytes.

    Args:
        state: The state.
        whose: What tells this run from every other one.

    Raises:
        ConfigError: A tensor is of a dtype that safetensors does not know.

    Example:
        >>> import torch
        >>> state = State(
        ...     tensors={"net.output.bias": torch.zeros(2)},
        ...     steps=7,
        ...     best_epoch=1,
        ...     curve=[Metrics(0.7, float("inf"), 0.5, 0.5, 1e-3, 0.1)],
        ... )
        >>> again = from_bytes(to_bytes(state))
        >>> again.steps, again.curve == state.curve
        (7, True)
    """
    about = {
        "whose": whose,
        "steps": state.steps,
        "best_epoch": state.best_epoch,
        "curve": {
            field.name: [_written(getattr(each, field.name)) for each in state.curve]
            for field in dataclasses.fields(Metrics)
        },
        # Before what is not ours: the first digest that is found must be this.
        "sha256": _NO_DIGEST,
        **({} if state.extra is None else {"extra": state.extra}),
    }
    return _sealed(state.tensors, about)


def from_bytes(data: bytes, whose: str | None = None) -> State:
    """The state that :func:`to_bytes` wrote, to the last bit.

    Args:
        data: The bytes.
        whose: The run that it must be of; any when None.

    Raises:
        ValueError: If the bytes are not as they were written, or another run's.

    Example:
        >>> from_bytes(b"torn")
        Traceback (most recent call last):
            ...
        ValueError: a paused run's state must be as it was written, got 4 bytes that \
are not (no header); delete it, and the run is trained from its start
    """
    import safetensors.torch

    try:
        about = _about(data)
        if whose not in (None, about["whose"]):
            raise _DamagedError("of another run")
        curve = [
            Metrics(*(float(value) for value in row))
            for row in zip(
                *(about["curve"][field.name] for field in dataclasses.fields(Metrics)),
                strict=True,
            )
        ]
        return State(
            tensors=safetensors.torch.load(data),
            steps=about["steps"],
            best_epoch=about["best_epoch"],
            curve=curve,
            extra=about.get("extra"),
        )
    except _DamagedError as error:
        why = str(error)
    except Exception as error:
        # Written by another program, and whole as such.
        why = f"{type(error).__name__}"
    raise ValueError(
        f"a paused run's state must be as it was written, got {len(data)} bytes that "
        f"are not ({why}); delete it, and the run is trained from its start"
    )


def part_of(state: State, part: str) -> dict[str, Tensor]:
    """The tensors of one part of a state, by their names within it.

    Example:
        >>> import torch
        >>> tensors = {"best.w": torch.ones(1), "net.w": torch.zeros(1)}
        >>> part_of(State(tensors=tensors, steps=1, best_epoch=1, curve=[]), "best")
        {'w': tensor([1.])}
    """
    return {
        name.removeprefix(f"{part}."): value
        for name, value in state.tensors.items()
        if name.startswith(f"{part}.")
    }


def weights_to_bytes(weights: Mapping[str, Any]) -> bytes:
    """A network's tensors by name, as a safetensors file with a checksum over all.

    Raises:
        ConfigError: One is of a dtype that safetensors does not know.

    Example:
        >>> import torch
        >>> weights_from_bytes(weights_to_bytes({"w": torch.ones(2)}))
        {'w': tensor([1., 1.])}
    """
    return _sealed(weights, {"sha256": _NO_DIGEST})


def weights_from_bytes(data: bytes) -> dict[str, Any]:
    """The tensors that :func:`weights_to_bytes` wrote.

    Raises:
        ValueError: If the bytes are not as they were written.
    """
    import safetensors.torch

    try:
        _about(data)
        found: dict[str, Any] = safetensors.torch.load(data)
        return found
    except _DamagedError as error:
        raise ValueError(
            f"weights must be as they were written, got {len(data)} bytes that are not "
            f"({error}); train that configuration anew"
        ) from None


def _sealed(tensors: Mapping[str, Any], about: Mapping[str, Any]) -> bytes:
    """Tensors and JSON with a digest of all in the place that ``about`` has for it."""
    import safetensors.torch

    try:
        # One key alone: safetensors does not keep the order of several.
        data = safetensors.torch.save(
            {name: value.contiguous() for name, value in tensors.items()},
            {"state": json.dumps(about, allow_nan=False)},
        )
    except KeyError as error:  # all that it says of a dtype
        raise ConfigError(
            "to be kept, weights must be of dtypes that safetensors knows, got "
            f"{error}; keep nothing of them (out=None), or give them another dtype"
        ) from None
    digest = hashlib.sha256(data).hexdigest()
    return data.replace(_NO_DIGEST.encode(), digest.encode(), 1)


class _DamagedError(Exception):
    """Why bytes are not what was written for this run."""


def _about(data: bytes) -> dict[str, Any]:
    """What the header says of the run, if nothing in these bytes was changed."""
    try:
        (length,) = struct.unpack_from("<Q", data)
        about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["state"])
        written = about["sha256"].encode()
    except Exception:
        raise _DamagedError("no header") from None
    if hashlib.sha256(data.replace(written, _NO_DIGEST.encode(), 1)).hexdigest() != (
        written.decode()
    ):
        raise _DamagedError("another SHA-256")
    found: dict[str, Any] = about
    return found


def _written(value: float) -> float | str:
    """A number of strict JSON, which knows no NaN and no infinity."""
    return float(value) if math.isfinite(value) else str(float(value))
