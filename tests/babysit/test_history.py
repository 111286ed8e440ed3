"""The file that a history is, read from either end."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tunekit.babysit import history
from tunekit.babysit.history import History
from tunekit.babysit.schedule import check_known, schedule_of
from tunekit.errors import ResumeError


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 20])
def test_backwards_it_says_the_same(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_BLOCK", block)
    rng, found = random.Random(0), History(tmp_path / "history.jsonl")
    assert [*found] == [*found.backwards()] == []
    lines = [{"n": n, "text": "ä" * rng.randrange(40)} for n in range(50)]
    sizes = [found.append([line]) for line in lines]
    assert sizes == sorted(set(sizes))
    assert [*found] == lines
    assert [*found.backwards()] == lines[::-1]
    found.cut(sizes[9])
    assert [*found] == lines[:10]


@pytest.mark.parametrize("damage", [b"\xff", b"{", b"[" * 5000, b"7"])
def test_a_damaged_line_is_left_out_and_no_other(tmp_path: Path, damage: bytes) -> None:
    found = History(tmp_path / "history.jsonl")
    found.append([{"n": n} for n in range(3)])
    first, _, last = found.path.read_bytes().splitlines(keepends=True)
    found.path.write_bytes(first + damage + b"\n" + last + b'{"torn": ')
    assert [*found] == [{"n": 0}, {"n": 2}]
    assert [*found.backwards()] == [{"n": 2}, {"n": 0}]


def test_it_must_tell_the_way_to_every_checkpoint_that_may_be_gone_on_from() -> None:
    def line(number: int, source: str) -> dict[str, object]:
        branch = {"from": source, "to": f"{number}-0", "settings": {}, "val": [1.0]}
        return {"round": number, "branches": [branch]}

    lines = [line(1, ""), line(2, "1-0"), {"edit": {}, "spent": 2}, line(3, "2-0")]
    check_known(reversed(lines), {"3-0", "2-0", ""})
    assert [each.round for each in schedule_of(reversed(lines), "3-0")] == [1, 2, 3]
    assert schedule_of(reversed(lines), "") == []
    for missing in (0, 1):
        with pytest.raises(ResumeError, match=f"how checkpoint {missing + 1}-0 came"):
            check_known(reversed(lines[:missing] + lines[missing + 1 :]), {"3-0"})
        with pytest.raises(ResumeError, match=f"how checkpoint {missing + 1}-0 came"):
            schedule_of(reversed(lines[:missing] + lines[missing + 1 :]), "3-0")
