"""Nested plain values and tensors, as flat tensors and JSON: for files without pickle.

What a training library keeps of a run is a tree: dictionaries, lists and tuples with
numbers, text and tensors at their leaves. :func:`packed` takes the tensors out and
leaves a tree that strict JSON can hold; :func:`unpacked` puts them back, to the last
bit. Everything else is refused, for it could only be kept by running code on reading.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["packed", "unpacked"]

_MARK = "$"
"""The one key of what JSON has no word for: a tensor, a tuple, a NaN, …"""


def packed(tree: Any, prefix: str) -> tuple[dict[str, Tensor], Any]:
    """The tensors of a tree, on the CPU, and the rest of it as JSON holds it.

    Args:
        tree: Of dicts, lists, tuples, sets, numbers, text, None, paths, arrays and
            tensors.
        prefix: What the tensors' names begin with.

    Raises:
        TypeError: Something else is in it; the line says what, and where.

    Example:
        >>> tensors, rest = packed({"lr": [0.1, 0.2], 3: torch.ones(2)}, "x")
        >>> sorted(tensors), rest
        (['x.0'], {'$': 'dict', 'items': [['lr', [0.1, 0.2]], [3, {'$': 'tensor', \
'name': 'x.0'}]]})
        >>> unpacked(tensors, rest)
        {'lr': [0.1, 0.2], 3: tensor([1., 1.])}
    """
    tensors: dict[str, Tensor] = {}

    def keep(value: Tensor) -> str:
        if value.layout != torch.strided or value.is_quantized:
            raise TypeError("a dense tensor")
        name = f"{prefix}.{len(tensors)}"
        # Tensors of a file share no memory, and nobody changes a copy.
        tensors[name] = (
            value.detach().cpu().clone(memory_format=torch.contiguous_format)
        )
        return name

    def pack(value: Any, where: str) -> Any:
        if value is None or isinstance(value, bool | str):
            return str(value) if isinstance(value, str) else value
        if isinstance(value, np.generic):
            return pack(value.item(), where)
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            if math.isfinite(value):
                return float(value)
            return {_MARK: "float", "value": str(float(value))}
        if isinstance(value, Tensor):
            return {_MARK: "tensor", "name": keep(value)}
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            return {_MARK: "array", "name": keep(torch.from_numpy(value.copy()))}
        if isinstance(value, PurePath):
            return str(value)
        if isinstance(value, Mapping):
            pairs = [
                [pack(key, where), pack(each, f"{where}[{key!r}]")]
                for key, each in value.items()
            ]
            plain = all(type(key) is str and key != _MARK for key, _ in pairs)
            return dict(pairs) if plain else {_MARK: "dict", "items": pairs}
        if isinstance(value, list | deque):
            return [pack(each, f"{where}[{i}]") for i, each in enumerate(value)]
        if isinstance(value, tuple | set | frozenset):
            kind = "tuple" if isinstance(value, tuple) else "set"
            items = [pack(each, f"{where}[{i}]") for i, each in enumerate(value)]
            return {_MARK: kind, "items": items}
        raise TypeError(f"{where} must be plain values and tensors, got {type(value)}")

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
    items = unpacked(tensors, rest["items"])
    if kind == "dict":
        return dict(items)
    if kind in ("tuple", "set"):
        return tuple(items) if kind == "tuple" else set(items)
    raise ValueError(f"{kind!r} is none of the kinds that are written")
