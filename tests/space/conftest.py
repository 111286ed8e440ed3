"""Ranges and scales drawn at random; the default recipe, and when each counts."""

from hypothesis import strategies as st

from tunekit.space import (
    IntLogUniform,
    IntUniform,
    LogUniform,
    OneMinusLogUniform,
    Uniform,
)
from tunekit.trial import Recipe

DEFAULTS = Recipe().as_dict()
NAMES = set(DEFAULTS)


def ordered(numbers):
    return st.tuples(numbers, numbers).filter(lambda two: two[0] != two[1]).map(sorted)


def floats(low, high):
    return st.floats(low, high, allow_subnormal=False)


def gapped(high):
    """Values from 0 whose gaps to one differ when they do."""
    return st.integers(0, int(high * 1e9)).map(lambda n: n / 1e9)


RANGES = {
    Uniform: ordered(floats(-1e30, 1e30)),
    LogUniform: ordered(floats(1e-30, 1e30)),
    IntUniform: ordered(st.integers(-(2**31), 2**31)),
    IntLogUniform: ordered(st.integers(1, 2**31)),
    OneMinusLogUniform: ordered(gapped(0.9999999)),
}
scales = st.one_of(
    *(ends.map(lambda two, kind=kind: kind(*two)) for kind, ends in RANGES.items())
)


def between(scale, share):
    """A value that the scale can have."""
    value = scale.low + (scale.high - scale.low) * share
    return scale.nearest(value)


def contains(scale, stored):
    distribution = scale.distribution()
    return distribution._contains(distribution.to_internal_repr(stored))


def counting(values):
    """The names that count beside these values: the rules, written a second time."""
    out = NAMES - {"momentum", "nesterov", "beta1", "beta2", "eps", "lr_decay"}
    if values["optimizer"] == "sgd":
        out |= {"momentum", "nesterov"}
    if values["optimizer"] in ("adam", "adamw"):
        out |= {"beta1", "beta2", "eps"}
    if values["schedule"] in ("inverse", "exponential", "step"):
        out |= {"lr_decay"}
    if values["n_layers"] < 2:
        out -= {"shape"}
    if values["n_layers"] == 0:
        out -= {"width", "activation", "dropout"}
    return out
