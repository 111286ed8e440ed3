"""Lines with checksums: any damage is seen, and Optuna's own are accepted."""

from __future__ import annotations

import json
import random
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tunekit.lines import creations, is_whole, opened, repaired, sealed

LOG = {
    "op_code": 7,
    "worker_id": "w-1",
    "trial_id": 3,
    "step": 2,
    "intermediate_value": 0.4375,
}


def test_what_is_sealed_opens_again() -> None:
    for value in (0.1, float("inf"), -1e-300, 3):
        log = {**LOG, "intermediate_value": value}
        assert opened(sealed(log)) == log
        assert is_whole(sealed(log))


def test_every_flipped_bit_and_every_cut_is_seen() -> None:
    line = sealed(LOG)
    for at in range(len(line)):
        for bit in range(8):
            damaged = bytearray(line)
            damaged[at] ^= 1 << bit
            assert opened(bytes(damaged)) is None
        assert opened(line[:at]) is None


def test_every_changed_byte_is_put_right() -> None:
    line = sealed(LOG)
    draw = random.Random(3)
    for at in range(len(line) - 1):
        damaged = bytearray(line)
        damaged[at] ^= draw.randrange(1, 256)
        assert repaired(bytes(damaged)) == line


def test_what_is_no_line_with_one_byte_changed_stays_damaged() -> None:
    line = sealed(LOG)
    draw = random.Random(4)
    assert repaired(b"") is repaired(b"\n") is repaired(line[:-1]) is None
    assert repaired(line[1:]) is None
    for _ in range(2000):
        damaged = bytearray(line)
        for at in draw.sample(range(len(line)), draw.randrange(2, 9)):
            damaged[at] ^= draw.randrange(1, 256)
        assert repaired(bytes(damaged)) is None


def test_a_line_says_its_checksum_last_and_is_json(tmp_path: Path) -> None:
    *rest, last = json.loads(sealed(LOG)).items()
    assert dict(rest) == LOG
    assert last[0] == "crc32"


@pytest.mark.parametrize(
    "log",
    [
        [],
        "text",
        {},
        {**LOG, "op_code": 99},
        {**LOG, "op_code": True},
        {**LOG, "ster": 2},
        {**LOG, "intermediate_value": "0.4"},
        {key: LOG[key] for key in LOG if key != "trial_id"},
    ],
)
def test_a_line_without_checksum_must_be_as_optuna_writes_it(log: object) -> None:
    assert opened(json.dumps(LOG).encode() + b"\n") == LOG
    assert opened(json.dumps(log).encode() + b"\n") is None


def test_all_that_optuna_writes_is_accepted(tmp_path: Path) -> None:
    backend = JournalFileBackend(str(tmp_path / "j"))
    study = optuna.create_study(storage=JournalStorage(backend))
    study.set_user_attr("a", {"b": [1]})
    study.enqueue_trial({"x": 0.5})
    study.optimize(
        lambda trial: (
            trial.report(1.0, 0) or trial.suggest_float("x", 0, 1) if trial else 0.0
        ),
        n_trials=3,
    )
    study.add_trial(study.trials[0])
    study.add_trial(optuna.create_trial(state=optuna.trial.TrialState.FAIL))
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    assert [opened(line) for line in lines] == [json.loads(line) for line in lines]
    assert creations(b"".join(lines)) == 5


def test_random_bytes_are_no_lines() -> None:
    draw = random.Random(0)
    for _ in range(200):
        assert not is_whole(draw.randbytes(draw.randrange(200)) + b"\n")
