"""A study folder, open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up import create, reopen

from tunekit.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = reopen(create(tmp_path / "s"))
    yield made
    made.release_all()
