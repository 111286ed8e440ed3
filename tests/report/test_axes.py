"""Axes of figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunekit.report.axes import Axis, number, ticks, value_text

SCALES = ["uniform", "int", "log", "int-log", "one-minus-log"]


@st.composite
def ranges(draw: st.DrawFn) -> tuple[str, float, float]:
    """A scale and two ends that it may have."""
    scale = draw(st.sampled_from(SCALES))
    if scale in ("int", "int-log"):
        least = draw(st.integers(1, 1000))
        return scale, least, least + draw(st.integers(1, 100_000))
    if scale == "one-minus-log":
        gap = 10 ** draw(st.floats(-6, -0.1))
        return scale, 1 - min(0.999, gap * 10 ** draw(st.floats(0.01, 4))), 1 - gap
    low = 10 ** draw(st.floats(-9, 3))
    return scale, low, low * 10 ** draw(st.floats(0.01, 8))


@given(ranges(), st.integers(2, 9))
def test_ticks_are_few_rising_and_inside(
    ends: tuple[str, float, float], most: int
) -> None:
    scale, low, high = ends
    found = ticks(low, high, scale, most)
    room = 1e-6 * (high - low)
    assert 1 <= len(found) <= most
    assert found == sorted(set(found))
    assert low - room <= found[0] <= found[-1] <= high + room
    if scale in ("int", "int-log"):
        assert all(value == int(value) for value in found)


@given(ranges(), st.floats(0, 1), st.floats(0, 1))
def test_places_keep_the_order(
    ends: tuple[str, float, float], a: float, b: float
) -> None:
    scale, low, high = ends
    axis = Axis(title="x", scale=scale, low=low, high=high)
    first, second = sorted((low + a * (high - low), low + b * (high - low)))
    assert 0 <= axis.place(first) <= axis.place(second) <= 1
    assert axis.place(low) == 0
    assert axis.place(high) == 1


@given(st.floats(-1e300, 1e300))
def test_numbers_keep_four_digits(value: float) -> None:
    assert float(number(value)) == pytest.approx(value, rel=1e-3)


@given(st.floats(-6, -0.31))
def test_values_near_one_keep_their_gap(exponent: float) -> None:
    value = 1 - 10**exponent
    shown = float(value_text(value, "one-minus-log"))
    assert 1 - shown == pytest.approx(10**exponent, rel=0.01)
