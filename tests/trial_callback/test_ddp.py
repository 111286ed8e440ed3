"""Two processes on the CPU: rank zero decides, all agree, nobody waits for ever."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna import pruners
from optuna.trial import TrialState

from trial_callback.own import PACKAGES, fit
from tunekit import ConfigError, TrialCallback

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks"),
]
FORK = {"strategy": "ddp_fork", "devices": 2}
SPAWN = {"strategy": "ddp_spawn", "devices": 2}
MEAN = 0.5
"""Each process logs its rank more than the curve says; the mean of 0 and 1."""


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Nothing is left where the processes have written to each other."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    # Lightning leaves it behind; what is set and deleted here is put back as it was.
    monkeypatch.setenv("MASTER_PORT", "0")
    monkeypatch.delenv("MASTER_PORT")
    yield
    gc.collect()
    assert list(folder.glob("tunekit-*")) == []


def story(study: optuna.Study) -> list[Any]:
    return [(t.state, t.intermediate_values, t.value) for t in study.trials]


def searched(plain: bool, **options: Any) -> optuna.Study:
    curves = [[4, 3, 2], [3, 2, 1], [5, 1, 0], [2, 3, 1], [1, 1, 4]]
    study = optuna.create_study(pruner=pruners.MedianPruner(n_startup_trials=2))

    def objective(trial: optuna.Trial) -> float:
        curve = curves[trial.number]
        if plain:
            for epoch, value in enumerate(curve, 1):
                trial.report(value + MEAN, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
        else:
            callback = TrialCallback(trial)
            fit(PACKAGES[0], callback, curve, max_epochs=3, **options)
            callback.check_pruned()
        return float(curve[-1])

    study.optimize(objective, n_trials=len(curves))
    return study


def test_a_search_in_two_forked_processes_is_that_of_a_plain_loop() -> None:
    study = searched(plain=False, **FORK)
    assert story(study) == story(searched(plain=True))
    assert {t.state for t in study.trials} == {TrialState.PRUNED, TrialState.COMPLETE}


def pruned_in(how: dict[str, Any], storage: Any) -> list[Any]:
    """The story of a study with one trial, pruned in its second epoch."""
    study = optuna.create_study(
        storage=storage, pruner=pruners.ThresholdPruner(upper=2)
    )

    def objective(trial: optuna.Trial) -> float:
        callback = TrialCallback(trial)
        fit(PACKAGES[1], callback, [1, 3, 1], **how)
        assert callback.pruned
        callback.check_pruned()
        return 1.0

    study.optimize(objective, n_trials=1)
    return story(study)


PRUNED = [(TrialState.PRUNED, {1: 1.5, 2: 3.5}, 3.5)]


def test_every_storage_has_each_report_once(storage: Any, tmp_path: Path) -> None:
    assert pruned_in(FORK, storage) == PRUNED
    journal = tmp_path / "journal.log"
    if journal.exists():
        assert journal.read_text().count("intermediate_value") == 2


def test_processes_that_begin_anew_report_to_memory_too() -> None:
    assert pruned_in(SPAWN, None) == PRUNED


def test_a_storage_in_another_process_is_refused_in_one_line() -> None:
    study = optuna.create_study(storage="sqlite:///:memory:")
    with pytest.raises(Exception, match="storage must be reachable from the processes"):
        fit(PACKAGES[0], TrialCallback(study.ask()), [1], **FORK)
    study._storage._backend.engine.dispose()


def test_a_wrong_name_is_told_in_the_process_that_asks() -> None:
    study = optuna.create_study()
    callback = TrialCallback(study.ask(), "loss")
    fit(PACKAGES[0], callback, [1], **FORK)
    with pytest.raises(ConfigError, match='got only "train_loss", "val_loss"'):
        callback.check_pruned()


def test_when_rank_zero_fails_the_other_ends_too() -> None:
    study = optuna.create_study()
    trial = study.ask()
    study.tell(trial, state=TrialState.FAIL)  # it takes no reports any more
    with pytest.raises(Exception, match="can not be updated"):
        fit(PACKAGES[0], TrialCallback(trial), [1], **FORK)


def test_notes_that_nobody_asks_for_go_with_the_callback() -> None:
    study = optuna.create_study(pruner=pruners.NopPruner())
    callback = TrialCallback(study.ask())
    fit(PACKAGES[0], callback, [1], **FORK)
    notes = callback._notes
    assert notes.exists()
    del callback
    gc.collect()
    assert not notes.exists()


def by_script(tmp_path: Path, code: str) -> list[str]:
    """What both processes print of a script that Lightning starts once more."""
    script = tmp_path / "script.py"
    head = f"""
        import os
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        import optuna
        import pytorch_lightning
        from trial_callback.own import fit, quiet
        from tunekit import ConfigError, TrialCallback

        def objective(trial):
            x = trial.suggest_float("x", 0, 1)
            callback = TrialCallback(trial)
            fit("pytorch_lightning", callback, [x, 3 * x, x], max_epochs=3,
                strategy="ddp", devices=2, accelerator="cpu")
            callback.check_pruned()
            return x

        def say(word):
            # At once: the processes share a pipe, and pieces of lines would mingle.
            os.write(1, (os.environ["LOCAL_RANK"] + f" {{word}}\\n").encode())

        quiet()
        pruner = optuna.pruners.ThresholdPruner(upper=1.5)
    """
    script.write_text(textwrap.dedent(head) + textwrap.dedent(code))
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={k: v for k, v in os.environ.items() if "RANK" not in k},
    )
    lines = [line for line in done.stdout.splitlines() if line[:2] in ("0 ", "1 ")]
    assert {line[0] for line in lines} == {"0", "1"}, done.stderr
    return sorted(lines)


def test_a_script_run_once_per_process_is_refused_only_where_trials_differ(
    tmp_path: Path,
) -> None:
    """They agree where the sampler is seeded.

    They differ where each has another configuration; or the same one, but as two trials
    of one study.
    """
    lines = by_script(
        tmp_path,
        f"""
        sampler = optuna.samplers.RandomSampler(seed=1)
        study = optuna.create_study(sampler=sampler, pruner=pruner)
        study.optimize(objective, n_trials=3)
        say([(t.state.name, t.intermediate_values) for t in study.trials])
        for storage, seed in ((None, None), ("sqlite:///{tmp_path}/study.db", 1)):
            while True:
                try:
                    study = optuna.create_study(
                        storage=storage,
                        study_name="s",
                        load_if_exists=True,
                        sampler=optuna.samplers.RandomSampler(seed=seed),
                    )
                    break
                except Exception:
                    pass  # SQLite: the other process is creating the file
            try:
                study.optimize(objective, n_trials=1)
            except ConfigError as error:
                say(error)
        """,
    )
    assert [line[0] for line in lines] == ["0", "0", "0", "1", "1", "1"]
    story, refused = sorted({line[2:] for line in lines})
    assert "PRUNED" in story
    assert "COMPLETE" in story
    assert refused.startswith("all processes must train one trial, got several")
    assert sum(line[2:] == refused for line in lines) == 4
