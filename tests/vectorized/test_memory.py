"""Running out of memory: fewer runs at once, nothing lost, the same results."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tunekit.vectorized import VectorizedEngine, shard
from tunekit.vectorized.layout import Memory
from tunekit.vectorized.masks import Masks
from tunekit.vectorized.stack import Stack
from tunekit.vectorized.step import Step

from .conftest import (
    NARROW,
    SMALL_RUNS,
    Told,
    alone,
    assert_same,
    shard_of,
    train_here,
)

# Two stacks: twelve runs with one batch size, four with another.
RUNS = [
    replace(run, recipe=run.recipe.with_params({"batch_size": 16 if i < 12 else 30}))
    for i, run in enumerate(SMALL_RUNS[:16])
]
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: "
        "can't allocate memory: you tried to allocate 8 bytes"
    ),
]
# Where a stack is built, and where it is trained; all of them make tensors.
PLACES = [
    (Memory, "__init__"),
    (Memory, "take"),
    (Masks, "__init__"),
    (Step, "__init__"),
    (Masks, "begin"),
    (Masks, "of"),
    (Step, "steps"),
    (Step, "_step"),
    (Step, "_sums"),
    (Stack, "_logits"),
    (torch, "log_softmax"),
]


@pytest.fixture
def engine():
    for run in RUNS:
        alone(run)  # what is right, before a test breaks something
    return VectorizedEngine(*NARROW, "cpu", processes=1)


@pytest.fixture
def sizes(monkeypatch):
    """How many runs each stack that is built from now on holds, or would."""
    found, original = [], Stack.__init__

    def init(self, members, rows):
        found.append(len(members))
        original(self, members, rows)

    monkeypatch.setattr(Stack, "__init__", init)
    return found


class Shortage:
    """Raises at calls in the midst of building and training stacks.

    Args:
        calls: At which, counted over all places.
        error: What.
        alone: Whether a stack of one run runs out of memory too.
    """

    def __init__(self, calls, error, alone=False):
        self.count, self.hits = 0, 0
        self._calls, self._error, self._alone = calls, error, alone
        self._size = 0

    def __enter__(self):
        self._patch = pytest.MonkeyPatch()
        for where, name in PLACES:
            self._watch(where, name)
        self._patch.setattr(shard.Shard, "_train", self._note_size(shard.Shard._train))
        return self

    def __exit__(self, *exc_info):
        self._patch.undo()

    def _note_size(self, original):
        def train(here, group, *rest):
            self._size = len(group)
            try:
                return original(here, group, *rest)
            finally:
                self._size = 0

        return train

    def _watch(self, where, name):
        original = getattr(where, name)

        def watched(*args, **options):
            found = original(*args, **options)
            if self._size > (0 if self._alone else 1):
                self.count += 1
                if self.count in self._calls:
                    self.hits += 1
                    raise self._error
            return found

        self._patch.setattr(where, name, watched)


def assert_all_the_same(engine, slots=16):
    feed = Told(RUNS)
    engine.train_all(feed, slots)
    assert feed.errors == {}
    assert list(feed.curves) == [run.key for run in RUNS]
    for run in RUNS:
        assert_same(feed.fits[run.key], alone(run))


@pytest.fixture(scope="module")
def n_calls():
    """Chances to run out of memory while all runs are trained."""
    with Shortage((), None) as shortage:
        assert_all_the_same(VectorizedEngine(*NARROW, "cpu", processes=1))
    assert shortage.count > 100
    return shortage.count


@settings(max_examples=25)
@given(
    st.sets(st.floats(0, 1), min_size=1, max_size=4),
    st.sampled_from(ERRORS),
    st.sampled_from([16, 7]),
)
def test_memory_that_is_short_anywhere_changes_no_result(
    n_calls, moments, error, slots
):
    engine = VectorizedEngine(*NARROW, "cpu", processes=1)
    calls = {1 + round(moment * n_calls) for moment in moments}
    with Shortage(calls, error) as shortage:
        assert_all_the_same(engine, slots)
    assert shortage.hits or min(calls) > shortage.count


@pytest.mark.parametrize("call", [1, 4, 9, 60])
def test_a_run_that_stands_alone_is_given_the_memory_of_the_others(call):
    """Once room was made, it is tried again: it may be the others who took it."""
    here = shard_of(NARROW)
    for run in RUNS[:3]:
        here.open(run)
    big = replace(RUNS[3], recipe=RUNS[3].recipe.with_params({"batch_size": 59}))
    here.open(big)
    with Shortage({call}, ERRORS[0], alone=True) as shortage:
        for _ in range(2):
            found = here.advance([big.key])
            assert not isinstance(found[big.key], Exception)
            here.advance([run.key for run in RUNS[:3]])
    assert shortage.hits == 1
    assert_same(here.fitted(big.key), alone(big, 2))
    for run in RUNS[:3]:
        assert_same(here.fitted(run.key), alone(run, 2))


@pytest.mark.parametrize(
    ("error", "most"), list(zip(ERRORS, [1, 2, 5], strict=True)), ids=["1", "2", "5"]
)
@pytest.mark.parametrize("where", [Memory, Step], ids=["building", "training"])
def test_stacks_are_halved_until_they_fit(
    engine, monkeypatch, sizes, error, most, where
):
    name = "take" if where is Memory else "steps"
    original = getattr(where, name)

    def limited(self, *args):
        found = original(self, *args)
        if len(args[0] if name == "take" else self._members) > most:
            raise error
        return found

    monkeypatch.setattr(where, name, limited)
    assert_all_the_same(engine)
    assert max(sizes) == 12
    assert {12, 6, 3} <= set(sizes)
    # What did not fit is not tried again in every epoch.
    first_round = 2 * (12 + 4)
    assert len([n for n in sizes if n > most]) < first_round


def test_a_run_too_large_for_all_memory_fails_and_the_others_go_on(engine, monkeypatch):
    original = Memory.__init__

    def limited(self, members, *args):
        if any(member.run.key == RUNS[4].key for member in members):
            raise MemoryError
        original(self, members, *args)

    monkeypatch.setattr(Memory, "__init__", limited)
    feed = Told(RUNS)
    engine.train_all(feed, 16)
    assert set(feed.errors) == {RUNS[4].key}
    assert isinstance(feed.errors[RUNS[4].key], MemoryError)
    for run in RUNS[:4] + RUNS[5:]:
        assert_same(feed.fits[run.key], alone(run))


# --- Memory that is known to be small -----------------------------------------------


def needed(members, rows):
    """A stack's parameters with gradients and moments: the least that it holds."""
    return 4 * sum(member.size for member in members) * 8


def test_with_much_memory_twelve_small_runs_are_one_stack(engine, monkeypatch, sizes):
    monkeypatch.setattr(shard, "_free_bytes", lambda device: 1e12)
    assert_all_the_same(engine)
    assert sizes == [12, 4]


@pytest.mark.parametrize("free", [0, 3e5, 6e5, 1e6])
def test_stacks_are_cut_where_memory_is_small(monkeypatch, free):
    monkeypatch.setattr(shard, "_free_bytes", lambda device: free)
    held, original = [], Stack.__init__

    def init(self, members, rows):
        original(self, members, rows)
        held.append((len(members), needed(members, rows)))

    monkeypatch.setattr(Stack, "__init__", init)
    assert_all_the_same(VectorizedEngine(*NARROW, "cpu", processes=1))
    assert len(held) > 2
    assert all(n == 1 or n_bytes < free for n, n_bytes in held)
    if free == 0:
        assert {n for n, _ in held} == {1}
    else:
        assert max(n for n, _ in held) > 1


def test_a_stack_that_stands_stays_when_memory_shrinks(monkeypatch, sizes):
    """It has what it needs; who joins later gets what is left."""
    free = [1e12]
    monkeypatch.setattr(shard, "_free_bytes", lambda device: free[0])
    here = shard_of(NARROW)
    for run in RUNS[:10]:
        here.open(run)
    train_here(here, [run.key for run in RUNS[:10]], epochs=2)
    assert sizes == [10]
    free[0] = 0.0
    train_here(here, [run.key for run in RUNS[:10]], epochs=1)
    assert sizes == [10]
    for run in RUNS[10:12]:
        here.open(run)
    train_here(here, [run.key for run in RUNS[:12]], epochs=1)
    assert sizes == [10, 1, 1]
    for i, run in enumerate(RUNS[:12]):
        assert_same(here.fitted(run.key), alone(run, 4 if i < 10 else 1))


def test_what_others_leave_is_one_stack_again(monkeypatch, sizes):
    monkeypatch.setattr(shard, "_CPU_ENTRIES", 16 * 50)
    here = shard_of(NARROW)
    for run in RUNS[:12]:
        here.open(run)
    train_here(here, [run.key for run in RUNS[:12]], epochs=1)
    assert len(sizes) > 2
    stay = sorted(RUNS[:12], key=lambda run: run.recipe.width)[:3]
    for run in RUNS[:12]:
        if run not in stay:
            here.drop(run.key)
    sizes.clear()
    train_here(here, [run.key for run in stay], epochs=1)
    assert sizes == [3]
    for run in stay:
        assert_same(here.fitted(run.key), alone(run, 2))


def test_a_layer_keeps_to_the_cache(monkeypatch, sizes):
    """At most so many entries in a stack's layer, unless one run has more."""
    monkeypatch.setattr(shard, "_CPU_ENTRIES", 16 * 50)
    here = shard_of(NARROW)
    for run in RUNS[:12]:
        here.open(run)
    train_here(here, [run.key for run in RUNS[:12]])
    widths = [run.recipe.width for run in RUNS[:12]]
    assert sum(sizes) == 12
    assert len(sizes) >= sum(widths) // 50
    for run in RUNS[:12]:
        assert_same(here.fitted(run.key), alone(run))


def test_large_networks_are_stacks_of_their_own(monkeypatch, sizes):
    """At most so many parameters in a stack, unless one run has more."""
    here = shard_of(NARROW)
    for run in RUNS[:12]:
        here.open(run)
    members = sorted(here._members.values(), key=lambda m: m.size)
    limit = members[5].size
    here._parameters = limit
    stacks = []
    monkeypatch.setattr(
        shard, "Stack", lambda group, rows: stacks.append(group) or Stack(group, rows)
    )
    train_here(here, [run.key for run in RUNS[:12]])
    assert sum(map(len, stacks)) == 12
    assert any(len(group) > 1 for group in stacks)
    for group in stacks:
        assert len(group) == 1 or sum(m.size for m in group) <= limit
    for run in RUNS[:12]:
        assert_same(here.fitted(run.key), alone(run))


@pytest.mark.parametrize(
    "text", [None, "", "MemTotal: 8 kB\n", "MemAvailable: 2000 kB"]
)
def test_free_memory_is_a_number_of_bytes(monkeypatch, text):
    """Where the system does not say, nothing is planned by it."""

    def read_text(path, encoding):
        if text is None:
            raise OSError
        return text

    monkeypatch.setattr(shard.Path, "read_text", read_text)
    free = shard._free_bytes(torch.device("cpu"))
    assert free == (2_048_000 if text and "Available" in text else float("inf"))


def test_a_network_that_fits_nowhere_fails_alone(monkeypatch):
    """In one line, before the system kills everybody."""
    monkeypatch.setattr(shard, "_free_bytes", lambda device: 2e9)
    huge = replace(RUNS[0], recipe=replace(RUNS[0].recipe, width=65_536, n_layers=2))
    feed = Told([RUNS[1], replace(huge, key="huge"), RUNS[2]])
    VectorizedEngine(*NARROW, "cpu", processes=1).train_all(feed, 3)
    assert [*feed.errors] == ["huge"]
    assert "GB are free; narrow width or n_layers" in str(feed.errors["huge"])
    for run in (RUNS[1], RUNS[2]):
        assert_same(feed.fits[run.key], alone(run))


def test_nothing_is_kept_of_a_run_that_was_let_go():
    here = shard_of(NARROW)
    for run in RUNS[:3]:
        here.open(run)
    train_here(here, [run.key for run in RUNS[:3]], epochs=2)
    member = weakref.ref(here._members[RUNS[1].key])
    assert member() is not None
    here.drop(RUNS[1].key)
    gc.collect()
    assert member() is None
    train_here(here, [RUNS[0].key, RUNS[2].key])
    assert_same(here.fitted(RUNS[0].key), alone(RUNS[0]))
