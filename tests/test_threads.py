"""Threads: as many as asked for, and as many as before afterwards."""

import os
import subprocess
import sys

import pytest
import torch

from tunekit.threads import cores, threads


def test_there_are_as_many_cores_as_this_process_may_use():
    assert 1 <= cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system binds no process"
)
def test_a_process_bound_to_one_core_has_one():
    core = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, {{{core}}})\n"
        "from tunekit.threads import cores; print(cores())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


def test_where_a_system_binds_no_process_all_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


def test_threads_are_as_before_afterwards():
    with threads(2):
        assert torch.get_num_threads() == 2
        with threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 1


def test_threads_are_as_before_after_an_error():
    with pytest.raises(ZeroDivisionError), threads(2):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 1
