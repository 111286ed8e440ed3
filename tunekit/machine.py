"""What there is to train on: cores, threads, a GPU or none."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tunekit.errors import ConfigError

__all__ = ["MANY_THREADS_FLOPS", "cores", "device_of", "threads"]

MANY_THREADS_FLOPS = 3e8
"""Arithmetic of a training step from which more than one thread pays.

Below it, threads wait for each other longer than they work; on a busy machine, far
longer.
"""
_CPU_MAX = "/sys/fs/cgroup/cpu.max"
"""The limit of a container (Linux, control groups 2)."""
_GPU_FILES = ("nvidiactl", "nvidia0", "nvhost-gpu", "kfd", "dxg")
"""Drivers' files of the GPUs that torch calls ``cuda``: NVIDIA's, AMD's, WSL's."""


def cores() -> int:
    """Processors that this process may use, a container's limit counted."""
    if hasattr(os, "sched_getaffinity"):
        found = len(os.sched_getaffinity(0))
    else:
        found = os.cpu_count() or 1
    quota = _quota()
    return found if quota == math.inf else max(1, min(found, math.ceil(quota)))


def _quota() -> float:
    """Processors that the control group may use at once; infinite without a limit."""
    try:
        limit, period = Path(_CPU_MAX).read_text("ascii").split()
        return float(limit) / float(period)  # "max" is no number: no limit
    except (OSError, ValueError):
        return math.inf


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """So many threads for torch's operations, and as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_of(accelerator: str) -> str:
    """The device that an accelerator names: ``cpu`` or ``cuda``.

    Args:
        accelerator: ``cpu``, ``gpu``, or ``auto``: a GPU if there is one.

    Raises:
        ConfigError: If a GPU is asked for and there is none.

    Example:
        >>> device_of("cpu")
        'cpu'
    """
    if accelerator == "cpu":
        return "cpu"
    if accelerator == "auto" and not _may_have_gpu():
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if accelerator == "auto":
        return "cpu"
    raise ConfigError(
        "accelerator gpu needs a CUDA device, got none; use --accelerator cpu"
    )


def _may_have_gpu() -> bool:
    """False where the system has no driver; to know more takes importing torch."""
    if sys.platform != "linux":
        return sys.platform != "darwin"
    return any(Path(f"/dev/{name}").exists() for name in _GPU_FILES)
