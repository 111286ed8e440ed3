"""The tables of README.md, and the figures of runs that claims are made of, too."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import fmean, geometric_mean, median
from typing import Any

import record
from claims import claims_table
from record import table

__all__ = [
    "AIMS",
    "RUNNING",
    "by_divisor",
    "decades",
    "fewest",
    "pairs",
    "rows_of",
    "shown",
    "sizes",
    "tables",
]

AIMS = ("a tenth", "a hundredth")
RUNNING = "running averages"
_ALL = "all training rows"
_SIDES = ("with", "without")

Report = Mapping[str, Any]


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


def shown(report: Report) -> dict[str, Any]:
    """The parts that the answer rests on."""
    return {"all": report} if "made" in report else {}


def pairs(part: Report) -> list[tuple[Report, Report]]:
    """Runs with batch norm, each with its twin without."""
    return [
        pair
        for each in part["tables"].values()
        for pair in zip(*(each[side] for side in _SIDES), strict=True)
    ]


def fewest(part: Report, run: Report, aim: int) -> int:
    """The fewest steps of any learning rate; all there are where none comes to it."""
    reached = [step for step in run["steps"][aim] if step is not None]
    return min(reached, default=part["most"])


def decades(part: Report, run: Report, aim: int) -> float:
    """How many decades of learning rates come to it."""
    lrs = part["lrs"]
    reached = sum(step is not None for step in run["steps"][aim])
    return reached * math.log10(lrs[-1] / lrs[0]) / (len(lrs) - 1)


def _ends(part: Report, run: Report, aim: int) -> tuple[float, float] | None:
    """The lowest and the highest learning rate that come to it."""
    steps = zip(part["lrs"], run["steps"][aim], strict=True)
    reached = [lr for lr, step in steps if step is not None]
    return (reached[0], reached[-1]) if reached else None


def sizes(runs: Sequence[Report]) -> list[str]:
    """How many rows are predicted at a time."""
    return [key for key in runs[0] if key != RUNNING]


def rows_of(size: str) -> str:
    return "one row" if size == "1" else f"{size} rows"


def by_divisor(runs: Sequence[Report], beta: str) -> list[float]:
    """Test loss with m less that with m - 1."""
    return [run[f"{beta}, m"] - run[f"{beta}, m - 1"] for run in runs]


def _rates(part: Report) -> str:
    lines = []
    for name, sides in part.get("tables", {}).items():
        for aim, side in itertools.product(range(len(AIMS)), _SIDES):
            runs = sides[side]
            ends = [found for run in runs if (found := _ends(part, run, aim))]
            lines.append(
                (
                    name,
                    side,
                    f"{sides['aims'][aim]:.3g}",
                    f"{len(ends)} of {len(runs)}",
                    f"{median(fewest(part, run, aim) for run in runs):g}",
                    f"{fmean(decades(part, run, aim) for run in runs):.1f}",
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
    columns = {
        "outputs": "outputs differ, at the start",
        "outputs at the end": "at the end",
        "gradient": "bias' gradient over beta's",
        "moved": "bias moved by",
        "beta moved": "beta by",
        "curves": "losses differ by",
        "last loss": "last loss",
    }
    lines = [
        (name, *(f"{fmean(run[key] for run in runs):.2g}" for key in columns))
        for name, runs in part.items()
    ]
    return table(("optimizer, precision", *columns.values()), lines, left=1)


def _test_time(part: Report) -> str:
    runs = part.get("digits", [])
    lines = []
    for key in runs[0] if runs else ():
        each = [run[key] for run in runs]
        own = key != RUNNING
        lines.append(
            (
                f"{rows_of(key)} at a time" if own else "running averages, any number",
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
