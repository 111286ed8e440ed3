"""The claims and the tables of README.md, made from report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

import record
from claims import Claim, claim, claims_table
from record import table

__all__ = ["QUESTION", "answer", "claims", "fill", "shown", "tables"]

QUESTION = (
    "Is softmax with two classes logistic regression, and a network without hidden "
    "layers softmax regression?"
)
_ROUNDING = 1e-9
_SAME = 1e-6
_SEEN = 1e-3
_BENT = 0.05

Report = Mapping[str, Any]


def claims(report: Report) -> list[Claim]:
    """What is claimed, from the samples of the report."""
    found = []
    for optimizer, runs in _by_optimizer(report["two classes"]).items():
        found.append(
            claim(
                f"{optimizer}: probabilities differ by, logistic regression at twice "
                "softmax's learning rate",
                [run["2"] for run in runs],
                below=_ROUNDING,
            )
        )
        found.append(
            claim(
                f"{optimizer}: probabilities differ by, both at one learning rate",
                [run["1"] for run in runs],
                above=_SEEN,
            )
        )
    (optima,) = report["two at the optimum"].values()
    found += [
        claim(f"{told}, at the optimum", [run[key] for run in optima], below=_SAME)
        for key, told in (
            ("losses apart", "lowest losses of softmax, logistic and scikit-learn's"),
            ("softmax and logistic", "probabilities of softmax and logistic"),
            ("softmax and scikit-learn", "probabilities of softmax and scikit-learn's"),
        )
    ]
    found += [
        claim(
            f"{name}: validation losses of tunekit's network without hidden layers and "
            "scikit-learn's regression differ by",
            [run["apart"] for run in runs],
            below=_SAME,
        )
        for name, runs in report["optimum"].items()
    ]
    planes = report["boundaries"].values()
    found.append(
        claim(
            "share of the log odds that no plane explains, without hidden layer",
            [run["bent"] for plane in planes for run in plane["0"]],
            below=_ROUNDING,
        )
    )
    found.append(
        claim(
            "the same with one hidden layer",
            [run["bent"] for plane in planes for run in plane["1"]],
            above=_BENT,
        )
    )
    for name, runs in report["hidden"].items():
        pairs = [*zip(runs["0"], runs["1"], strict=True)]
        for key, unit in (("loss", "nats"), ("error", "share of rows")):
            found.append(
                claim(
                    f"{name}: test {key} without hidden layer, less with one ({unit})",
                    [without[key] - with_[key] for without, with_ in pairs],
                    above=0.0,
                )
            )
    return found


def answer(report: Report) -> str:
    """The answer, for the list of all experiments."""
    if "two classes" not in report:
        return "not measured yet"
    apart = max(
        run["2"]
        for runs in _by_optimizer(report["two classes"]).values()
        for run in runs
    )
    losses = max(run["apart"] for runs in report["optimum"].values() for run in runs)
    helped = [
        each["holds"] == "yes"
        for each in report["claims"]
        if "test loss without" in each["says"]
    ]
    return (
        "yes, logistic regression at twice softmax's learning rate: probabilities "
        f"differ by {apart:.0e} at most; yes: validation losses differ from "
        f"scikit-learn's by {losses:.0e} at most; a hidden layer surely lowers the "
        f"test loss on {sum(helped)} of {len(helped)} tables"
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
        "two-classes": _two_classes(report.get("two classes", {})),
        "optimum": _optimum(report.get("optimum", {})),
        "planes": _planes(report.get("boundaries", {})),
        "hidden": _hidden(report.get("hidden", {})),
    }


def _by_optimizer(part: Report) -> dict[str, list[Report]]:
    """The runs of all tables."""
    found: dict[str, list[Report]] = {}
    for of_table in part.values():
        for optimizer, runs in of_table.items():
            found.setdefault(optimizer, []).extend(runs)
    return found


def _most(runs: Sequence[Report], key: str) -> str:
    return f"{max(run[key] for run in runs):.1e}"


def _two_classes(part: Report) -> str:
    """The largest of all seeds."""
    lines = [
        (name, optimizer, *(_most(runs, key) for key in ("2", "1", "sum moved")))
        for name, of_table in part.items()
        for optimizer, runs in of_table.items()
    ]
    head = (
        "table",
        "optimizer",
        "differ at twice the learning rate",
        "at the same",
        "sum of softmax's weights moved by",
    )
    return table(head, lines, left=2)


def _optimum(part: Report) -> str:
    lines = [
        (
            name,
            f"{fmean(run['tunekit'] for run in runs):.6f}",
            f"{fmean(run['scikit-learn'] for run in runs):.6f}",
            _most(runs, "apart"),
            _most(runs, "errors apart"),
        )
        for name, runs in part.items()
    ]
    head = ("table", "tunekit", "scikit-learn", "losses differ by", "errors differ by")
    return table(head, lines, left=1)


def _planes(part: Report) -> str:
    lines = [
        (name, layers, f"{fmean(run['bent'] for run in runs):.2g}")
        for name, plane in part.items()
        for layers, runs in plane.items()
    ]
    head = ("table", "hidden layers", "share of the log odds that no plane explains")
    return table(head, lines, left=1)


def _hidden(part: Report) -> str:
    """Means over seeds; medians of learning rates."""
    lines = [
        (
            name,
            layers,
            f"{median(run['lr'] for run in runs):g}",
            f"{fmean(run['loss'] for run in runs):.3f}",
            f"{100 * fmean(run['error'] for run in runs):.1f} %",
        )
        for name, of_table in part.items()
        for layers, runs in of_table.items()
    ]
    head = ("table", "hidden layers", "best lr", "test loss (nats)", "test error")
    return table(head, lines, left=1)
