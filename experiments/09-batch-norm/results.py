"""The question, the claims and the answer, made from report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from statistics import fmean
from typing import Any

import record
from claims import Claim, claim, doubt, ratio_claim

# By the folder's name, for this file is read where only the folder above is searched.
_told = import_module(f"{Path(__file__).parent.name}.tables")
tables, shown = _told.tables, _told.shown
_rows, _RUNNING = _told.rows_of, _told.RUNNING

__all__ = ["QUESTION", "answer", "claims", "fill", "shown", "tables"]

QUESTION = "What does batch norm gain in training, and what does it need at test time?"
_TORCHS, _CORRECTED = "from 0 and 1", "corrected"
_ROUNDING, _IN_SINGLE = 1e-9, 1e-5
_SAME_LOSS = 1e-3

Report = Mapping[str, Any]


def claims(report: Report) -> list[Claim]:
    """What is claimed, from the samples of the report."""
    return [
        *_of_rates(report["rates"]),
        *_of_bias(report["bias"]),
        *_of_test_time(report["test time"]["digits"]),
        *_of_momentum(report["momentum"]),
        *_of_variance(report["variance"]),
    ]


def _of_rates(part: Report) -> list[Claim]:
    runs = _told.pairs(part)
    found = []
    for aim, told in enumerate(_told.AIMS):
        found.append(
            ratio_claim(
                _steps_to(told),
                [
                    _told.fewest(part, b, aim) / _told.fewest(part, a, aim)
                    for a, b in runs
                ],
                above=1.0,
            )
        )
    for aim, told in enumerate(_told.AIMS):
        found.append(
            claim(
                _decades_to(told),
                [
                    _told.decades(part, a, aim) - _told.decades(part, b, aim)
                    for a, b in runs
                ],
                above=0.0,
            )
        )
    return found


def _of_bias(part: Report) -> list[Claim]:
    exact = part["SGD, float64"]
    found = [
        claim(f"{told}; double precision", [run[key] for run in exact], below=_ROUNDING)
        for key, told in (
            ("outputs", "a random bias changes the outputs by (share of the largest)"),
            ("gradient", "gradient of the bias, over beta's"),
            ("moved", "what gradient descent moves the bias by"),
            ("curves", "training losses with it and without differ by (nats)"),
        )
    ]
    found.append(
        claim(
            "after training by Adam, outputs with the bias and with 0 in its place "
            "differ by (share of the largest); single precision",
            [run["outputs at the end"] for run in part["Adam, float32"]],
            below=_IN_SINGLE,
        )
    )
    for name in ("SGD, float32", "Adam, float32"):
        found.append(
            claim(
                f"what {name.replace(', float32', '')} moves the bias by, over what it "
                "moves beta by; single precision",
                [run["moved"] / run["beta moved"] for run in part[name]],
                below=0.01,
            )
        )
    return found


def _of_test_time(runs: Sequence[Report]) -> list[Claim]:
    found = [
        claim(
            f"test error by the statistics of {_rows(size)}, less by running averages",
            [run[size]["error"] - run[_RUNNING]["error"] for run in runs],
            above=0.0,
        )
        for size in _told.sizes(runs)
    ]
    return found + [
        claim(
            f"share of rows whose class changes with their neighbours, {_rows(size)}",
            [run[size]["changed"] for run in runs],
            above=0.01,
        )
        for size in _told.sizes(runs)
        if size != "1"
    ]


def _of_momentum(part: Report) -> list[Claim]:
    few, many = _place(part, 10), len(part["steps"]) - 1
    runs = part["digits"]
    at_few, at_many = part["steps"][few], part["steps"][many]
    return [
        claim(
            f"test loss after {at_few} steps, beta 0.999 less beta 0.9; not corrected",
            [r[few][_TORCHS]["0.999"] - r[few][_TORCHS]["0.9"] for r in runs],
            above=0.0,
        ),
        claim(
            f"the same with bias correction, after {at_few} steps",
            [r[few][_CORRECTED]["0.999"] - r[few][_CORRECTED]["0.9"] for r in runs],
            above=0.0,
        ),
        claim(
            f"test loss after {at_few} steps with beta 0.999, not corrected less "
            "corrected",
            [r[few][_TORCHS]["0.999"] - r[few][_CORRECTED]["0.999"] for r in runs],
            above=0.0,
        ),
        claim(
            f"test loss after {at_many} steps, beta 0.5 less beta 0.99; corrected",
            [r[many][_CORRECTED]["0.5"] - r[many][_CORRECTED]["0.99"] for r in runs],
            above=0.0,
        ),
    ]


def _of_variance(part: Report) -> list[Claim]:
    sizes = list(part)
    smallest = sizes[0]
    found = [
        claim(
            f"test loss with batches of {smallest}, divided by m less by m - 1 "
            f"(beta {beta})",
            _told.by_divisor(part[smallest], beta),
            above=0.0,
        )
        for beta in ("0.9", "0.999")
    ]
    return found + [
        claim(
            f"what it changes with batches of {size} (nats, either way; beta 0.999)",
            [abs(each) for each in _told.by_divisor(part[size], "0.999")],
            below=_SAME_LOSS,
        )
        for size in sizes[1:]
        if int(size) >= 32
    ]


def answer(report: Report) -> str:
    """The answer, for the list of all experiments."""
    if "rates" not in report:
        return "not measured yet"
    by_says = {each["says"]: each for each in report["claims"]}

    def ratio(says: str) -> str:
        return f"{by_says[says]['value']:.1f}"

    def sure(says: str) -> str:
        return doubt(by_says[says])

    first, second = map(_steps_to, _told.AIMS)
    wider = _decades_to(_told.AIMS[0])
    tested = report["test time"]["digits"]
    by_row, by_running = (
        100 * fmean(run[key]["error"] for run in tested) for key in ("1", _RUNNING)
    )
    return (
        f"{ratio(first)} times fewer steps to a tenth of chance's loss{sure(first)}, "
        f"{ratio(second)} times to a hundredth{sure(second)}; {ratio(wider)} decades "
        f"more of learning rates{sure(wider)}; one row at a time {by_row:.0f} % errors "
        f"by its own statistics, {by_running:.1f} % by running averages"
    )


def fill(text: str, report: Report) -> str:
    """A text with all its tables made anew."""
    return record.fill(text, tables(report))


def _steps_to(told: str) -> str:
    return (
        f"steps to {told} of chance's loss, each at its best learning rate, without "
        "over with"
    )


def _decades_to(told: str) -> str:
    return f"decades of learning rates that come to {told} of it, with less without"


def _place(part: Report, step: int) -> int:
    return int(part["steps"].index(step))
