"""Tables and configurations made at random from valid ones."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutants
from commands import forked, predict

from tunekit.study import main as study_main

__all__ = ["measure", "tried"]

_BATCH = 50


def measure(work: Path, n: int, n_trained: int, seed: int) -> dict[str, Any]:
    """Plan ``n`` studies with ``--dry-run``; train some of the accepted ones."""
    codes: Counter[str] = Counter()
    faults: list[str] = []
    accepted = []
    for first in range(0, n, _BATCH):
        out = work / "batch.jsonl"
        out.unlink(missing_ok=True)
        cases = range(first, min(n, first + _BATCH))
        done = forked(_batch(work, cases, seed, out), [], patience=300)
        if done.code != 0:
            faults.append(f"batch {first}: {done.code}: {done.told[-300:]}")
        for line in out.read_text("utf-8").splitlines() if out.exists() else []:
            case = json.loads(line)
            codes[str(case["code"])] += 1
            if case["code"] == 0:
                accepted.append(case["number"])
            if case["fault"]:
                faults.append(f"{case['number']}: {case['fault']}")
        print(first, dict(codes), faults[-1:], flush=True)
    trained: Counter[str] = Counter()
    for number in random.Random(seed).sample(accepted, min(n_trained, len(accepted))):
        _train(work, number, seed, trained, faults)
    print(dict(trained), flush=True)
    return {
        "cases": n,
        "seed": seed,
        "codes": dict(sorted(codes.items())),
        "trained": dict(sorted(trained.items())),
        "faults": faults,
    }


def tried(work: Path, number: int, seed: int) -> tuple[int, str]:
    """Plan one case, in this process: its exit code, and what is wrong with it."""
    arguments = [*_written(work, number, seed), "--dry-run"]
    told, errors = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(errors):
            code = study_main(arguments)
    except BaseException:
        return 1, traceback.format_exc()[-600:]
    said = errors.getvalue()
    if code not in (0, 2, 3):
        return code, f"code {code}"
    if code and not (said.startswith("error: ") and said.count("\n") == 1):
        return code, f"no clear line: {said[-300:]}"
    if "\x1b[31m" in told.getvalue() + said or len(said) > 1500:
        return code, f"an unfit line: {said[:300]!r}"
    return code, ""


def _batch(
    work: Path, cases: range, seed: int, out: Path
) -> Callable[[list[str]], int]:
    def run(_: list[str]) -> int:
        with out.open("a", encoding="utf-8") as file:
            for number in cases:
                code, fault = tried(work, number, seed)
                case = {"number": number, "code": code, "fault": fault}
                file.write(json.dumps(case) + "\n")
        return 0

    return run


def _written(work: Path, number: int, seed: int) -> list[str]:
    """The files of a case, and the arguments that name them."""
    draw = random.Random(f"{seed} {number}")
    (work / "t.csv").write_bytes(mutants.table(draw))
    (work / "c.toml").write_text(mutants.settings(draw), "utf-8")
    return [
        *("--config", str(work / "c.toml"), "--data", str(work / "t.csv")),
        *("--target", "y", "--out", str(work / "out")),
    ]


def _train(
    work: Path, number: int, seed: int, trained: Counter[str], faults: list[str]
) -> None:
    """A short study of a case, from its start to predictions."""
    arguments = _written(work, number, seed)
    shutil.rmtree(work / "out", ignore_errors=True)
    short = ["--n-trials", "3", "--max-epochs", "2", "--final-seeds", "1"]
    done = forked(study_main, [*arguments, *short])
    trained[f"study: {done.code}"] += 1
    if done.broke:
        faults.append(f"{number} trained: {done.code}: {done.told[-300:]}")
    if done.code == 0:
        (folder,) = [p.parent for p in (work / "out").glob("*/study.toml")]
        done = predict(folder, work / "t.csv", work / "predicted.csv")
        trained[f"predict: {done.code}"] += 1
        if done.broke:
            faults.append(f"{number} predicted: {done.code}: {done.told[-300:]}")
