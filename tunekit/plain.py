"""Nested plain values and tensors, as flat tensors and JSON: for files without pickle.

What a training library keeps of a run is a tree: dictionaries, lists and tuples with
numbers, text and tensors at their leaves. :func:`packed` takes the tensors out and
leaves a tree that strict JSON can hold; :func:`unpacked` puts them back, to the last
bit. Everything else is refused, for it could only be kept by running code on reading.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

__all__ = ["packed", "unpacked"]

_MARK = "$"
"""The one key of what JSON has no word for: a tensor, a tuple, a NaN, …"""
_SEQUENCES: dict[type, str] = {
    list: "list",
    tuple: "tuple",
    torch.Size: "tuple",
    set: "set",
    frozenset: "frozenset",
    deque: "deque",
}
_MADE: dict[str, Callable[[Any], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
}


def packed(tree: Any, prefix: str) -> tuple[dict[str, Tensor], Any]:
    """The tensors of a tree, on the CPU, and the rest of it as JSON holds it.

    Args:
        tree: Of dicts, lists, tuples, sets, deques, numbers, text, None, paths, arrays
            and tensors. What is only like them, as an ordered dict or a NumPy scalar,
            comes back as the plain thing.
        prefix: What the tensors' names begin with.

    Raises:
        TypeError: Something else is in it, as an Enum, a named tuple or a tensor that
            safetensors cannot hold; the line says what, and where.

    Example:
        >>> tensors, rest = packed({"lr": [0.1, 0.2], 3: torch.ones(2)}, "x")
        >>> sorted(tensors), rest
        (['x.0'], {'$': 'dict', 'items': [['lr', [0.1, 0.2]], [3, {'$': 'tensor', \
'name': 'x.0'}]]})
        >>> unpacked(tensors, rest)
        {'lr': [0.1, 0.2], 3: tensor([1., 1.])}
    """
    tensors: dict[str, Tensor] = {}

    def keep(value: Tensor, where: str) -> str:
        dense = value.layout == torch.strided and not value.is_quantized
        if not dense or not _storable(value.dtype):
            raise TypeError(
                f"{where} must be a dense tensor of a dtype that safetensors knows, "
                f"got {value.dtype}, {value.layout}"
            )
        name = f"{prefix}.{len(tensors)}"
        # Tensors of a file share no memory, and nobody changes a copy.
        tensors[name] = (
            value.detach().cpu().clone(memory_format=torch.contiguous_format)
        )
        return name

    def pack(value: Any, where: str) -> Any:
        # An Enum may well be text or a number, too, and would come back as that alone.
        if isinstance(value, Enum):
            raise TypeError(_refused(value, where))
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return str(value)
        if isinstance(value, np.generic) and not isinstance(value, np.longdouble):
            return pack(value.item(), where)
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            if math.isfinite(value):
                return float(value)
            return {_MARK: "float", "value": str(float(value))}
        if isinstance(value, Tensor):
            return {_MARK: "tensor", "name": keep(value, where)}
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            return {_MARK: "array", "name": keep(_as_tensor(value, where), where)}
        if isinstance(value, Path):
            return {_MARK: "path", "value": str(value)}
        if isinstance(value, Mapping):
            pairs = [
                [pack(key, where), pack(each, f"{where}[{key!r}]")]
                for key, each in value.items()
            ]
            plain = all(type(key) is str and key != _MARK for key, _ in pairs)
            return dict(pairs) if plain else {_MARK: "dict", "items": pairs}
        # A named tuple is known by its class alone.
        kind = _SEQUENCES.get(type(value))
        if kind is None:
            raise TypeError(_refused(value, where))
        items = [pack(each, f"{where}[{i}]") for i, each in enumerate(value)]
        if kind == "list":
            return items
        more = {"maxlen": value.maxlen} if isinstance(value, deque) else {}
        return {_MARK: kind, "items": items, **more}

    return tensors, pack(tree, prefix)


def unpacked(tensors: Mapping[str, Tensor], rest: Any) -> Any:
    """The tree that :func:`packed` took apart.

    Args:
        tensors: By name; others may be among them.
        rest: The JSON.

    Raises:
        KeyError: A tensor is missing.
        ValueError: It is not what :func:`packed` gave.
    """
    if isinstance(rest, list):
        return [unpacked(tensors, each) for each in rest]
    if not isinstance(rest, dict):
        return rest
    if _MARK not in rest:
        return {name: unpacked(tensors, each) for name, each in rest.items()}
    kind = rest[_MARK]
    if kind == "float":
        return float(rest["value"])
    if kind == "tensor":
        return tensors[rest["name"]]
    if kind == "array":
        return tensors[rest["name"]].numpy()
    if kind == "path":
        return Path(rest["value"])
    items = unpacked(tensors, rest["items"])
    if kind == "dict":
        return dict(items)
    if kind == "deque":
        return deque(items, rest["maxlen"])
    if kind in _MADE:
        return _MADE[kind](items)
    raise ValueError(f"{kind!r} is none of the kinds that are written")


def _as_tensor(array: Any, where: str) -> Tensor:
    try:
        return torch.from_numpy(array.copy())
    except (TypeError, ValueError):  # another byte order, or longer than torch's
        raise TypeError(
            f"{where} must be an array that torch can hold, got {array.dtype!r}"
        ) from None


@cache
def _storable(dtype: torch.dtype) -> bool:
    """Whether safetensors has a word for it."""
    try:
        load(save({"x": torch.empty(0, dtype=dtype)}))
    except Exception:  # a KeyError, so far
        return False
    return True


def _refused(value: Any, where: str) -> str:
    return f"{where} must be plain values and tensors, got {type(value)}"
