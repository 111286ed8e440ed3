"""What tunekit comes to where it may train for as many epochs as the other script.

Of so many trials it trains a quarter of their epochs, unless told otherwise, which is
less than the script written by hand. So its own is run once more with that one argument
changed, and over several seeds, as the other draws anew every time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forked import script
from search import HERE, SCRIPTS, came_to, fresh, trials_of

__all__ = ["measure"]

_N_TRIALS, _EPOCHS = 20, 110
"""So many epochs as twenty trials of the other script come to, or a few less."""
_BUDGETS = {
    "n_trials=20": "n_trials=n_trials",
    f"budget_epochs={_EPOCHS}": f"budget_epochs={_EPOCHS}",
}


def measure(work: Path, seeds: int) -> dict[str, Any]:
    """Both budgets, seed by seed."""
    found: dict[str, Any] = {}
    faults: list[str] = []
    text = (HERE / SCRIPTS["by tunekit"]).read_text("utf-8")
    for name, budget in _BUDGETS.items():
        runs = []
        for seed in range(seeds):
            changed = text.replace("n_trials=n_trials", f"{budget}, seed={seed}")
            assert changed != text
            path = work / "changed.py"
            path.write_text(changed, encoding="utf-8")
            folder = fresh(work / "out")
            done = script(path, folder, _N_TRIALS, 0)
            if done.code:
                faults.append(f"{name}: {done.code}: {done.told[-300:]}")
                continue
            came = came_to(trials_of(folder), done)
            runs.append({"seconds": round(done.seconds, 1), **came})
        found[name] = runs
        print(name, runs, flush=True)
    return {"budgets": found, "faults": faults}
