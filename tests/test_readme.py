"""README's blocks of Python run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from forked import python

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"<!-- test -->\n```python\n(.*?)```", README, re.DOTALL)


def test_readme_has_blocks() -> None:
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block_runs(tmp_path: Path, number: int) -> None:
    done = python("-c", BLOCKS[number], cwd=tmp_path, warn="default", timeout=600)
    assert done.returncode == 0, done.stderr


def test_commands_named_in_readme_exist() -> None:
    for module in set(re.findall(r"python -m (tunekit\.\w+)", README)):
        done = subprocess.run(
            [sys.executable, "-m", module, "--help"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (module, done.stderr)
        assert "usage" in done.stdout
