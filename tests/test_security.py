"""A foreign folder, model, table or checkpoint is read without running its code.

Where trust begins stands in ``.github/SECURITY.md``. Of its other claims the tests are
beside what they are of: Lightning checkpoints in ``test_module.py``, names in
``config/test_settings.py``, markup and control characters in ``report/test_html.py``,
labels as they are and text on the terminal in ``predict/test_command.py``.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up import Rounds, budget_of, create, narrow, reopen, search, timeless
from predict.conftest import make_model, people_csv
from report.conftest import make_study

from tunekit import LogUniform, report, tune
from tunekit.budget import Budget
from tunekit.data import load, read_table
from tunekit.errors import DataError, TunekitError
from tunekit.lines import sealed
from tunekit.predict import Predictor
from tunekit.workers import work


class Poison:
    """Writes a file where it is unpickled."""

    def __init__(self, written: Path) -> None:
        self.written = written

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self.written)!r}, 'w').close()",)


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Path]:
    """What a poison would write, which nobody may have written in the end."""
    path = tmp_path / "PWNED"
    yield path
    assert not path.exists()


def pickled(written: Path) -> bytes:
    return pickle.dumps(Poison(written))


def in_torch(written: Path) -> bytes:
    file = io.BytesIO()
    torch.save({"state_dict": Poison(written)}, file)
    return file.getvalue()


def in_numpy(written: Path) -> bytes:
    file = io.BytesIO()
    np.savez(file, X=np.array([[Poison(written)]], dtype=object), y=np.array([0]))
    return file.getvalue()


poisons = pytest.mark.parametrize("poison", [pickled, in_torch, in_numpy])
Poisons = Callable[[Path], bytes]


def test_the_poisons_are_poisonous(tmp_path: Path) -> None:
    reads: dict[Poisons, Callable[[bytes], Any]] = {
        pickled: pickle.loads,
        in_torch: lambda raw: torch.load(io.BytesIO(raw), weights_only=False),
        in_numpy: lambda raw: np.load(io.BytesIO(raw), allow_pickle=True)["X"],
    }
    for poison, read in reads.items():
        read(poison(tmp_path / poison.__name__))
        assert (tmp_path / poison.__name__).exists()


def make(params: dict[str, float]) -> Iterator[float]:
    yield from (params["lr"], params["lr"] / 2)


def tuned(out: Path, n_trials: int, **options: Any) -> Any:
    options = {"max_epochs": 2, "pruner": "none", "sampler": "random", **options}
    space = {"lr": LogUniform(1e-3, 1.0)}
    return tune(make, space, n_trials=n_trials, out=out, name="s", **options)


@poisons
@pytest.mark.parametrize("name", ["journal.log", "study.toml", "split.json"])
def test_a_poisoned_study_is_not_run(
    tmp_path: Path, written: Path, name: str, poison: Poisons
) -> None:
    tuned(tmp_path, 2)
    (tmp_path / "s" / name).write_bytes(poison(written))
    for use in (
        lambda: tuned(tmp_path, 4),
        lambda: tuned(tmp_path / "other", 4, warm_start=tmp_path / "s"),
        lambda: report.build(tmp_path / "s"),
    ):
        with suppress(Exception):  # whether it is refused or mended is told elsewhere
            use()
        assert not written.exists()


@pytest.mark.parametrize("sampler", ["cmaes", "tpe", "gp", "coarse-to-fine", "qmc"])
def test_poisoned_attributes_of_trials_are_not_run(
    tmp_path: Path, written: Path, sampler: str
) -> None:
    """A study to go on with, whole, with a pickle wherever a sampler may keep one."""
    tuned(tmp_path, 11, sampler=sampler)
    journal = tmp_path / "s" / "journal.log"
    keys = ["cma:optimizer:0", "cma:optimizer", "sepcma:optimizer:0", "tpe:0"]
    hidden = dict.fromkeys(keys, pickled(written).hex())
    lines, trials = [], 0
    for line in journal.read_text("utf-8").splitlines():
        lines.append(line)
        if json.loads(line)["op_code"] == 4:  # a trial is made
            attribute = {"op_code": 9, "worker_id": "x", "trial_id": trials}
            lines += [
                sealed({**attribute, "system_attr": {key: value}}).decode().rstrip()
                for key, value in hidden.items()
            ]
            trials += 1
    assert trials == 11
    journal.write_text("\n".join(lines) + "\n", "utf-8")
    # Whoever poisons the one poisons the other: a copy without it would restore all.
    (tmp_path / "s" / "journal.copy").unlink()
    result = tuned(tmp_path, 14, sampler=sampler)
    assert len(result.trials) == 14
    assert hidden.items() <= result.study.trials[0].system_attrs.items()


@poisons
@pytest.mark.parametrize("name", ["final.json", "split.json", "journal.log"])
def test_a_poisoned_result_is_not_run(
    tmp_path: Path, written: Path, name: str, poison: Poisons
) -> None:
    folder = make_study(tmp_path / "toy", [[0.5], [0.4]])
    (folder / name).write_bytes(poison(written))
    with pytest.raises(TunekitError) as caught:
        report.build(folder)
    assert "\n" not in str(caught.value)


@poisons
def test_poisoned_checkpoints_cost_their_epochs_and_no_more(
    tmp_path: Path, written: Path, poison: Poisons
) -> None:
    found = []
    for place in ("clean", "poisoned"):
        options = {"pruner": "promote", "max_epochs": 9, "n_trials": 9}
        folder = create(tmp_path / place / "s", **options)
        work(reopen(folder), Rounds(), narrow(), Budget(n_trials=4), in_flight=2)
        checkpoints = [*(folder / "checkpoints").iterdir()]
        assert checkpoints
        if place == "poisoned":
            for path in checkpoints:
                path.write_bytes(poison(written))
        search(reopen(folder), Rounds(), budget_of(folder), in_flight=2)
        found.append([timeless(trial) for trial in reopen(folder).trials()])
    assert found[0] == found[1]


@poisons
@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "checksums.json"])
def test_a_poisoned_model_is_refused_though_its_checksum_fits(
    tmp_path: Path, written: Path, name: str, poison: Poisons
) -> None:
    table = load(people_csv(tmp_path / "people.csv"), "income")
    make_model(tmp_path / "s", table)
    model = tmp_path / "s" / "model"
    (model / name).write_bytes(poison(written))
    if name != "checksums.json":
        sums = json.loads((model / "checksums.json").read_text("utf-8"))
        sums[name] = hashlib.sha256((model / name).read_bytes()).hexdigest()
        (model / "checksums.json").write_text(json.dumps(sums), "utf-8")
    with pytest.raises(DataError) as caught:
        Predictor.load(tmp_path / "s")
    assert "\n" not in str(caught.value)


@poisons
@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".csv"])
def test_a_poisoned_table_is_refused(
    tmp_path: Path, written: Path, suffix: str, poison: Poisons
) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(poison(written))
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_no_port_is_opened_and_nobody_is_called(tmp_path: Path) -> None:
    people_csv(tmp_path / "people.csv")
    program = """
        import sys
        opened = []
        def hear(event, arguments):
            if event in ("socket.bind", "socket.connect", "socket.sendto"):
                opened.append((event, arguments[1:]))
        sys.addaudithook(hear)
        from tunekit.predict.__main__ import main as predict
        from tunekit.study import main
        options = "--data people.csv --target income --n-trials 3 --max-epochs 2"
        assert main([*options.split(), "--final-seeds", "1", "--set", "width=8"]) == 0
        assert predict(["runs/people", "people.csv", "-o", "out.csv"]) == 0
        print("opened:", opened)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "opened: []"
