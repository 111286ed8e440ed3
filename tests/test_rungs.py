"""Rungs, and the plain rule of halving."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunekit.rungs import Promote, Seen, halving, ladder, next_rung


@pytest.mark.parametrize(
    ("max_epochs", "options", "rungs"),
    [
        (50, {}, (1, 2, 6, 17, 50)),
        (30, {}, (1, 2, 4, 10, 30)),
        (27, {}, (1, 3, 9, 27)),
        (2, {}, (1, 2)),
        (1, {}, (1,)),
        (50, {"first": 6}, (6, 17, 50)),
        (50, {"first": 60}, (50,)),
        (16, {"eta": 2}, (1, 2, 4, 8, 16)),
    ],
)
def test_the_rungs(max_epochs: int, options: dict[str, int], rungs: object) -> None:
    assert ladder(max_epochs, **options) == rungs


@given(st.integers(1, 2000), st.integers(2, 9), st.integers(1, 50))
def test_rungs_ascend_to_the_last_epoch(max_epochs: int, eta: int, first: int) -> None:
    rungs = ladder(max_epochs, eta=eta, first=first)
    assert rungs[-1] == max_epochs
    assert list(rungs) == sorted({*rungs})
    assert all(rung >= first for rung in rungs[:-1])
    for epoch in range(max_epochs):
        rung = next_rung(rungs, epoch)
        assert rung == min(r for r in rungs if r > epoch)


@pytest.mark.parametrize(("max_epochs", "eta"), [(0, 3), (5, 1), (-1, 3)])
def test_rungs_that_cannot_be(max_epochs: int, eta: int) -> None:
    with pytest.raises(ValueError, match="rungs need max_epochs"):
        ladder(max_epochs, eta=eta)
    with pytest.raises(ValueError, match="a rung above 5"):
        next_rung((1, 2, 5), 5)


RUNGS = (1, 3, 9)


def at_first(*losses: float, paused: bool = True) -> list[Seen]:
    return [Seen(n, (loss,), paused) for n, loss in enumerate(losses)]


def test_one_in_three_goes_on() -> None:
    assert halving([], RUNGS) is None
    assert halving(at_first(0.1, 0.2), RUNGS) is None
    assert halving(at_first(0.3, 0.1, 0.2), RUNGS) == Promote(1, 3)
    # Equal losses: the earlier one.
    assert halving(at_first(0.3, 0.1, 0.1), RUNGS) == Promote(1, 3)


def test_whoever_has_gone_on_keeps_the_place() -> None:
    seen = [Seen(0, (0.1, 0.1), True), *at_first(9.0, 0.2, 0.3)[1:]]
    assert halving(seen, RUNGS) is None
    three_more = [Seen(n, (0.5,), True) for n in (3, 4, 5)]
    assert halving([*seen, *three_more], RUNGS) == Promote(1, 3)


def test_the_highest_rung_comes_first() -> None:
    seen = [Seen(n, (0.5, loss), True) for n, loss in enumerate([0.4, 0.2, 0.3])]
    seen += [Seen(n, (0.1,), True) for n in range(3, 12)]
    assert halving(seen, RUNGS) == Promote(1, 9)


def test_one_that_runs_or_has_ended_is_not_promoted_but_counts() -> None:
    seen = at_first(0.1, paused=False) + [Seen(n, (0.2,), True) for n in (1, 2)]
    assert halving(seen, RUNGS) is None
    seen += [Seen(n, (0.3,), True) for n in (3, 4, 5)]
    assert halving(seen, RUNGS) == Promote(1, 3)


def test_from_the_last_rung_nobody_goes_on() -> None:
    assert halving([Seen(n, (1.0, 1.0, 1.0), True) for n in range(9)], RUNGS) is None


def test_a_loss_that_is_infinite_is_the_worst() -> None:
    assert halving(at_first(math.inf, 5.0, math.inf), RUNGS) == Promote(1, 3)


@given(st.lists(st.floats(0, 1), max_size=60), st.integers(2, 5))
def test_promoting_until_nobody_is_left_leaves_one_in_eta(
    losses: list[float], eta: int
) -> None:
    rungs = ladder(eta**3, eta=eta)
    seen = {n: Seen(n, (loss,), True) for n, loss in enumerate(losses)}
    while promoted := halving([*seen.values()], rungs, eta):
        was = seen[promoted.number]
        assert promoted.to_epoch == rungs[len(was.losses)]
        seen[promoted.number] = Seen(was.number, (*was.losses, was.losses[0]), True)
    for place in range(1, len(rungs)):
        reached = sum(len(each.losses) > place for each in seen.values())
        before = sum(len(each.losses) >= place for each in seen.values())
        assert reached == before // eta
    # Of equal losses any may be in front; but no one behind a better one goes on alone.
    gone_on = [each.losses[0] for each in seen.values() if len(each.losses) > 1]
    left = [each.losses[0] for each in seen.values() if len(each.losses) == 1]
    assert not gone_on or not left or max(gone_on) <= min(left)
