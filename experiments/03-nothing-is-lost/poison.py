"""Pickles that would write a file, wherever tunekit reads one."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from commands import NAME, Done, command, forked, predict, report, study
from damage import Folders

from tunekit.study import main as study_main

__all__ = ["measure"]

_ARGUMENTS = command(12, 12)
_FILES = ("study.toml", "split.json", "journal.log", "journal.copy", "final.json")


class _Poison:
    """Opens a file for writing when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.mark), "w")


def measure(work: Path) -> dict[str, Any]:
    """Try every place with a bare pickle and one in torch's format."""
    folders = Folders(work)
    mark = work / "written-by-a-pickle"
    poison = _Poison(mark)
    in_torch = io.BytesIO()
    torch.save({"state_dict": poison}, in_torch)
    kinds = {"pickle": pickle.dumps(poison), "torch": in_torch.getvalue()}
    pickle.loads(kinds["pickle"])
    assert mark.exists(), "the poison must work"
    mark.unlink()
    cases = []
    faults: list[str] = []
    for kind, content in kinds.items():
        for what, act in _cases(folders, content, poison):
            done = act()
            wrote = mark.exists()
            mark.unlink(missing_ok=True)
            outcome = "ignored" if done.code == 0 else "refused"
            if wrote or done.broke:
                faults.append(f"{what}, {kind}: {done.code}, {done.told[-300:]}")
                outcome = "RUN" if wrote else "no clear line"
            cases.append({"what": what, "kind": kind, "outcome": outcome})
            print(cases[-1], flush=True)
    return {"cases": cases, "faults": faults}


def _cases(
    folders: Folders, content: bytes, poison: _Poison
) -> Iterator[tuple[str, Callable[[], Done]]]:
    here = folders.copy("half")
    for path in (here / NAME / "checkpoints").iterdir():
        path.write_bytes(content)
    yield "all checkpoints, study", lambda: study(here, _ARGUMENTS)
    for fitting in ("", " with fitting checksum"):
        folders.copy("finished")
        model = here / NAME / "model"
        (model / "model.safetensors").write_bytes(content)
        if fitting:
            sums = json.loads((model / "checksums.json").read_text())
            sums["model.safetensors"] = hashlib.sha256(content).hexdigest()
            (model / "checksums.json").write_text(json.dumps(sums))
        for name, act in _commands(folders, here):
            yield f"model{fitting}, {name}", act
    for name in _FILES:
        for what in ("study", "report", "predict"):
            folders.copy("finished")
            (here / NAME / name).write_bytes(content)
            yield f"{name}, {what}", dict(_commands(folders, here))[what]
    folders.copy("finished")
    _plant(here / NAME / "journal.log", content.hex())
    (here / NAME / "journal.copy").unlink()
    for name, act in _commands(folders, here):
        yield f"a sampler's state in the journal, {name}", act
    more = command(14, 12, "--sampler", "cmaes")
    shutil.rmtree(here)
    study(here, command(12, 12, "--sampler", "cmaes"))
    _plant(here / NAME / "journal.log", content.hex())
    (here / NAME / "journal.copy").unlink()
    yield "a state of CMA-ES in the journal, study", lambda: study(here, more)
    rows = folders.work / "poison.npz"
    np.savez(rows, X=np.array([poison], dtype=object), y=np.array([0]))
    out = folders.work / "npz"
    table = ["--data", str(rows), "--target", "y"]
    yield "npz table, study", lambda: study(out, [*table, *_ARGUMENTS])
    folders.copy("finished")
    yield (
        "npz table, predict",
        lambda: predict(here / NAME, rows, folders.work / "poison.csv"),
    )
    checkpoint = folders.work / "lightning.ckpt"
    checkpoint.write_bytes(content)
    yield "Lightning checkpoint", lambda: forked(_load, [str(checkpoint)])


def _commands(folders: Folders, here: Path) -> list[tuple[str, Callable[[], Done]]]:
    folder = here / NAME
    out = folders.work / "poison.csv"
    return [
        ("predict", lambda: predict(folder, folders.rows, out)),
        ("report", lambda: report(folder)),
        (
            "warm start",
            lambda: forked(
                study_main,
                [
                    *("--out", str(folders.work / "warm"), *command(2, 2)),
                    *("--warm-start", str(folder)),
                ],
                before=lambda: shutil.rmtree(folders.work / "warm", True),
            ),
        ),
        ("study", lambda: study(here, _ARGUMENTS)),
    ]


def _plant(journal: Path, state: str) -> None:
    """What CMA-ES of Optuna would unpickle, on every trial."""
    with journal.open("a") as file:
        for number in range(12):
            for key in ("cma:optimizer", "cma:optimizer:0", "cma:n=2:optimizer:0"):
                log = {
                    **{"op_code": 9, "worker_id": "x", "trial_id": number},
                    "system_attr": {key: state},
                }
                file.write(json.dumps(log, separators=(",", ":")) + "\n")


def _load(arguments: list[str]) -> int:
    """Load a Lightning checkpoint as the command line would: one line when refused."""
    import sys

    from tunekit import LitMLP
    from tunekit.errors import TunekitError

    try:
        LitMLP.load_from_checkpoint(arguments[0])
    except TunekitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
