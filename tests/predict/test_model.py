"""The folder of a model, replaced by two processes at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import sys
from pathlib import Path
from tunekit.predict.model import _swap
folder, who = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for n in range(300):
    new = folder / f".model-{who}-{n}"
    new.mkdir()
    (new / "whose").write_text(who)
    _swap(new, folder / "model")
"""


def test_two_savers_at_once_leave_one_whole_model(tmp_path: Path) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, str(tmp_path), who],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for who in "ab"
    ]
    for each in both:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in both:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    said = [each.communicate(timeout=240)[1] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "whose").read_text() in ("a", "b")
