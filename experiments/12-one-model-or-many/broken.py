"""One model watched that is killed again and again, and one that a person steers."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lab

__all__ = ["killed", "steered"]

_KILLS = 5
_WANTED = 0.0007

Report = dict[str, Any]


def killed(asked: lab.Asked) -> Report:
    """The same model, killed again and again and never."""
    kills, epochs = (1, 30) if asked.quick else (_KILLS, 200)
    found = []
    for seed in range(2 if asked.quick else 3):
        with tempfile.TemporaryDirectory() as out:
            whole, broken = Path(out) / "whole", Path(out) / "broken"
            began = time.monotonic()
            _run(whole, seed, epochs)
            seconds = time.monotonic() - began
            drawn, done = random.Random(seed), 0
            while done < kills:
                # Early enough that five times do not come to the end.
                if not _run(broken, seed, epochs, drawn.uniform(0.1, 0.4) * seconds):
                    break
                done += 1
            _run(broken, seed, epochs)
            a, b = (_told(each / "model-0") for each in (whole, broken))
            model = "model/model.safetensors"
            same = (whole / "model-0" / model).read_bytes() == (
                broken / "model-0" / model
            ).read_bytes()
            found.append(
                {
                    "seed": seed,
                    "kills": done,
                    "rounds": len(a),
                    "rounds that differ": sum(
                        x != y for x, y in zip(a, b, strict=False)
                    )
                    + abs(len(a) - len(b)),
                    "same weights": same,
                }
            )
            asked.say(f"killed {done} times, seed {seed}")
    return {"runs": found}


def steered(asked: lab.Asked) -> Report:
    """A person steps in while it runs, rightly and then wrongly."""
    from tunekit.babysit.steer import FILE

    found = []
    for seed in range(2 if asked.quick else 3):
        with tempfile.TemporaryDirectory() as out:
            folder = Path(out) / "steered"
            command = _command(Path(out), "steered", seed, 400)
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            for text, heard in (
                (f"lr = {_WANTED}\n", "edit"),
                ("lr = -1\n", "refused"),
            ):
                begun = _rounds_after(folder, process)
                _rounds_after(folder, process, begun + 3)
                (folder / FILE).write_text(text, "utf-8")
                while not any(heard in line for line in _told(folder)):
                    _running(process)
            if process.wait():
                raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
            lines = _told(folder)
        right = next(i for i, line in enumerate(lines) if "edit" in line)
        wrong = next(i for i, line in enumerate(lines) if "refused" in line)
        later = [
            b["settings"]["lr"] for line in lines[wrong + 1 :] for b in line["branches"]
        ]
        found.append(
            {
                "seed": seed,
                "after epochs": lines[right]["spent"],
                "lr of the next round": lines[right + 1]["branches"][0]["settings"][
                    "lr"
                ],
                "refused": lines[wrong]["refused"],
                "rounds after it": len(lines) - wrong - 1,
                "lowest lr after it": min(later),
            }
        )
        asked.say(f"steered, seed {seed}")
    return {"wanted": _WANTED, "runs": found}


def _run(out: Path, seed: int, epochs: int, kill_after: float | None = None) -> bool:
    """The command; whether it was killed before it ended."""
    command = _command(out, "model-0", seed, epochs)
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        code = process.wait(kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    return False


def _rounds_after(
    folder: Path, process: subprocess.Popen[bytes], least: int = 1
) -> int:
    """Rounds in the history, once there are so many."""
    while (done := sum("round" in line for line in _told(folder))) < least:
        _running(process)
    return done


def _running(process: subprocess.Popen[bytes]) -> None:
    """Wait a little, for what goes on."""
    if process.poll() is not None:
        raise SystemExit(
            f"it ended before a person could step in: {process.returncode}"
        )
    time.sleep(0.01)


def _command(out: Path, name: str, seed: int, epochs: int) -> list[str]:
    command = [sys.executable, "-m", "tunekit.babysit", "--out", str(out)]
    command += ["--name", name, "--seed", str(seed), "--accelerator", "cpu"]
    return [*command, "--budget-epochs", str(epochs)]


def _told(folder: Path) -> list[Any]:
    """The history; a line that is being written is none yet."""
    path = folder / "history.jsonl"
    text = path.read_text("utf-8") if path.exists() else ""
    return [
        json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"
    ]
