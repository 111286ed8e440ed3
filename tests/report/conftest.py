"""A study folder, made by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tunekit.files import write_sealed

NAN = math.nan
SETTINGS = """
n_trials = 12
max_epochs = 4
seed = 7
timeout = "10m"
[space]
lr = { scale = "log", low = 1e-4, high = 0.1 }
optimizer = ["sgd", "adam"]
momentum = { scale = "one-minus-log", low = 0.5, high = 0.99 }
width = { scale = "int-log", low = 16, high = 128 }
label_smoothing = 0.0
"""


def make_study(
    folder: Path,
    curves: Sequence[Sequence[float]],
    *,
    pruned: Sequence[int] = (),
    failed: Sequence[int] = (),
    final: bool = True,
    classes: Sequence[Any] = (0, 1, 2),
    settings: str = SETTINGS,
    text: str = "plain",
    study_name: str | None = None,
    finished: bool | None = None,
    n_seeds: int = 2,
    **more: Any,
) -> Path:
    """A study folder whose trial i recorded ``curves[i]``; ``text`` gets everywhere.

    ``more`` gets into ``final.json``.
    """
    folder.mkdir(parents=True)
    (folder / "study.toml").write_text(settings, encoding="utf-8")
    split = {
        "source": f"{text}.csv",
        "fingerprint": "0" * 64,
        "target": text,
        "rows": 10,
        "features": 2,
        "inputs": 3,
        "classes": list(classes),
        "columns": [
            {"name": text, "kind": "numeric", "missing": 2, "note": text},
            {"name": "day", "kind": "date", "missing": 0, "note": ""},
        ],
        "notes": [text],
        "train": [0, 1, 2, 3, 4, 5],
        "validation": [6, 7],
        "test": [8, 9],
    }
    (folder / "split.json").write_text(json.dumps(split), encoding="utf-8")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=study_name or folder.name,
        storage=JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
        sampler=optuna.samplers.RandomSampler(seed=1),
    )
    for i, curve in enumerate(curves):
        trial = study.ask()
        params: dict[str, Any] = {
            "lr": trial.suggest_float("lr", 1e-4, 0.1, log=True),
            "optimizer": trial.suggest_categorical("optimizer", ["sgd", "adam"]),
            "width": trial.suggest_int("width", 16, 128, log=True),
        }
        if params["optimizer"] == "sgd":
            gap = trial.suggest_float("one_minus_momentum", 0.01, 0.5, log=True)
            params["momentum"] = 1 - gap
        for epoch, loss in enumerate(curve, start=1):
            trial.report(loss, epoch)
        finite = [(x, epoch) for epoch, x in enumerate(curve, 1) if math.isfinite(x)]
        if finite:
            trial.set_user_attr("best_val_loss", min(finite)[0])
            trial.set_user_attr("best_epoch", min(finite)[1])
            trial.set_user_attr("best_val_score", 0.5)
        trial.set_user_attr("seconds", 0.25)
        trial.set_user_attr("params", params)
        trial.set_user_attr("stopped", "diverged at epoch 2" if i in pruned else "")
        if i in failed:
            trial.set_user_attr("error", f"RuntimeError: {text}")
            trial.set_user_attr("traceback", f"Traceback:\n  in f\n{text}\n")
            study.tell(trial, state=TrialState.FAIL)
        elif i in pruned:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, min(finite)[0])
    study.set_user_attr("seconds", 12.5)
    study.set_user_attr("engine", "lightning")
    study.set_user_attr("versions", {"optuna": "5.0.0"})
    study.set_user_attr("finished", final if finished is None else finished)
    if final:
        seeds = [
            {
                "seed": seed,
                "val_loss": 0.2 + 0.01 * seed,
                "best_epoch": 2,
                "test_loss": 0.3,
                "test_error": 0.1,
                "curve": [
                    [1, 0.9, 0.8, 0.5, 0.6, 1e-3],
                    [2, 0.1, 0.2 + 0.01 * seed, 0.9, 0.9, 1e-4],
                ],
            }
            for seed in range(n_seeds)
        ]
        n = len(classes)
        confusion = [
            [5 if a == b else int(b == a + 1) for b in range(n)] for a in range(n)
        ]
        content = {
            "number": 0,
            "recipe": {"lr": 1e-3},
            "metric": "val_loss",
            "seeds": seeds,
            "test": {
                "loss": 0.3,
                "loss_interval": [0.2, 0.4],
                "error": 0.1,
                "error_interval": [0.05, 0.15],
                "seeds": n_seeds,
                "rows": 2,
            },
            "model": {"seed": 0, "loss": 0.31, "error": 0.11},
            "confusion": confusion,
            "baselines": {
                "majority class": {"loss": 1.1, "error": 0.66},
                "softmax regression": {"loss": 0.5, "error": 0.2},
                "default recipe": {"loss": 0.4, "error": 0.15},
            },
            **more,
        }
        write_sealed(folder / "final.json", content)
    return folder


def falling(n: int) -> list[list[float]]:
    return [[1.0 + 0.1 * i, 0.5 + 0.1 * i, 0.6 + 0.1 * i] for i in range(n)]


class Page(HTMLParser):
    """The tags, attributes and text of a page; fails where tags do not nest."""

    EMPTY = frozenset({"meta", "br", "circle", "path", "polyline", "rect"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.headings: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._open.append(tag)
        if tag in ("meta", "br"):
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)
