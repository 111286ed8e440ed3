"""What experiments claim: a number with its interval, and the line it is beyond.

A claim holds where the whole interval lies beyond the line. It is made of one sample a
run (a seed, a table), so that anybody can make it again from a report, and another run
of the experiment can be held against it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from record import table
from scipy.stats import t as student

__all__ = ["Claim", "claim", "claims_table", "differences", "ratio_claim"]

_SHARE = 0.95


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
    def holds(self) -> bool:
        """Whether the whole interval lies on the side that is claimed."""
        if self.side == "above":
            return self.low > self.line
        return self.high < self.line

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
                "yes" if of["holds"] else "no",
            )
        )
    head = ("claim", "mean", "95 % interval", "must be", "samples", "holds")
    return table(head, lines, left=1)


def differences(
    recorded: Sequence[Mapping[str, Any]], anew: Sequence[Claim]
) -> list[str]:
    """How claims that were measured again differ from those of a report.

    Nothing where each is there, holds as before, and lies in the interval that was
    recorded, or so near that it is rounding.
    """
    found = []
    before = {each["says"]: each for each in recorded}
    for each in anew:
        old = before.pop(each.says, None)
        if old is None:
            found.append(f'"{each.says}" is not in the report')
        elif old["holds"] != each.holds:
            does = "holds" if each.holds else "does not hold"
            found.append(f'"{each.says}" {does} now: {each.low:.3g} to {each.high:.3g}')
        else:
            room = 1e-6 * max(1.0, abs(old["value"]))
            if not old["low"] - room <= each.value <= old["high"] + room:
                found.append(
                    f'"{each.says}" is {each.value:.3g} now, recorded '
                    f"{old['low']:.3g} to {old['high']:.3g}"
                )
    return found + [f'"{says}" is not measured any more' for says in before]
