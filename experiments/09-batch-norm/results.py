"""The claims and the tables of README.md, made from report.json."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import fmean, geometric_mean, median
from typing import Any

import record
from claims import Claim, claim, claims_table, ratio_claim
from record import table

__all__ = ["QUESTION", "answer", "claims", "fill", "shown", "tables"]

QUESTION = "What does batch norm gain in training, and what does it need at test time?"
_SIDES = ("with", "without")
_RUNNING, _ALL = "running averages", "all training rows"
_TORCHS, _CORRECTED = "from 0 and 1", "corrected"
_AIMS = ("a tenth", "a hundredth")
_ROUNDING = 1e-9
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
    runs = _pairs(part)
    found = []
    for aim, told in enumerate(_AIMS):
        ratios = [_fewest(part, b, aim) / _fewest(part, a, aim) for a, b in runs]
        found.append(
            ratio_claim(
                f"steps to {told} of chance's loss, each at its best learning rate, "
                "without over with",
                ratios,
                above=1.0,
            )
        )
    for aim, told in enumerate(_AIMS):
        found.append(
            claim(
                f"decades of learning rates that come to {told} of it, with less "
                "without",
                [_decades(part, a, aim) - _decades(part, b, aim) for a, b in runs],
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
        for size in _sizes(runs)
    ]
    return found + [
        claim(
            f"share of rows whose class changes with their neighbours, {_rows(size)}",
            [run[size]["changed"] for run in runs],
            above=0.01,
        )
        for size in _sizes(runs)
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
            _by_divisor(part[smallest], beta),
            above=0.0,
        )
        for beta in ("0.9", "0.999")
    ]
    return found + [
        claim(
            f"what it changes with batches of {size} (nats, either way; beta 0.999)",
            [abs(each) for each in _by_divisor(part[size], "0.999")],
            below=_SAME_LOSS,
        )
        for size in sizes[1:]
        if int(size) >= 32
    ]


def answer(report: Report) -> str:
    """The answer, for the list of all experiments."""
    if "rates" not in report:
        return "not measured yet"
    part = report["rates"]
    runs = _pairs(part)
    faster, later = (
        geometric_mean([_fewest(part, b, n) / _fewest(part, a, n) for a, b in runs])
        for n in range(len(_AIMS))
    )
    wider = fmean(_decades(part, a, 0) - _decades(part, b, 0) for a, b in runs)
    tested = report["test time"]["digits"]
    by_row, by_running = (
        100 * fmean(run[key]["error"] for run in tested) for key in ("1", _RUNNING)
    )
    return (
        f"{faster:.1f} times fewer steps to a tenth of chance's loss "
        f"({later:.1f} times to a hundredth), {wider:.1f} decades more of learning "
        f"rates; one row at a time {by_row:.0f} % errors by its own statistics, "
        f"{by_running:.1f} % by running averages"
    )


def fill(text: str, report: Report) -> str:
    """A text with all its tables made anew."""
    return record.fill(text, tables(report))


def shown(report: Report) -> dict[str, Any]:
    """The parts that the answer rests on."""
    return {"all": report} if "made" in report else {}


def tables(report: Report) -> dict[str, str]:
    """Every table by name."""
    return {
        "made": record.parts_made(shown(report)),
        "claims": claims_table(report.get("claims", [])),
        "rates": _rates(report.get("rates", {})),
        "bias": _bias(report.get("bias", {})),
        "test-time": _test_time(report.get("test time", {})),
        "momentum": _momentum(report.get("momentum", {})),
        "variance": _variance(report.get("variance", {})),
    }


def _pairs(part: Report) -> list[tuple[Report, Report]]:
    """Runs with batch norm, each with its twin without."""
    return [
        pair
        for each in part["tables"].values()
        for pair in zip(*(each[side] for side in _SIDES), strict=True)
    ]


def _fewest(part: Report, run: Report, aim: int) -> int:
    """The fewest steps of any learning rate; all there are where none comes to it."""
    reached = [step for step in run["steps"][aim] if step is not None]
    return min(reached, default=part["most"])


def _decades(part: Report, run: Report, aim: int) -> float:
    lrs = part["lrs"]
    reached = sum(step is not None for step in run["steps"][aim])
    return reached * math.log10(lrs[-1] / lrs[0]) / (len(lrs) - 1)


def _ends(part: Report, run: Report, aim: int) -> tuple[float, float] | None:
    """The lowest and the highest learning rate that come to it."""
    pairs = zip(part["lrs"], run["steps"][aim], strict=True)
    reached = [lr for lr, step in pairs if step is not None]
    return (reached[0], reached[-1]) if reached else None


def _sizes(runs: Sequence[Report]) -> list[str]:
    return [key for key in runs[0] if key != _RUNNING]


def _rows(size: str) -> str:
    return "one row" if size == "1" else f"{size} rows"


def _place(part: Report, step: int) -> int:
    return int(part["steps"].index(step))


def _by_divisor(runs: Sequence[Report], beta: str) -> list[float]:
    """Test loss with m less that with m - 1."""
    return [run[f"{beta}, m"] - run[f"{beta}, m - 1"] for run in runs]


def _rates(part: Report) -> str:
    lines = []
    for name, sides in part.get("tables", {}).items():
        for aim, side in itertools.product(range(len(_AIMS)), _SIDES):
            runs = sides[side]
            ends = [found for run in runs if (found := _ends(part, run, aim))]
            lines.append(
                (
                    name,
                    side,
                    f"{sides['aims'][aim]:.3g}",
                    f"{len(ends)} of {len(runs)}",
                    f"{median(_fewest(part, run, aim) for run in runs):g}",
                    f"{fmean(_decades(part, run, aim) for run in runs):.1f}",
                    *(
                        f"{geometric_mean([each[end] for each in ends]):.2g}"
                        if ends
                        else "–"
                        for end in (0, 1)
                    ),
                )
            )
    head = (
        "table",
        "batch norm",
        "loss to reach",
        "reached",
        "steps",
        "decades that reach it",
        "lowest lr",
        "highest lr",
    )
    return table(head, lines, left=2)


def _bias(part: Report) -> str:
    keys = ("outputs", "gradient", "moved", "beta moved", "curves", "last loss")
    lines = [
        (name, *(f"{fmean(run[key] for run in runs):.2g}" for key in keys))
        for name, runs in part.items()
    ]
    head = (
        "optimizer, precision",
        "outputs differ",
        "bias' gradient over beta's",
        "bias moved by",
        "beta by",
        "losses differ by",
        "last loss",
    )
    return table(head, lines, left=1)


def _test_time(part: Report) -> str:
    runs = part.get("digits", [])
    lines = []
    for key in runs[0] if runs else ():
        each = [run[key] for run in runs]
        own = key != _RUNNING
        lines.append(
            (
                f"{_rows(key)} at a time" if own else "running averages, any number",
                f"{fmean(run['loss'] for run in each):.3g}",
                f"{100 * fmean(run['error'] for run in each):.1f} %",
                f"{100 * fmean(r['changed'] for r in each):.1f} %" if own else "0 %",
                f"{fmean(r['deviation'] for r in each):.2g}" if own else "0",
            )
        )
    head = (
        "by the statistics of",
        "test loss",
        "error",
        "rows whose class changes",
        "deviation of a probability",
    )
    return table(head, lines, left=1)


def _momentum(part: Report) -> str:
    runs, steps = part.get("digits", []), part.get("steps", [])
    if not runs:
        return record.NOTHING
    ways = [way for way in runs[0][0] if way != _ALL]
    lines = []
    for way in ways:
        for beta in runs[0][0][way]:
            means = [fmean(r[n][way][beta] for r in runs) for n in range(len(steps))]
            lines.append((way, beta, *(f"{mean:.3g}" for mean in means)))
    exact = [fmean(run[n][_ALL] for run in runs) for n in range(len(steps))]
    lines.append((_ALL, "–", *(f"{mean:.3g}" for mean in exact)))
    return table(("average", "beta", *(f"{n} steps" for n in steps)), lines, left=2)


def _variance(part: Report) -> str:
    lines = []
    for size, runs in part.items():
        keys = ("0.9, m", "0.9, m - 1", "0.999, m", "0.999, m - 1", _ALL)
        losses = (fmean(run[key] for run in runs) for key in keys)
        lines.append((size, *(f"{loss:.4g}" for loss in losses)))
    head = (
        "rows of a batch",
        *(f"beta {b}, / {m}" for b in ("0.9", "0.999") for m in ("m", "(m - 1)")),
        _ALL,
    )
    return table(head, lines, left=1)
