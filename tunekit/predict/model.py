"""The folder of a finished model: safetensors, JSON and their checksums, no pickle.

model/
  model.safetensors   the network's weights
  model.json          recipe, sizes, classes, preprocessing, where it came from
  checksums.json      SHA-256 of the two, checked on every load
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunekit.errors import DataError
from tunekit.files import write_bytes
from tunekit.process import signature
from tunekit.trial import Recipe

if TYPE_CHECKING:
    import torch

    from tunekit.data import Label, Preprocessor

__all__ = ["FORMAT", "find", "read", "save"]

FORMAT = 1
FOLDER = "model"
WEIGHTS, DESCRIPTION, CHECKSUMS = "model.safetensors", "model.json", "checksums.json"
_ANEW = (
    "copy the whole folder again, or run the same tunekit.study command again, which "
    "makes it anew"
)


def save(
    folder: str | Path,
    *,
    network_state: dict[str, torch.Tensor],
    recipe: Recipe,
    n_inputs: int,
    classes: Sequence[Label],
    preprocessor: Preprocessor,
    info: dict[str, Any],
) -> None:
    """Write ``folder/model/``, whole or not at all; one that is there is replaced.

    Args:
        folder: The study folder.
        network_state: The state dict of the network.
        recipe: What the network was built and trained with.
        n_inputs: Inputs of the network.
        classes: The classes in order, plain Python scalars.
        preprocessor: What makes inputs of raw rows.
        info: Whatever else is to be remembered, JSON-able.
    """
    import safetensors.torch

    weights = safetensors.torch.save(
        {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in network_state.items()
        }
    )
    described = {
        "format": FORMAT,
        "recipe": recipe.as_dict(),
        "n_inputs": n_inputs,
        "classes": list(classes),
        "preprocessor": preprocessor.to_json(),
        "info": info,
        "versions": _versions(),
    }
    description = _json_bytes(described)
    checksums = {
        WEIGHTS: hashlib.sha256(weights).hexdigest(),
        DESCRIPTION: hashlib.sha256(description).hexdigest(),
    }
    target = Path(folder) / FOLDER
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{FOLDER}-{signature()}")
    try:
        beside.mkdir()
        for name, content in (
            (WEIGHTS, weights),
            (DESCRIPTION, description),
            (CHECKSUMS, _json_bytes(checksums)),
        ):
            write_bytes(beside / name, content)
        _swap(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def find(path: Path) -> Path:
    """The folder that holds the model's files."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise DataError(
            f"{path}: no such folder; name a study folder such as runs/digits"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not path.is_dir():
        raise DataError(f"{path}: a study folder (or its model/) is needed, got a file")
    for folder in (path / FOLDER, path):
        if any((folder / name).exists() for name in (WEIGHTS, DESCRIPTION, CHECKSUMS)):
            return folder
    if (path / "study.toml").exists():
        raise DataError(
            f"{path}: the study has no model yet, it is unfinished; run the same "
            "tunekit.study command again to finish it"
        )
    raise DataError(f"{path}: no model in this folder; name the folder of a study")


def read(folder: Path) -> tuple[dict[str, Any], bytes]:
    """The description and the weights, once their checksums are seen to fit."""
    contents: dict[str, bytes] = {}
    for name in (CHECKSUMS, DESCRIPTION, WEIGHTS):
        try:
            contents[name] = (folder / name).read_bytes()
        except FileNotFoundError:
            raise DataError(
                f"{folder / name}: a file of the model is missing; {_ANEW}"
            ) from None
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"{folder / name}: cannot be read ({reason})") from None
    try:
        checksums = json.loads(contents[CHECKSUMS])
        fits = {
            n: checksums[n] == hashlib.sha256(contents[n]).hexdigest()
            for n in checksums
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        fits = {}
    for name in (WEIGHTS, DESCRIPTION):
        if not fits.get(name, False):
            shown = folder / (name if fits else CHECKSUMS)
            raise DataError(f"{shown}: damaged, it does not fit its checksum; {_ANEW}")
    try:
        described = json.loads(contents[DESCRIPTION])
    except ValueError:
        described = None
    if not isinstance(described, dict):
        raise DataError(f"{folder / DESCRIPTION}: must hold a JSON object")
    return described, contents[WEIGHTS]


def _json_bytes(value: Any) -> bytes:
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
    return f"{text}\n".encode()


def _swap(new: Path, target: Path) -> None:
    """Put ``new`` where ``target`` is; the old one is there until the last moment.

    Of two processes that do so at once, the later one's stays.
    """
    gone: list[Path] = []
    while True:
        old = target.with_name(f"{new.name}-old-{len(gone)}")
        with contextlib.suppress(FileNotFoundError):
            target.rename(old)
            gone.append(old)
        try:
            new.rename(target)
            break
        except OSError as error:
            # Another process has put its own there in the meantime.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    # Not every system can open a folder; where it can, the rename is made durable too.
    with contextlib.suppress(OSError):
        handle = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    for old in gone:
        shutil.rmtree(old, ignore_errors=True)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("optuna-tunekit", "torch", "numpy", "pandas"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
