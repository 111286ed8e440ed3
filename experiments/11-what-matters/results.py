"""The claims and the tables of README.md, made from report.json."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import record
from claims import Claim, claim, claims_table, doubt, share_claim
from record import table

__all__ = [
    "NOTES",
    "NOTHING",
    "QUESTION",
    "REST",
    "answer",
    "by_importance",
    "claims",
    "fill",
    "samples",
    "shown",
    "tables",
]

QUESTION = "Which hyperparameters matter: the learning rate first?"
NOTES = {
    "lr": "first",
    **dict.fromkeys(("momentum", "width", "batch_size"), "second"),
    **dict.fromkeys(("n_layers", "lr_decay"), "third"),
    **dict.fromkeys(("beta1", "beta2", "eps"), "hardly ever"),
}
"""When the notes tune a hyperparameter."""
NOTHING, REST = "nothing", "the rest"
"""What is drawn like the others and does nothing; what none of all explains alone."""
OPTIMIZERS = ("sgd", "adam")

Report = Mapping[str, Any]


def fill(text: str, report: Report) -> str:
    """A text with all its tables made anew."""
    return record.fill(text, tables(report))


def tables(report: Report) -> dict[str, str]:
    """Every table by name."""
    parts = shown(report)
    made = {
        "made": record.parts_made(parts),
        "claims": claims_table(report.get("claims", ())),
    }
    rest = {
        "measured-on": _measured_on,
        "tables": _of_tables,
        **{each: _of_hyperparameters(each) for each in OPTIMIZERS},
    }
    return made | {
        name: make(report) if parts else record.NOTHING for name, make in rest.items()
    }


def shown(report: Report) -> dict[str, Any]:
    """The parts that the answer rests on."""
    return {"all": report} if "made" in report else {}


def answer(report: Report) -> str:
    """The answer, for the list of all experiments."""
    if not shown(report):
        return "not measured yet"
    found = {each["says"]: each for each in report["claims"]}
    told = []
    for optimizer in OPTIMIZERS:
        parts = ", ".join(
            f"{name} {_mean(samples(report, optimizer, name)):.2f}"
            for name in [*by_importance(report, optimizer), NOTHING, REST]
        )
        firsts = _firsts(report, optimizer, "fanova")
        told.append(
            f"{optimizer}: {parts}; lr is first on {firsts.count('lr')}"
            + doubt(found[_first_says(optimizer, "fanova")])
            + "".join(
                f", what the notes tune {rank} is before what they tune {later}"
                + doubt(found[_less_says(optimizer, *names)])
                for rank, later, *names in _ranks(report, optimizer)
            )
        )
    n = len(report["sgd"]["tables"])
    return (
        "Part of the variance of log losses that each explains alone (fANOVA), mean "
        f"of {n} tables; {'; '.join(told)}"
    )


def claims(report: Report) -> list[Claim]:
    """The order of the notes, rank by rank."""
    found = []
    for optimizer in OPTIMIZERS:
        for kind in ("fanova", "pedanova"):
            wins = [name == "lr" for name in _firsts(report, optimizer, kind)]
            found.append(share_claim(_first_says(optimizer, kind), wins, above=0.5))
        says = f"{optimizer}: part of the variance by lr alone"
        found.append(claim(says, samples(report, optimizer, "lr"), above=0.5))
        for name in _names(report, optimizer)[1:]:
            found.append(_less(report, optimizer, ["lr"], [name]))
        for _, _, more, less in _ranks(report, optimizer):
            found.append(_less(report, optimizer, more, less))
        if optimizer == "adam":
            lasts = [min(of, key=of.__getitem__) for of in _rows(report, optimizer)]
            says = f"{optimizer}: share of tables where eps ranks last"
            found.append(share_claim(says, [x == "eps" for x in lasts], above=0.5))
    return found


def samples(
    report: Report, optimizer: str, name: str, kind: str = "fanova"
) -> list[float]:
    """A hyperparameter's importance, or that of the rest, one figure a table."""
    every = [each[kind] for each in report[optimizer]["tables"].values()]
    if name == REST:
        return [1.0 - math.fsum(of.values()) for of in every]
    return [of[name] for of in every]


def by_importance(report: Report, optimizer: str) -> list[str]:
    """The hyperparameters, the most important first, on the mean of all tables."""
    return sorted(
        _names(report, optimizer), key=lambda x: -_mean(samples(report, optimizer, x))
    )


def _names(report: Report, optimizer: str) -> list[str]:
    """What is tuned, in the order of the notes."""
    first = next(iter(report[optimizer]["tables"].values()))["fanova"]
    return [name for name in NOTES if name in first]


def _rows(report: Report, optimizer: str, kind: str = "fanova") -> list[Report]:
    """Importances by hyperparameter, one mapping a table; that of nothing left out."""
    return [
        {name: share for name, share in each[kind].items() if name != NOTHING}
        for each in report[optimizer]["tables"].values()
    ]


def _firsts(report: Report, optimizer: str, kind: str) -> list[str]:
    return [max(of, key=of.__getitem__) for of in _rows(report, optimizer, kind)]


def _first_says(optimizer: str, kind: str) -> str:
    by = " by PED-ANOVA" if kind == "pedanova" else ""
    return f"{optimizer}: share of tables where lr ranks first{by}"


def _ranks(
    report: Report, optimizer: str
) -> list[tuple[str, str, list[str], list[str]]]:
    """Each later rank of the notes and the next, and the hyperparameters of both."""
    names = _names(report, optimizer)
    of = {
        rank: [name for name in names if NOTES[name] == rank]
        for rank in dict.fromkeys(NOTES.values())
    }
    pairs = itertools.pairwise(["second", "third", "hardly ever"])
    return [(one, two, of[one], of[two]) for one, two in pairs if of[two]]


def _less(
    report: Report, optimizer: str, more: Sequence[str], less: Sequence[str]
) -> Claim:
    """That some explain more than others, in the mean of each."""
    differences = [
        _mean([of[name] for name in more]) - _mean([of[name] for name in less])
        for of in _rows(report, optimizer)
    ]
    return claim(_less_says(optimizer, more, less), differences, above=0.0)


def _less_says(optimizer: str, more: Sequence[str], less: Sequence[str]) -> str:
    one, other = (", ".join(names) for names in (more, less))
    return f"{optimizer}: part of the variance by {one} less that by {other}"


def _measured_on(report: Report) -> str:
    along = [each["comes along"] for each in report["sgd"]["tables"].values()]
    real = len(along) - sum(along)
    told = f"{real} real ones of a folder" if real else "no real ones: --tables FOLDER"
    return (
        f"Measured on {len(along)} tables, {sum(along)} that come along and {told}, "
        f"with {report['sgd']['configurations']} configurations under each optimizer "
        "on each."
    )


def _of_hyperparameters(optimizer: str) -> Any:
    def made(report: Report) -> str:
        nothing = samples(report, optimizer, NOTHING)
        firsts = _firsts(report, optimizer, "fanova")
        lines = []
        for name in [*by_importance(report, optimizer), NOTHING, REST]:
            found = samples(report, optimizer, name)
            beyond = [a - b for a, b in zip(found, nothing, strict=True)]
            ped, plain = (
                _mean(samples(report, optimizer, name, kind))
                for kind in ("pedanova", "plain")
            )
            is_tuned = name in NOTES
            lines.append(
                (
                    name,
                    NOTES.get(name, "–"),
                    _with_interval(found),
                    _with_interval(beyond) if is_tuned else "–",
                    str(firsts.count(name)) if is_tuned else "–",
                    "–" if name == REST else f"{ped:.3f}",
                    f"{plain:.3f}",
                )
            )
        head = (
            *("hyperparameter", "tuned by the notes", "part (95 % interval)"),
            *("beyond that of nothing", "tables where first"),
            *("PED-ANOVA, of their sum", "part, of plain values"),
        )
        return table(head, lines, left=2)

    return made


def _of_tables(report: Report) -> str:
    lines = []
    for name, each in report["sgd"]["tables"].items():
        cells = []
        for optimizer in OPTIMIZERS:
            of = report[optimizer]["tables"][name]
            shares = sorted(
                ((of["fanova"][x], x) for x in _names(report, optimizer)), reverse=True
            )[:2]
            cells.append(", ".join(f"{x} {share:.2f}" for share, x in shares))
            cells.append(f"{of['best']:.4f}, {of['median']:.4f}")
        sizes = (f"{each[key]:,}" for key in ("rows", "inputs", "classes"))
        whence = "comes along" if each["comes along"] else "real"
        lines.append((name, whence, cells[0], cells[2], cells[1], cells[3], *sizes))
    head = (
        *("table", "", "sgd: the two first", "adam: the two first"),
        *("sgd: best, median loss", "adam: best, median loss"),
        *("rows", "inputs", "classes"),
    )
    return table(head, lines, left=4)


def _with_interval(found: Sequence[float]) -> str:
    of = claim("", found, above=0.0)
    return f"{of.value:.3f} ({of.low:.3f} to {of.high:.3f})"


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
