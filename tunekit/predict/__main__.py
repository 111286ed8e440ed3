"""``python -m tunekit.predict FOLDER rows.csv [-o out.csv]``."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunekit.config import Parser, answer
from tunekit.errors import DataError
from tunekit.files import write_text
from tunekit.interrupt import leave

if TYPE_CHECKING:
    from tunekit.predict.predictor import Predictor

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; answers the exit code: 0, 2 with one line, 130 on Ctrl-C."""
    return answer(lambda: _predict(arguments), cannot="read")


def _predict(arguments: Sequence[str] | None) -> None:
    options = _parser().read(arguments)
    from tunekit.predict.predictor import Predictor

    predictor = Predictor.load(options.folder)
    text = _as_csv(predictor, options.rows)
    if options.output is None:
        _print(text)
    else:
        _write_output(Path(options.output), text)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m tunekit.predict",
        description="Predict the classes of new rows with the model of a study.",
    )
    parser.add_argument("folder", help="the study's folder, or the model/ in it")
    parser.add_argument("rows", help="CSV, Parquet or npz with the training columns")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="CSV to write: prediction and the probability of each class, a line a row "
        "(default: the screen)",
    )
    return parser


def _as_csv(predictor: Predictor, rows: str) -> str:
    probabilities_NC = predictor.predict_proba(rows)
    labels = predictor.likeliest(probabilities_NC).tolist()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"probability_{label}" for label in predictor.classes_.tolist()]
    writer.writerow(["prediction", *names])
    writer.writerows(
        [label, *row]
        for label, row in zip(labels, probabilities_NC.tolist(), strict=True)
    )
    return text.getvalue()


def _print(text: str) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Labels are written as they are, whatever the terminal's own encoding.
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return  # whoever read (such as head) has seen enough
        raise DataError(
            f"standard output: cannot be written ({error.strerror or error}); "
            "name a file with -o"
        ) from None


def _write_output(path: Path, text: str) -> None:
    try:
        if path.is_dir():
            raise DataError(f"{path}: a file to write is needed, got a folder")
        if _is_stdout(path):
            # As /dev/stdout: a file behind it may hold what others have printed.
            _print(text)
        elif path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8", newline="")
        else:
            # What a link points to is replaced; the link stays.
            write_text(Path(os.path.realpath(path)), text)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); "
            "name another file with -o"
        ) from None


def _is_stdout(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):  # no such file, or standard output is no file
        return False


if __name__ == "__main__":
    leave(main())
