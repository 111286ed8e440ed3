"""A claim's verdict follows from its interval, and checks see what has changed."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXPERIMENTS)
    import claims

    return claims


def test_a_claim_holds_where_its_whole_interval_does(claims: ModuleType) -> None:
    sure = claims.claim("more", [1.0, 1.2, 1.1], above=0.5)
    assert (sure.holds, sure.samples) == ("yes", 3)
    # Student's quantile for two degrees of freedom, 4.303, times 0.1 / sqrt(3).
    assert sure.value == pytest.approx(1.1)
    assert sure.high - sure.value == pytest.approx(4.303 * 0.1 / 3**0.5, rel=1e-3)
    assert sure.value - sure.low == pytest.approx(sure.high - sure.value)
    assert sure.as_dict()["holds"] == "yes"


def test_it_is_refuted_beyond_the_line_and_not_sure_across_it(
    claims: ModuleType,
) -> None:
    samples = [1.0, 1.2, 1.1]
    for line, above, below in ((0.5, "yes", "no"), (2.0, "no", "yes")):
        assert claims.claim("", samples, above=line).holds == above
        assert claims.claim("", samples, below=line).holds == below
    for side in ({"above": 1.1}, {"below": 1.1}):
        assert claims.claim("", samples, **side).holds == "not sure"
    # An end on the line is not beyond it.
    assert claims.claim("", [1.0, 1.0], above=1.0).holds == "not sure"
    with pytest.raises(ValueError, match="two samples at least, got 1"):
        claims.claim("", [1.0], above=0.5)


def test_ratios_are_held_against_the_line_by_their_geometric_mean(
    claims: ModuleType,
) -> None:
    ratio = claims.ratio_claim("less", [0.5, 0.25, 0.5], below=0.9)
    assert ratio.value == pytest.approx(0.0625 ** (1 / 3))
    assert (ratio.line, ratio.side) == (pytest.approx(0.9), "below")
    assert ratio.value / ratio.low == pytest.approx(ratio.high / ratio.value)
    assert claims.ratio_claim("", [0.5, 2.0], below=1.0).holds == "not sure"
    assert claims.ratio_claim("", [2.0, 2.2, 2.1], above=1.0).holds == "yes"
    assert claims.ratio_claim("", [2.0, 2.2, 2.1]).holds == "no"


def test_a_share_has_the_exact_binomial_interval(claims: ModuleType) -> None:
    every = claims.share_claim("", [True] * 14, above=0.5)
    # Of all n the interval reaches down to where that has a chance of 2.5 %.
    assert every.low == pytest.approx(0.025 ** (1 / 14))
    assert (every.value, every.high, every.holds) == (1.0, 1.0, "yes")
    assert claims.share_claim("", [True] * 4, above=0.5).holds == "not sure"
    none = claims.share_claim("", [False] * 14, above=0.5)
    assert (none.value, none.low, none.holds) == (0.0, 0.0, "no")
    some = claims.share_claim("", [True] * 8 + [False] * 6, above=0.5)
    assert some.value == pytest.approx(8 / 14)
    assert 0 < some.low < 0.5 < some.high < 1


def test_what_never_happens_happens_in_no_run(claims: ModuleType) -> None:
    assert claims.count_claim("", [0, 0, 0]).holds == "yes"
    once = claims.count_claim("", [0, 1, 0])
    assert (once.holds, once.value, once.samples) == ("no", 1.0, 3)


def test_what_does_not_hold_is_said_beside_its_number(claims: ModuleType) -> None:
    told = {"yes": "", "not sure": " (not sure)", "no": " (surely not)"}
    for holds, words in told.items():
        assert claims.doubt({"holds": holds}) == words
    table = claims.claims_table([claims.share_claim("all", [True] * 4, above=0.5)])
    line = "| all | 1 | 0.398 to 1 | above 0.5 | 4 | not sure |"
    assert table.splitlines()[-1] == line


def test_a_check_sees_what_differs_from_the_report(claims: ModuleType) -> None:
    sure = claims.claim("more", [1.0, 1.2, 1.1], above=0.5)
    recorded = [sure.as_dict()]

    def found(*samples: float, says: str = "more") -> list[str]:
        return claims.differences(recorded, [claims.claim(says, samples, above=0.5)])

    assert claims.differences(recorded, [sure]) == []
    assert found(1.0, 1.21, 1.1) == []
    assert "holds: not sure now, recorded yes" in found(1.0, 0.1, 1.1)[0]
    assert "holds: no now, recorded yes" in found(0.1, 0.1, 0.2)[0]
    assert "2 samples now, recorded 3" in found(1.0, 1.2)[0]
    assert "is 9.1 now, recorded 0.852 to 1.35" in found(9.0, 9.1, 9.2)[0]
    unknown, gone = found(1.0, 1.2, 1.1, says="less")
    assert unknown == '"less" is not in the report'
    assert gone == '"more" is not measured any more'


def test_an_interval_that_ends_at_the_line_may_cross_it_by_rounding(
    claims: ModuleType,
) -> None:
    before = claims.claim("more", [1.0, 1.2, 1.1], above=0.86)
    recorded = before.as_dict()
    assert (before.holds, recorded["low"]) == (
        "not sure",
        pytest.approx(0.8516, abs=1e-3),
    )
    for moved, is_told in ((0.01, False), (0.08, True)):
        samples = [1.0 + moved, 1.2 + moved, 1.1 + moved]
        anew = claims.claim("more", samples, above=0.86)
        assert anew.holds == "yes"
        assert bool(claims.differences([recorded], [anew])) == is_told
