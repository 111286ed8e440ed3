"""The open runs of one process, trained in stacks.

Runs with one batch size share a stack, as many as keep a layer's matrices and the
parameters in the cache, and all of it in memory. A stack lives as long as its runs stay
the same; when one ends or joins, the others move to new memory, unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tunekit.machine import threads
from tunekit.sizes import parameter_count
from tunekit.trial import Fitted, Metrics, Recipe, Run, State
from tunekit.vectorized.member import Member
from tunekit.vectorized.stack import CHUNK, VALIDATION_ROWS, Rows, Stack

__all__ = ["Outcome", "Shard"]

Outcome = tuple[Metrics, bool] | Exception
"""An epoch's metrics, and whether the run is over; or why it failed."""

_CPU_ENTRIES = 2**16
"""Rows times columns of a layer in one stack: 256 kB in single precision. Measured
between 2**13 and no limit: larger stacks save nothing more."""
_GPU_ENTRIES = 2**24
_CPU_PARAMETERS = 2**18
"""Parameters of one stack: with gradients and moments 4 MB. The steps of an epoch find
them in the cache again; of larger networks each is a stack of its own."""
_ALIGNED = 64
"""Bytes: torch's own memory begins at a multiple, and an address may decide over the
last bit of a product."""
_LITTLE = 1e9
"""Bytes: what needs less is tried, whatever seems to be free."""
_MEMORY_SHARE = 0.5
"""Of the memory that is free when a stack is built, at most this much is planned."""


class Shard:
    """Trains runs that are open in this process.

    Args:
        x_train: Training rows, (N, F), float32 or float64.
        y_train: Their classes, (N,).
        x_valid: Validation rows.
        y_valid: Their classes.
        n_classes: Classes in all.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(
        self,
        x_train: NDArray[np.floating[Any]],
        y_train: NDArray[np.int64],
        x_valid: NDArray[np.floating[Any]],
        y_valid: NDArray[np.int64],
        n_classes: int,
        device: str,
    ) -> None:
        self._rows = Rows(
            _taken(x_train, device),
            _taken(y_train, device),
            _taken(x_valid, device),
            _taken(y_valid, device),
            n_classes,
        )
        self._members: dict[str, Member] = {}
        self._stacks: list[Stack] = []
        on_cpu = device == "cpu"
        self._entries = _CPU_ENTRIES if on_cpu else _GPU_ENTRIES
        self._parameters = _CPU_PARAMETERS if on_cpu else None

    def open(self, run: Run, state: State | None = None) -> None:
        """Take a run, from its start or from a state.

        Raises:
            MemoryError: If its network alone would not fit.
        """
        data = self._rows
        self._refuse_too_large(run.recipe)
        with torch.inference_mode(False):  # whatever our caller is in
            self._members[run.key] = Member(
                run, data.x_train.shape[1], data.n_classes, data.x_train, state
            )

    def advance(self, keys: Iterable[str]) -> dict[str, Outcome]:
        """Train these runs for one epoch; what came of each.

        A run whose training raises is told with its error, and the others are trained
        without it.
        """
        members = [self._members[key] for key in keys]
        found: dict[str, Outcome] = {}
        # Always one thread an operation: with another number, it rounds otherwise.
        with threads(1), torch.inference_mode(False):
            waiting = self._in_stacks(members)
            while waiting:
                self._train(waiting.pop(0), waiting, found)
        return found

    def save(self, key: str) -> State:
        """A run's whole state."""
        return self._members[key].save()

    def fitted(self, key: str) -> Fitted:
        """What a run has come to."""
        return self._members[key].fitted()

    def drop(self, key: str) -> None:
        """Let go of a run."""
        member = self._members.pop(key, None)
        self._stacks = [stack for stack in self._stacks if member not in stack.members]

    def _train(
        self,
        group: list[Member],
        waiting: list[list[Member]],
        found: dict[str, Outcome],
    ) -> None:
        """Train one stack; where it fails, put its halves in the queue.

        The runs are as they were: fewer at once fit, or the culprit is alone. One that
        is alone gets a second chance with the memory that all others give back.
        """
        metrics: list[Metrics] = []
        stack: Stack | None = None
        for chance in range(2):
            try:
                stack = self._stack(group)
                group, metrics = stack.members, stack.epoch()
                break
            except Exception as error:
                short = _is_out_of_memory(error)
                if len(group) == 1 and (chance or not short):
                    found[group[0].run.key] = error
                    return
            stack = None  # its memory is wanted
            if short:
                self._make_room()
            if len(group) > 1:
                if short:
                    # Half of what did not fit, so that it is not tried again.
                    had = self._entries_of(group)
                    self._entries = max(1, min(self._entries, had) // 2)
                half = len(group) // 2
                waiting[:0] = [group[:half], group[half:]]
                return
        for member, each in zip(group, metrics, strict=True):
            try:
                member.hear(each)
                found[member.run.key] = (each, member.over)
            except Exception as error:  # no memory for the best weights
                found[member.run.key] = error

    def _stack(self, group: list[Member]) -> Stack:
        """A stack of exactly these runs: one there is, or a new one."""
        wanted = {id(member) for member in group}
        for stack in self._stacks:
            if stack.is_home and {id(m) for m in stack.members} == wanted:
                return stack
        stack = Stack(group, self._rows)
        self._stacks = [old for old in self._stacks if old.is_home]
        self._stacks.append(stack)
        return stack

    def _in_stacks(self, members: list[Member]) -> list[list[Member]]:
        """Runs by batch size, as many together as the cache and memory allow.

        Whoever shared a stack before stays together, so that few are built anew.
        """
        wanted = {id(member) for member in members}
        homes = [stack for stack in self._stacks if stack.is_home]
        settled = {id(member) for stack in homes for member in stack.members}
        stays = [[m for m in s.members if id(m) in wanted] for s in homes]
        if settled == wanted:
            return stays
        groups: list[list[Member]] = []
        joining = [[member] for member in members if id(member) not in settled]
        for group in [*sorted(stays, key=len, reverse=True), *joining]:
            for other in groups:
                if group and _alike(other, group) and self._fits([*other, *group]):
                    other += group
                    break
            else:
                groups += [group] if group else []
        return groups

    def _fits(self, members: list[Member]) -> bool:
        """Whether a stack of these keeps to the cache, and to memory."""
        size = sum(m.size for m in members)
        if self._parameters and size > self._parameters:
            return False
        if self._entries_of(members) > self._entries:
            return False
        data = self._rows
        layers = max(len(m.widths) for m in members)
        n_rows, n_valid = len(data.y_train), min(VALIDATION_ROWS, len(data.y_valid))
        columns, logits = _columns_of(members), len(members) * data.n_classes
        step = self._entries_of(members)
        chunk = max(step, min(CHUNK, n_rows * max(columns, logits)))
        # Parameters, gradients, two moments, and a copy of all but the gradients; of
        # a layer z, a, their gradients, batch norm's two results and the mask; of a
        # chunk masks in the making, targets and losses; of validation rows three
        # matrices of a layer, logits and losses.
        entries = 7 * size + 8 * layers * step + 5 * chunk
        entries += n_valid * (3 * columns + 3 * logits)
        needed: int = entries * data.x_train.element_size()
        return needed < _MEMORY_SHARE * _free_bytes(data.x_train.device)

    def _refuse_too_large(self, recipe: Recipe) -> None:
        """Better one line than being killed by the system."""
        x = self._rows.x_train
        n_params, _ = parameter_count(recipe, x.shape[1], self._rows.n_classes)
        # Parameters, gradients, two moments, a copy to go back to, the best weights.
        needed, free = 8 * n_params * x.element_size(), _free_bytes(x.device)
        if needed > max(free, _LITTLE):
            raise MemoryError(
                f"a network of {n_params:,} parameters needs {needed / 1e9:.1f} GB to "
                f"train, {free / 1e9:.1f} GB are free; narrow width or n_layers"
            )

    def _entries_of(self, members: list[Member]) -> int:
        """Rows times columns of a layer, or of all logits where those are more."""
        batch = min(members[0].run.recipe.batch_size, len(self._rows.y_train))
        logits = len(members) * self._rows.n_classes
        return batch * max(_columns_of(members), logits)

    def _make_room(self) -> None:
        """Let go of all stacks; on a GPU, bring every run to the CPU, too."""
        self._stacks = []
        if self._rows.x_train.device.type == "cuda":
            for member in self._members.values():
                member.park()
            torch.cuda.empty_cache()


def _taken(array: NDArray[Any], device: str) -> torch.Tensor:
    """An array on the device; where products round as they do for every other copy."""
    tensor = torch.as_tensor(array).to(device)
    return tensor if tensor.data_ptr() % _ALIGNED == 0 else tensor.clone()


def _columns_of(members: list[Member]) -> int:
    """Columns of the widest layer of a stack, at most."""
    return sum(max(m.widths, default=0) for m in members)


def _alike(one: list[Member], other: list[Member]) -> bool:
    """Whether two groups of runs can share a stack."""
    return one[0].run.recipe.batch_size == other[0].run.recipe.batch_size


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # The CPU's allocator has no error type of its own.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _free_bytes(device: torch.device) -> float:
    """Memory that is to be had on a device."""
    if device.type == "cuda":
        # What torch keeps for itself is free, too.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + kept)
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        found = dict(line.split(":", 1) for line in lines)
        return 1024.0 * float(found["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        # Where the system does not say, running out is still noticed.
        return float("inf")
