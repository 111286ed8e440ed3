"""Nothing stays behind: no process, no open file, no trial that runs for ever."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from trial_callback.own import PACKAGES, fit
from tunekit import TrialCallback


def children() -> set[int]:
    """Processes that this one has started and that are still known."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")
def test_fifty_pruned_trials_with_loader_workers_leave_nothing() -> None:
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=0.5))

    def objective(trial: optuna.Trial) -> float:
        callback = TrialCallback(trial)
        fit(PACKAGES[0], callback, [1], workers=2)
        callback.check_pruned()
        return 1.0

    def left() -> tuple[set[int], int]:
        gc.collect()
        return children(), open_files()

    study.optimize(objective, n_trials=1)  # what the first one opens, stays
    before = left()
    study.optimize(objective, n_trials=50)
    assert {t.state for t in study.trials} == {TrialState.PRUNED}
    assert len(study.trials) == 51
    assert left() == before


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
@pytest.mark.parametrize(
    ("package", "signum", "how"),
    [
        (PACKAGES[0], signal.SIGINT, {}),
        (PACKAGES[1], signal.SIGTERM, {}),
        (PACKAGES[1], signal.SIGINT, {"strategy": "ddp_fork", "devices": 2}),
    ],
    ids=["ctrl-c", "sigterm", "ctrl-c-two-processes"],
)
def test_a_stopped_training_is_a_failed_trial(
    tmp_path: Path, package: str, signum: signal.Signals, how: dict[str, Any]
) -> None:
    journal = tmp_path / "journal.log"
    code = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        import {package}
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
        from trial_callback.own import own, rows, trainer
        from tunekit import TrialCallback

        class Loud({package}.Callback):
            def on_train_batch_end(self, trainer, *rest):
                if trainer.current_epoch == 2:
                    print("training", flush=True)

        def objective(trial):
            trial.suggest_float("x", 0, 1)
            callback = TrialCallback(trial)
            how = dict(max_epochs=10**6, **{how!r})
            endless = trainer({package!r}, callback, Loud(), **how)
            module = own({package!r})([1], where="on_train_epoch_end")
            endless.fit(module, rows(), rows())

        storage = JournalStorage(JournalFileBackend({str(journal)!r}))
        study = optuna.create_study(
            storage=storage, study_name="s", pruner=optuna.pruners.NopPruner()
        )
        study.optimize(objective, n_trials=1)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert any("training" in line for line in process.stdout)
    # As a terminal does: to the process and to all that it has started.
    os.killpg(process.pid, signum)
    _, problem = process.communicate(timeout=120)
    study = optuna.load_study(
        study_name="s", storage=JournalStorage(JournalFileBackend(str(journal)))
    )
    assert [t.state for t in study.trials] == [TrialState.FAIL], problem
