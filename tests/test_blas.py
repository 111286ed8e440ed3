"""Linear algebra by one thread: the same to the bit, and set back afterwards."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tunekit.blas import one_thread
from tunekit.surrogate import Observations, Surrogate


def blas_threads():
    """Threads of each BLAS that is loaded."""
    return [
        pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"
    ]


@pytest.fixture
def two_threads():
    with threadpool_limits(2, "blas"):
        if set(blas_threads()) != {2}:
            pytest.skip("this BLAS has one thread")
        yield


def test_meanwhile_there_is_one_and_then_as_many_as_before(two_threads):
    @one_thread
    def failing():
        assert set(blas_threads()) == {1}
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        failing()
    assert set(blas_threads()) == {2}


def test_of_several_inside_the_last_to_leave_sets_back(two_threads):
    entered, leave = threading.Event(), threading.Event()

    def other():
        with one_thread:
            entered.set()
            assert leave.wait(60)

    thread = threading.Thread(target=other)
    with one_thread:
        with one_thread:
            thread.start()
            assert entered.wait(60)
        assert set(blas_threads()) == {1}
    assert set(blas_threads()) == {1}
    leave.set()
    thread.join()
    with one_thread:  # where a BLAS did not hear the other thread
        assert set(blas_threads()) == {1}
    assert set(blas_threads()) == {2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no process")
def test_a_process_forked_meanwhile_has_none_inside():
    # In a process of its own, since this one has threads.
    code = """
import os
import numpy
from threadpoolctl import threadpool_info, threadpool_limits
from tunekit.blas import one_thread

def blas_threads():
    return {p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}

with threadpool_limits(2, "blas"):
    before = blas_threads()
    with one_thread:
        child = os.fork()
        if not child:
            between = blas_threads()
            with one_thread:
                inside = blas_threads()
            os._exit(not (between == blas_threads() == before and inside == {1}))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert blas_threads() == before
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def surrogate():
    """Constants, means and deviations of a model of 250 values."""
    rng = np.random.default_rng(0)
    x, z = rng.random((250, 6)), rng.normal(size=250)
    model = Surrogate(6)
    seen = Observations(x, np.ones(250), np.arange(250), z)
    model.fit(seen, steps=3)
    model.given(seen)
    there = rng.random((300, 6))
    mean, deviation = model.predict(there, np.array([0.5, 1.0]))
    at_end = model.mean(there, 1.0, np.full(300, -1))
    return np.concatenate([model.constants, *mean, *deviation, at_end])


def test_a_surrogate_does_not_hang_on_how_many_there_are(two_threads):
    found = surrogate()
    with threadpool_limits(1, "blas"):
        assert (surrogate() == found).all()
