"""The board, read back by a real TensorBoard."""

from __future__ import annotations

import contextlib
import json
import math
import pickle
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tunekit.board import Board, run_name
from tunekit.trial import Metrics

SPACE = {
    "lr": (1e-4, 1e-1),
    "momentum": (0.5, 0.99),
    "optimizer": ["sgd", "adam"],
    "nesterov": [True, False],
    "batch_size": [32, 64],
    "clip": ["off", 1, True],
}
TRIALS: list[dict[str, Any]] = [
    {
        "lr": 1e-3,
        "optimizer": "sgd",
        "momentum": 0.95,
        "nesterov": True,
        "batch_size": 32,
        "clip": 1,
    },
    {"lr": 1e-2, "optimizer": "adam", "batch_size": 64, "clip": "off"},
    {"lr": 9e-2, "optimizer": "adam", "batch_size": 64, "clip": True},
]
EPOCHS = 4
TAGS = ["loss/train", "loss/val", "score/train", "score/val", "lr"]


def metrics(trial: int, epoch: int) -> Metrics:
    val_loss = 1.0 / (epoch + trial)
    return Metrics(val_loss / 2, val_loss, 0.9, 0.5 + 0.1 * trial, 1e-3 / epoch, 0.01)


def fill(tb: Path) -> None:
    """Two trials that end well, and one that diverges in its last epoch."""
    board = Board(tb)
    board.describe(SPACE)
    for number, params in enumerate(TRIALS[:2]):
        run = board.open(number, params)
        for epoch in range(1, EPOCHS + 1):
            run.epoch(epoch, metrics(number, epoch))
        best = metrics(number, EPOCHS)
        run.close(best.val_loss, best.val_score, ok=True)
    run = board.open(2, TRIALS[2])
    run.epoch(1, Metrics(math.nan, math.inf, 0.1, 0.1, 0.09, 0.01))
    run.close(None, None, ok=False)
    assert board.trouble is None


@contextlib.contextmanager
def serving(tb: Path) -> Iterator[Callable[..., Any]]:
    """A TensorBoard over ``tb``; yields a function that asks it for JSON."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(tb)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--load_fast=false"]
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def ask(path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    try:
        yield ask
    finally:
        server.kill()
        server.wait(timeout=60)


def scalar_tags(ask: Callable[..., Any], *, enough: int) -> dict[str, dict[str, Any]]:
    """The tags of every run, once ``enough`` runs have all of theirs."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            tags: dict[str, dict[str, Any]] = ask("/data/plugin/scalars/tags")
            if sum(set(TAGS) <= set(run) for run in tags.values()) >= enough:
                return tags
        time.sleep(0.1)
    pytest.fail("TensorBoard did not show the runs within four minutes")


def test_tensorboard_serves_curves_and_a_true_row_for_every_trial(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "tb")
    with serving(tmp_path / "tb") as ask:
        tags = scalar_tags(ask, enough=3)
        curves = {
            (number, tag): ask(
                f"/data/plugin/scalars/scalars?run={run_name(number)}&tag={tag}"
            )
            for number in range(3)
            for tag in TAGS
        }
        plugin = "/experiment/defaultExperimentId/data/plugin/hparams"
        experiment = ask(f"{plugin}/experiment", {"includeMetrics": True})
        wanted = {
            "allowedStatuses": ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
            "colParams": [],
            "startIndex": 0,
            "sliceSize": 100,
        }
        rows = ask(f"{plugin}/session_groups", wanted)["sessionGroups"]

    assert set(tags) == {run_name(number) for number in range(3)}
    assert tags[run_name(0)]["loss/val"]["displayName"] == "validation loss"
    assert "validation rows" in tags[run_name(0)]["loss/val"]["description"]
    for number in range(2):
        points = curves[number, "loss/val"]
        assert [step for _, step, _ in points] == [1, 2, 3, 4]
        assert [value for _, _, value in points] == pytest.approx(
            [metrics(number, epoch).val_loss for epoch in range(1, EPOCHS + 1)]
        )
        assert curves[number, "lr"][1][2] == pytest.approx(5e-4)
    assert curves[2, "loss/train"][0][2] == "NaN"

    kinds = {info["name"]: info["type"] for info in experiment["hparamInfos"]}
    assert kinds == {
        "lr": "DATA_TYPE_FLOAT64",
        "momentum": "DATA_TYPE_FLOAT64",
        "optimizer": "DATA_TYPE_STRING",
        "nesterov": "DATA_TYPE_BOOL",
        "batch_size": "DATA_TYPE_FLOAT64",
        "clip": "DATA_TYPE_STRING",
    }
    assert [info["displayName"] for info in experiment["metricInfos"]] == [
        "lowest validation loss",
        "validation accuracy at that epoch",
    ]
    by_name = {row["name"]: row for row in rows}
    assert set(by_name) == {run_name(number) for number in range(3)}
    for number, params in enumerate(TRIALS):
        row = by_name[run_name(number)]
        assert row["hparams"] == params | {"clip": str(params["clip"])}
        assert row["sessions"][0]["status"] == (
            "STATUS_FAILURE" if number == 2 else "STATUS_SUCCESS"
        )
        shown = {
            metric["name"]["tag"]: metric["value"] for metric in row["metricValues"]
        }
        best = metrics(number, EPOCHS)
        expected = {
            "hparam/val_loss": best.val_loss,
            "hparam/val_score": best.val_score,
        }
        assert shown == ({} if number == 2 else pytest.approx(expected))


def records(folder: Path) -> list[Any]:
    """The events of the one file in ``folder``."""
    from tensorboard.backend.event_processing.event_file_loader import (
        LegacyEventFileLoader,
    )

    (path,) = folder.iterdir()
    return list(LegacyEventFileLoader(str(path)).Load())


def test_an_epoch_can_be_read_before_the_trial_ends(tmp_path: Path) -> None:
    run = Board(tmp_path).open(3, {"lr": 1e-3})
    run.epoch(1, metrics(0, 1))
    steps = [event.step for event in records(tmp_path / "trial-00003")]
    assert steps[-1] == 1
    run.close(None, None, ok=True)


def test_a_trial_trained_again_replaces_its_run(tmp_path: Path) -> None:
    board = Board(tmp_path)
    for epochs in (3, 1):
        run = board.open(0, {"lr": 1e-3})
        for epoch in range(1, epochs + 1):
            run.epoch(epoch, metrics(0, epoch))
        run.close(1.0, 0.5, ok=True)
    assert max(event.step for event in records(tmp_path / "trial-00000")) == 1


def test_describing_again_changes_nothing(tmp_path: Path) -> None:
    Board(tmp_path).describe(SPACE)
    (first,) = tmp_path.iterdir()
    before = first.read_bytes()
    Board(tmp_path).describe(SPACE)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_no_threads_are_left_and_a_board_travels_to_a_worker(tmp_path: Path) -> None:
    threads = threading.active_count()
    board = Board(tmp_path)
    board.describe(SPACE)
    run = pickle.loads(pickle.dumps(board)).open(0, TRIALS[0])
    run.epoch(1, metrics(0, 1))
    assert threading.active_count() == threads
    run.close(1.0, 0.5, ok=True)


def test_what_cannot_be_written_never_reaches_the_trial(tmp_path: Path) -> None:
    (tmp_path / "tb").write_text("a file where the folder should be")
    board = Board(tmp_path / "tb")
    board.describe(SPACE)
    assert board.trouble is not None
    said = board.trouble
    run = board.open(0, TRIALS[0])
    run.epoch(1, metrics(0, 1))
    run.close(1.0, 0.5, ok=True)
    assert board.trouble == said
    assert "\n" not in said


def in_a_new_process(code: str, tb: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tb)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=Path(__file__).parents[1],
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize("limit", [100, 2000])
def test_a_disk_that_is_full_silences_the_board(tmp_path: Path, limit: int) -> None:
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from tunekit.board import Board; from tunekit.trial import Metrics\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, hard))\n"
        "board = Board(Path(sys.argv[1])); board.describe({'lr': (0.1, 1.0)})\n"
        "run = board.open(0, {'lr': 0.5})\n"
        "for epoch in range(1, 50): run.epoch(epoch, Metrics(1, 1, 1, 1, 1, 1))\n"
        "run.close(1.0, 0.5, ok=True); print(board.trouble)\n"
        "board.open(1, {'lr': 0.5}).close(1.0, 0.5, ok=True)\n"
        # Whoever measures coverage writes a file of its own at the end.
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
    )
    done = in_a_new_process(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "File too large" in done.stdout
    assert not (tmp_path / "trial-00001").exists()


def test_importing_and_using_the_board_warns_of_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tunekit.board import Board\n"
        "assert 'tensorboard' not in sys.modules\n"
        "board = Board(Path(sys.argv[1])); board.describe({'lr': (0.1, 1.0)})\n"
        "run = board.open(0, {'lr': 0.5}); run.close(1.0, 0.5, ok=True)\n"
        "assert board.trouble is None and 'tensorflow' not in sys.modules\n"
    )
    done = in_a_new_process(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
