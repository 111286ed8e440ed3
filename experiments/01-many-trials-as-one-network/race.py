"""A race: contestants train the same load in turn, A B C D, A B C, …

Each in a fresh process. The search's time counts from after the imports and the data's
loading to the end of the last trial, and is measured inside the process; ratios are
taken between runs of the same turn, which the machine's moods hit alike.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from by_sklearn import expressible
from loads import Load, prepare
from roofline import floor_seconds
from watched import Watched, run

__all__ = ["AIMS", "CONTESTANTS", "median", "race", "spread"]

HERE = Path(__file__).resolve().parent
CONTESTANTS: dict[str, list[str]] = {
    "vectorized": ["by_tunekit.py", "vectorized"],
    "idiomatic": ["idiomatic.py"],
    "sklearn": ["by_sklearn.py"],
    "lightning": ["by_tunekit.py", "lightning"],
}
_ONCE = ("lightning",)
"""For information: in the first turn alone."""
_SUBSET = "vectorized, subset"
"""The engine on those configurations alone that scikit-learn has by name."""
AIMS: dict[str, dict[str, float]] = {
    "digits-small": {"idiomatic": 20, "sklearn": 3, "pss_mb": 1500},
    "digits-default": {"idiomatic": 6, "sklearn": 2, "pss_mb": 1500, "share": 0.5},
    "mnist": {"idiomatic": 1.5, "pss_mb": 3000, "share": 0.5},
}
"""How many times faster, how much memory at most, which share of the roofline."""


def race(
    load: Load,
    contestants: Sequence[str],
    *,
    repeats: int,
    tables: Path | None,
    quick: bool,
    save: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Run it.

    Args:
        load: What is trained.
        contestants: Names of ``CONTESTANTS``, in order.
        repeats: Turns.
        tables: The folder of tables that do not come along.
        quick: Whether the machine is measured but roughly.
        save: Hears of the result after every turn.

    Returns:
        What ``report.json`` holds of it.
    """
    runs: dict[str, list[dict[str, Any]]] = {}
    machine: list[dict[str, Any]] = []
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = prepare(load, folder, tables)
        subset = _subset(job, folder) if "sklearn" in contestants else None
        memory = _once(load.name, "vectorized", folder, pss=True)
        for turn in range(repeats):
            for each in contestants:
                if turn and each in _ONCE:
                    continue
                runs.setdefault(each, []).append(_once(load.name, each, folder))
            if subset:
                again = _once(load.name, "vectorized", subset)
                runs.setdefault(_SUBSET, []).append(again)
            machine.append(_measure(folder, quick=quick))
            result = {
                "configurations": load.n,
                "epochs": load.epochs,
                "space": dict(load.space),
                "shape": job["shape"],
                "seed": job["seed"],
                "repeats": turn + 1,
                "contestants": {each: summary(of) for each, of in runs.items()},
                "ratios": _ratios(runs, job),
                "memory_pss_mb": memory["pss_mb"] and round(memory["pss_mb"]),
                "roofline": _roofline(job, runs["vectorized"], machine),
                "aims": AIMS.get(load.name, {}),
            }
            save(result)
    return result


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The medians of a contestant's runs, and what its trials came to in the first."""
    losses = [trial["best_val_loss"] for trial in runs[0]["trials"]]
    finite = [loss for loss in losses if loss is not None]
    return {
        "seconds_search": spread([each["seconds_search"] for each in runs]),
        "seconds_process": spread([each["seconds"] for each in runs]),
        "cpu_seconds": median([each["cpu_seconds"] for each in runs]),
        "rss_mb": round(max((each["rss_mb"] or 0.0) for each in runs)) or None,
        "trial_epochs": sum(trial["epochs"] for trial in runs[0]["trials"]),
        "median_best_val_loss": median(finite) if finite else None,
        "never_finite": len(losses) - len(finite),
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, least, most, and all of them."""
    return {
        "median": median(values),
        "min": _short(min(values)),
        "max": _short(max(values)),
        "all": [_short(value) for value in values],
    }


def median(values: Sequence[float]) -> float:
    """The median, to five digits."""
    return _short(statistics.median(values))


def _short(value: float) -> float:
    """To five digits: no clock here is better."""
    return float(f"{value:.5g}")


def once(
    label: str, script: Sequence[str], folder: Path, *, pss: bool = False
) -> dict[str, Any]:
    """One contestant's run of the load in ``folder``: its own result and its cost."""
    result = folder / "result.json"
    program, *arguments = script
    command = [sys.executable, str(HERE / program), *arguments]
    cost: Watched = run([*command, str(folder / "job.json"), str(result)], pss=pss)
    found = json.loads(result.read_text("utf-8"))
    result.unlink()
    print(f"{label}: {found['seconds_search']:.1f} s", flush=True)
    return {**found, **vars(cost)}


def _once(load: str, name: str, folder: Path, *, pss: bool = False) -> dict[str, Any]:
    what = " (memory)" if pss else ""
    return once(f"{load} {name}{what}", CONTESTANTS[name], folder, pss=pss)


def _subset(job: dict[str, Any], folder: Path) -> Path | None:
    """A folder with those configurations alone that scikit-learn has by name."""
    kept = [place for place, each in enumerate(job["recipes"]) if expressible(each)]
    if not kept:
        return None
    within = folder / "subset"
    within.mkdir()
    lists = {key: [job[key][place] for place in kept] for key in ("params", "recipes")}
    (within / "job.json").write_text(json.dumps({**job, **lists}), encoding="utf-8")
    return within


def _measure(folder: Path, *, quick: bool) -> dict[str, Any]:
    """This machine's peak and bandwidth, now, in a process of its own."""
    result = folder / "machine.json"
    flags = ["--quick"] if quick else []
    run([sys.executable, str(HERE / "roofline.py"), "measure", str(result), *flags])
    found: dict[str, Any] = json.loads(result.read_text("utf-8"))
    return found


def _ratios(
    runs: dict[str, list[dict[str, Any]]], job: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """How many times longer each takes than the engine, turn by turn."""
    ours = [each["seconds_search"] for each in runs["vectorized"]]
    found = {
        name: spread([b["seconds_search"] / a for a, b in zip(ours, of, strict=False)])
        for name, of in runs.items()
        if name not in ("vectorized", _SUBSET)
    }
    if _SUBSET in runs:
        kept = [place for place, r in enumerate(job["recipes"]) if expressible(r)]
        found["sklearn, subset"] = spread(
            [
                sum(peer["trials"][place]["seconds"] for place in kept)
                / mine["seconds_search"]
                for mine, peer in zip(runs[_SUBSET], runs["sklearn"], strict=True)
            ]
        ) | {"configurations": len(kept)}
    return found


def _roofline(
    job: dict[str, Any],
    runs: Sequence[dict[str, Any]],
    machine: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Which share of its roofline the engine reaches, turn by turn."""
    floors = [floor_seconds(job, each) for each in machine]
    spent = [each["seconds_search"] for each in runs]
    return {
        "peak_gflops": median([each["peak_gflops"] for each in machine]),
        "bandwidth_gbs": median([each["bandwidth_gbs"] for each in machine]),
        "products_seconds": median([each["products"] for each in floors]),
        "optimizer_seconds": median([each["optimizer"] for each in floors]),
        "share": spread(
            [
                (floor["products"] + floor["optimizer"]) / seconds
                for floor, seconds in zip(floors, spent, strict=True)
            ]
        ),
    }
