"""TensorBoard's curves of trials that are not tunekit's own networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tunekit
from tunekit import Categorical, LogUniform
from tunekit.board import run_name
from tunekit.budget import best_of
from tunekit.tally import as_one


def drawn(run: Path) -> dict[str, list[tuple[int, float]]]:
    found = EventAccumulator(str(run), size_guidance={"tensors": 0}).Reload()
    return {
        tag: [(e.step, float(e.tensor_proto.float_val[0])) for e in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
        if not tag.startswith("_hparams_")
    }


def make(params: Any) -> Iterator[float]:
    for epoch in range(1, 10):
        yield params["lr"] * epoch + (params["kind"] is None)


def test_every_trial_has_its_curve_however_often_it_was_promoted(
    tmp_path: Path,
) -> None:
    def search(epochs: int) -> Any:
        return tunekit.tune(
            make,
            {"lr": LogUniform(0.01, 1.0), "kind": Categorical("a", None, 3)},
            monitor="acc",
            direction="maximize",
            max_epochs=9,
            budget_epochs=epochs,
            out=tmp_path,
        )

    search(25)
    result = search(45)
    trials = as_one(result.study.get_trials())
    tb = tmp_path / "study" / "tb"
    # One that goes on with an earlier one goes on in its run.
    runs = [tb / run_name(t.user_attrs.get("continues", t.number)) for t in trials]
    assert sorted(tb.glob("trial-*")) == sorted(runs)
    best = best_of(trials, maximize=True)
    assert best is not None
    assert len(best.intermediate_values) == 9
    for trial, run in zip(trials, runs, strict=True):
        curves = drawn(run)
        assert set(curves) <= {"acc", "hparam/acc"}
        wanted = trial.intermediate_values
        assert [step for step, _ in curves["acc"]] == [*wanted]
        for step, value in curves["acc"]:
            assert abs(value - wanted[step]) < 1e-6
        assert abs(curves["hparam/acc"][-1][1] - max(wanted.values())) < 1e-6


def test_nothing_is_drawn_of_what_is_kept_nowhere(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    tunekit.tune(
        lambda params: [params["lr"]],
        {"lr": LogUniform(0.01, 1.0)},
        max_epochs=1,
        n_trials=1,
    )
    assert [*tmp_path.iterdir()] == []
