"""What experiments claim: a number with its interval, and the line it is beyond.

A claim holds where the whole interval lies beyond the line, is refuted where the whole
of it lies on the other side, and is not sure otherwise. It is made of one sample a run
(a seed, a table), so that anybody can make it again from a report, and another run of
the experiment can be held against it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from record import table
from scipy.stats import binomtest
from scipy.stats import t as student

__all__ = [
    "Claim",
    "claim",
    "claims_table",
    "count_claim",
    "differences",
    "doubt",
    "ratio_claim",
    "share_claim",
]

_SHARE = 0.95
_NEAR = 0.1
_HOLDS, _OPEN, _REFUTED = "yes", "not sure", "no"


@dataclass(frozen=True)
class Claim:
    """One sentence of a verdict.

    Attributes:
        says: The sentence, with what the number is.
        value: The mean over samples.
        low: Where its interval of 95 % begins.
        high: Where it ends.
        line: What it is compared with.
        side: ``above`` or ``below`` that.
        samples: How many there are.
    """

    says: str
    value: float
    low: float
    high: float
    line: float
    side: str
    samples: int

    @property
    def holds(self) -> str:
        """``yes`` or ``no`` where the whole interval lies on one side."""
        above, below = self.low > self.line, self.high < self.line
        if not above and not below:
            return _OPEN
        return _HOLDS if above == (self.side == "above") else _REFUTED

    def as_dict(self) -> dict[str, Any]:
        """Its fields, and whether it holds."""
        return {**asdict(self), "holds": self.holds}


def claim(
    says: str, samples: Sequence[float], *, above: float = math.nan, below: float = 0.0
) -> Claim:
    """A claim about a mean, with Student's interval over the samples.

    Args:
        says: The sentence.
        samples: One number a run; two at least.
        above: What the mean is to be above;
        below: else, what it is to be below.
    """
    if len(samples) < 2:
        raise ValueError(f'"{says}" needs two samples at least, got {len(samples)}')
    mean = math.fsum(samples) / len(samples)
    degrees = len(samples) - 1
    spread = math.sqrt(math.fsum((x - mean) ** 2 for x in samples) / degrees)
    t = float(student.ppf(0.5 + 0.5 * _SHARE, degrees))
    half = t * spread / math.sqrt(len(samples))
    is_above = not math.isnan(above)
    return Claim(
        says=says,
        value=mean,
        low=mean - half,
        high=mean + half,
        line=above if is_above else below,
        side="above" if is_above else "below",
        samples=len(samples),
    )


def ratio_claim(
    says: str, samples: Sequence[float], *, above: float = math.nan, below: float = 1.0
) -> Claim:
    """The same about a geometric mean of ratios."""
    logs = [math.log(each) for each in samples]
    line = {"below": math.log(below)} if math.isnan(above) else {}
    found = claim(says, logs, above=math.log(above) if not line else math.nan, **line)
    return Claim(
        says=says,
        value=math.exp(found.value),
        low=math.exp(found.low),
        high=math.exp(found.high),
        line=math.exp(found.line),
        side=found.side,
        samples=found.samples,
    )


def share_claim(says: str, wins: Sequence[bool], *, above: float) -> Claim:
    """A claim about how often something is so, with the exact binomial interval.

    Clopper and Pearson 1934: no such interval leaves the range from zero to one, and it
    has a width where all samples agree.
    """
    test = binomtest(sum(map(bool, wins)), len(wins))
    ends = test.proportion_ci(_SHARE, "exact")
    return Claim(
        says=says,
        value=float(test.statistic),
        low=float(ends.low),
        high=float(ends.high),
        line=above,
        side="above",
        samples=len(wins),
    )


def count_claim(says: str, counts: Sequence[int]) -> Claim:
    """A claim that something never happens; the value is the most of any run."""
    most = float(max(counts))
    return Claim(says, most, most, most, 0.5, "below", len(counts))


def doubt(found: Mapping[str, Any]) -> str:
    """What is to be said beside the number of a claim that does not hold."""
    holds = found["holds"]
    return {_HOLDS: "", _OPEN: " (not sure)", _REFUTED: " (surely not)"}[holds]


def claims_table(claims: Iterable[Claim | Mapping[str, Any]]) -> str:
    """Every claim with its figures, and whether it holds."""
    lines = []
    for each in claims:
        of = each.as_dict() if isinstance(each, Claim) else each
        lines.append(
            (
                of["says"],
                f"{of['value']:.3g}",
                f"{of['low']:.3g} to {of['high']:.3g}",
                f"{of['side']} {of['line']:.3g}",
                str(of["samples"]),
                of["holds"],
            )
        )
    head = ("claim", "mean", "95 % interval", "must be", "samples", "holds")
    return table(head, lines, left=1)


def differences(
    recorded: Sequence[Mapping[str, Any]], anew: Sequence[Claim]
) -> list[str]:
    """How claims that were measured again differ from those of a report.

    Nothing where each is there, of as many samples, holds as before, and lies in the
    interval that was recorded, or so near that it is rounding. Where the end of an
    interval is at the line, rounding on another processor is enough to cross it.
    """
    found = []
    before = {each["says"]: each for each in recorded}
    for each in anew:
        old = before.pop(each.says, None)
        if old is None:
            found.append(f'"{each.says}" is not in the report')
        elif old["samples"] != each.samples:
            found.append(
                f'"{each.says}" has {each.samples} samples now, recorded '
                f"{old['samples']}"
            )
        elif old["holds"] != each.holds and not _is_near(old, each):
            found.append(
                f'"{each.says}" holds: {each.holds} now, recorded {old["holds"]} '
                f"({each.low:.3g} to {each.high:.3g})"
            )
        else:
            room = 1e-6 * max(1.0, abs(old["value"]))
            if not old["low"] - room <= each.value <= old["high"] + room:
                found.append(
                    f'"{each.says}" is {each.value:.3g} now, recorded '
                    f"{old['low']:.3g} to {old['high']:.3g}"
                )
    return found + [f'"{says}" is not measured any more' for says in before]


def _is_near(old: Mapping[str, Any], anew: Claim) -> bool:
    """Whether an interval is where it was, but for a tenth of its width."""
    room = _NEAR * (old["high"] - old["low"])
    moved = max(abs(anew.low - old["low"]), abs(anew.high - old["high"]))
    return bool(moved <= room)
