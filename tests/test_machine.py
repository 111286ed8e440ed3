"""Cores, threads and devices: as many as asked for, and as there were afterwards."""

import os
import subprocess
import sys

import pytest
import torch

from tunekit import machine
from tunekit.errors import ConfigError
from tunekit.machine import cores, device_of, threads


def test_there_are_as_many_cores_as_this_process_may_use():
    assert 1 <= cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system binds no process"
)
def test_a_process_bound_to_one_core_has_one():
    core = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, {{{core}}})\n"
        "from tunekit.machine import cores; print(cores())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


def test_where_a_system_binds_no_process_all_cores_count(monkeypatch):
    monkeypatch.setattr(machine, "_CPU_MAX", "/none-such")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("max 100000\n", 6),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("900000 100000\n", 6),
        ("", 6),
        (None, 6),
    ],
)
def test_a_containers_limit_counts(monkeypatch, tmp_path, text, n):
    path = tmp_path / "cpu.max"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(machine, "_CPU_MAX", str(path))
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores() == n


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


@pytest.mark.parametrize("there", [False, True])
def test_a_device_by_name(monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(machine, "_GPU_FILES", ("null",))  # a file there is in /dev
    assert device_of("cpu") == "cpu"
    assert device_of("auto") == ("cuda" if there else "cpu")
    if there:
        assert device_of("gpu") == "cuda"
    else:
        with pytest.raises(ConfigError, match="needs a CUDA device, got none"):
            device_of("gpu")


@pytest.mark.skipif(sys.platform != "linux", reason="drivers have files in /dev")
def test_without_a_driver_torch_is_not_even_asked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(machine, "_GPU_FILES", ("none-such",))
    assert device_of("auto") == "cpu"
    monkeypatch.setattr(machine, "_GPU_FILES", ("none-such", "null"))
    assert device_of("auto") == "cuda"


@pytest.mark.parametrize(("platform", "known"), [("darwin", "cpu"), ("win32", "cuda")])
def test_elsewhere_torch_knows(monkeypatch, platform, known):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(sys, "platform", platform)
    assert device_of("auto") == known
