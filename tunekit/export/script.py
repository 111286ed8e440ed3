"""The winner as plain Python: a module, its data and a Trainer, ready to paste."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunekit.errors import one_line
from tunekit.export.recorded import Winner

__all__ = ["files"]


def files(winner: Winner) -> dict[str, str]:
    """``train.py``."""
    config = winner.as_config()
    sizes = {f"n_{name}": f"data.n_{name}" for name in ("features", "classes")}
    module = _repr(config["model"]) | sizes
    # In a comment a name may hold anything but the end of its line.
    study = one_line(str(winner.folder))
    return {
        "train.py": f"""\
# The winner of the study {study} (trial {winner.trial}), in Lightning:
#
#     python train.py
#
# trains the model in {study}/model again. Its validation loss was
# {winner.val_loss:.6g} after epoch {winner.epochs}, its test loss \
{winner.test_loss:.6g}.

import pytorch_lightning as pl  # or: import lightning.pytorch as pl

from tunekit import LitMLP, TableData

# For your own table: its file, and the column to be learnt as target. Paths count from
# the folder where you run it. Another key, here and below: other batches and weights.
data = TableData({_arguments(_repr(config["data"]))})
module = LitMLP({_arguments(module)})
# {winner.epochs} was its best epoch; another table has another{_falls(winner)}.
trainer = pl.Trainer({_arguments(_repr(config["trainer"]))})

if __name__ == "__main__":
    trainer.fit(module, data)
    print("validation loss:", float(trainer.callback_metrics["val_loss"]))
    trainer.test(module, data)
"""
    }


def _falls(winner: Winner) -> str:
    return ", as it may another horizon" if winner.falls else ""


def _repr(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _python(value) for name, value in values.items()}


def _python(value: Any) -> str:
    """A plain value in Python, texts between double quotes where that can be."""
    text = repr(value)
    if isinstance(value, str) and '"' not in value:
        # Beside an apostrophe Python itself takes double quotes.
        text = f'"{repr(chr(39) + value)[2:-1]}"'
    return text


def _arguments(values: Mapping[str, str]) -> str:
    """Keyword arguments, one a line, each value as Python writes it."""
    return "\n" + "".join(f"    {name}={value},\n" for name, value in values.items())
