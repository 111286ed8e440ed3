"""What every test shares: one torch thread, a seeded generator, a small table."""

import signal
from collections.abc import Iterator
from typing import NamedTuple

import hypothesis
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

hypothesis.settings.register_profile("tunekit", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tunekit")


class Table(NamedTuple):
    """Rows and classes of a training and a validation part."""

    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_valid: NDArray[np.float32]
    y_valid: NDArray[np.int64]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads wait for each other on small matrices, and change rounding."""
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def table() -> Table:
    """Three overlapping clouds in five dimensions: learnt in a few epochs."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 5)) * 2
    y = rng.integers(0, 3, 160)
    x = (centres[y] + rng.normal(size=(160, 5))).astype(np.float32)
    return Table(x[:120], y[:120], x[120:], y[120:])


def pytest_configure() -> None:
    """Hear signals again where whoever started us (a script's "&") has us ignore them.

    The processes that tests start would inherit that, and tunekit respects it.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
