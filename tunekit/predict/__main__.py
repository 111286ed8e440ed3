"""``python -m tunekit.predict FOLDER rows.csv [-o out.csv]``."""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tunekit.errors import ConfigError, DataError, TunekitError, did_you_mean
from tunekit.files import write_text

if TYPE_CHECKING:
    from tunekit.predict.predictor import Predictor

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; answers the exit code."""
    try:
        options = _parser().parse_args(arguments)
        from tunekit.predict.predictor import Predictor

        predictor = Predictor.load(options.folder)
        text = _as_csv(predictor, options.rows)
        if options.output is None:
            _print(text)
        else:
            _write_output(Path(options.output), text)
    except TunekitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and what was probably meant."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see python -m tunekit.predict --help")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, unknown = self.parse_known_args(args, namespace)
        for flag in unknown:
            near = did_you_mean(flag.split("=")[0], self._option_string_actions)
            raise ConfigError(f'unknown option "{flag}"{near}')
        return known


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m tunekit.predict",
        description="Predict the classes of new rows with the model of a study.",
        allow_abbrev=False,
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
    except BrokenPipeError:
        # Whoever read (such as head) has seen enough; Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_output(path: Path, text: str) -> None:
    if path.is_dir():
        raise DataError(f"{path}: a file to write is needed, got a folder")
    try:
        write_text(path, text)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); "
            "name another file with -o"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
