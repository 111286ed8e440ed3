"""The winner for LightningCLI: ``config.yaml``, and the program that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunekit.errors import one_line
from tunekit.export.recorded import Winner

__all__ = ["files"]

_PROGRAM = '''\
"""A command line for LitMLP and TableData: python cli.py fit --config config.yaml"""

from pytorch_lightning.cli import LightningCLI  # or: from lightning.pytorch.cli import

from tunekit import LitMLP, TableData

if __name__ == "__main__":
    LightningCLI(LitMLP, TableData)
'''


def files(winner: Winner) -> dict[str, str]:
    """``config.yaml`` and ``cli.py``."""
    return {"config.yaml": _config(winner), "cli.py": _PROGRAM}


def _config(winner: Winner) -> str:
    study = one_line(str(winner.folder))
    text = f"""\
# The winner of the study {study} (trial {winner.trial}), for LightningCLI, which
# needs "jsonargparse[signatures]":
#
#     python cli.py fit --config config.yaml
#
# trains the model in {study}/model again. Its validation loss (val_loss) was
# {winner.val_loss:.6g} after epoch {winner.epochs}.
#
# For your own table change the section data, n_features and n_classes; a wrong number
# is refused with the right one. Paths count from the folder where you run it.
"""
    notes = _notes(winner)
    for section, value in winner.as_config().items():
        if isinstance(value, Mapping):
            text += f"{section}:\n"
            for name, each in value.items():
                text += f"  {name}: {_yaml(each)}{notes.get((section, name), '')}\n"
        else:
            text += f"{section}: {_yaml(value)}\n"
    return text


def _notes(winner: Winner) -> dict[tuple[str, str], str]:
    """What stands behind a line."""
    return {
        ("trainer", "max_epochs"): "  # its best epoch; another table has another",
        ("trainer", "devices"): "  # each process would train on the same batches",
        ("model", "n_features"): "  # inputs of the network",
        ("model", "horizon"): "  # epochs over which the learning rate falls",
        ("model", "key"): "  # another key here and below: other weights and batches",
        ("data", "seed"): "  # of the split, too",
    }


def _yaml(value: Any) -> str:
    """A plain value in YAML 1.1, on one line.

    Example:
        >>> print(_yaml([1e-05, True, None, "a: b", 3]))
        [1.0e-05, true, null, "a: b", 3]
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # Without a point, 1e-05 would be a text.
        digits, e, power = repr(value).partition("e")
        return f"{digits}.0e{power}" if e and "." not in digits else repr(value)
    if isinstance(value, int):
        return repr(value)
    if isinstance(value, str):
        return f'"{"".join(map(_escaped, value))}"'
    return f"[{', '.join(map(_yaml, value))}]"


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() else f"\\U{ord(char):08x}"
