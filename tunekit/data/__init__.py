"""Tables: from a file to arrays, a split and a preprocessor fitted on training rows.

``load`` does it all, and ``frame_table`` for rows in memory; the modules below them are
ideas that can be used alone. Nothing here imports torch, and scikit-learn only where
its digits are asked for.
"""

from __future__ import annotations

from tunekit.data.classes import Label
from tunekit.data.frame import frame_table
from tunekit.data.kinds import Column, Kind
from tunekit.data.preprocess import Preprocessor
from tunekit.data.read import DIGITS, RawTable, array_frame, read_table
from tunekit.data.table import Table, load

__all__ = [
    "DIGITS",
    "Column",
    "Kind",
    "Label",
    "Preprocessor",
    "RawTable",
    "Table",
    "array_frame",
    "frame_table",
    "load",
    "read_table",
]
