"""The finished model: saved, loaded back bit for bit, damaged, asked for classes."""

import csv
import hashlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
import torch

from tunekit.data import load
from tunekit.errors import DataError
from tunekit.mlp import MLP
from tunekit.predict import Predictor, save
from tunekit.predict.__main__ import main
from tunekit.trial import Recipe

FILES = ["checksums.json", "model.json", "model.safetensors"]


def people_csv(path, labels=("low", "high"), n=60):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "city": rng.choice(["Bern", "Oslo", "NA", ""], n),
            "member": rng.choice(["true", "false"], n),
            "joined": pd.date_range("2020-01-01", periods=n, freq="11D").astype(str),
            "income": rng.choice(list(labels), n),
        }
    )
    frame.to_csv(path, index=False)
    return path


def make_model(folder, table, recipe=None):
    """Save a network of random weights that has seen the training rows."""
    recipe = recipe or Recipe(width=16)
    network = MLP(
        table.n_inputs,
        len(table.classes),
        n_layers=recipe.n_layers,
        width=recipe.width,
        shape=recipe.shape,
        activation=recipe.activation,
        dropout=recipe.dropout,
        generator=torch.Generator().manual_seed(3),
    )
    network(torch.from_numpy(table.x_train))
    save(
        folder,
        network_state=network.state_dict(),
        recipe=recipe,
        n_inputs=table.n_inputs,
        classes=table.classes,
        preprocessor=table.preprocessor,
        info={"study": "people"},
    )
    return network.eval()


@pytest.fixture
def rows(tmp_path):
    return people_csv(tmp_path / "people.csv")


@pytest.fixture
def study(tmp_path, rows):
    make_model(tmp_path / "study", load(rows, "income"))
    return tmp_path / "study"


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(n_layers=0),
        Recipe(width=8),
        Recipe(n_layers=3, width=20, shape="funnel", activation="gelu", dropout=0.5),
    ],
)
def test_what_was_saved_is_what_is_loaded(tmp_path, rows, recipe):
    table = load(rows, "income")
    network = make_model(tmp_path / "study", table, recipe)
    predictor = Predictor.load(tmp_path / "study")
    assert predictor.recipe == recipe
    assert predictor.info == {"study": "people"}
    assert predictor.classes_.tolist() == ["high", "low"]
    frame, _ = table.test_rows()
    probabilities_NC = predictor.predict_proba(frame)
    assert probabilities_NC.dtype == np.float64
    np.testing.assert_allclose(probabilities_NC.sum(axis=1), 1.0, atol=1e-12)
    with torch.no_grad():
        x_NF = torch.from_numpy(table.preprocessor.transform(frame))
        expected_NC = network.double().predict_proba(x_NF.double()).numpy()
    np.testing.assert_array_equal(probabilities_NC, expected_NC)
    labels = predictor.classes_[expected_NC.argmax(axis=1)]
    assert predictor.predict(frame).tolist() == labels.tolist()


def test_the_study_and_its_model_folder_are_the_same(study, rows):
    first = Predictor.load(study).predict_proba(rows)
    second = Predictor.load(str(study / "model")).predict_proba(str(rows))
    np.testing.assert_array_equal(first, second)


def test_loading_draws_no_random_numbers(study):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Predictor.load(study)
    assert torch.equal(torch.rand(3), expected)


def test_one_row_at_a_time_equals_a_batch(study, rows):
    predictor = Predictor.load(study)
    frame = pd.read_csv(rows, dtype=str, keep_default_na=False)
    many = pd.concat([frame] * 80, ignore_index=True)
    batch_NC = predictor.predict_proba(many)
    assert len(batch_NC) == 4800
    alone_NC = np.vstack([predictor.predict_proba(frame.iloc[[n]]) for n in range(60)])
    np.testing.assert_allclose(alone_NC, batch_NC[:60], rtol=0, atol=1e-12)
    np.testing.assert_allclose(alone_NC, batch_NC[-60:], rtol=0, atol=1e-12)


def test_inputs_made_before_give_the_same_to_the_last_bit(study, rows):
    predictor = Predictor.load(study)
    table = load(rows, "income")
    frame, _ = table.test_rows()
    x_NF = table.preprocessor.transform(frame)
    np.testing.assert_array_equal(
        predictor.predict_proba_inputs(x_NF), predictor.predict_proba(frame)
    )
    assert predictor.predict_proba_inputs(x_NF[:0]).shape == (0, 2)
    for wrong in (x_NF[:, 1:], x_NF[0]):
        with pytest.raises(DataError, match=f"rows by {x_NF.shape[1]} numbers"):
            predictor.predict_proba_inputs(wrong)


def test_no_rows_give_no_predictions(study, rows):
    frame = pd.read_csv(rows).iloc[:0]
    assert Predictor.load(study).predict_proba(frame).shape == (0, 2)
    assert Predictor.load(study).predict(frame).tolist() == []


@pytest.mark.parametrize("labels", [(0, 1), (2.5, 3.0), (True, False), ("a", "b")])
def test_labels_keep_their_type(tmp_path, labels):
    pytest.importorskip("pyarrow")
    frame = pd.read_csv(people_csv(tmp_path / "t.csv", labels=("0", "1")))
    frame["income"] = [labels[place] for place in frame["income"]]
    frame.to_parquet(tmp_path / "t.parquet")
    table = load(tmp_path / "t.parquet", "income")
    make_model(tmp_path, table)
    predictor = Predictor.load(tmp_path)
    assert predictor.classes_.tolist() == sorted(labels)
    found = {
        type(label) for label in predictor.predict(tmp_path / "t.parquet").tolist()
    }
    assert found == {type(labels[0])}


def test_arrays_for_a_table_that_came_from_arrays(tmp_path):
    rng = np.random.default_rng(0)
    x_NF = np.column_stack([rng.random((40, 2)), np.ones(40), rng.random((40, 1))])
    np.savez(tmp_path / "t.npz", X=x_NF, y=rng.integers(0, 2, 40))
    np.savez(tmp_path / "new.npz", X=x_NF)
    make_model(tmp_path, load(tmp_path / "t.npz"))
    predictor = Predictor.load(tmp_path)
    expected_NC = predictor.predict_proba(x_NF)
    for same in (tmp_path / "t.npz", tmp_path / "new.npz"):
        np.testing.assert_array_equal(predictor.predict_proba(same), expected_NC)
    with pytest.raises(DataError, match=r"rows by 4 columns, got shape \(40, 3\)"):
        predictor.predict(x_NF[:, :3])
    with pytest.raises(DataError, match=r"got shape \(4,\)"):
        predictor.predict(x_NF[0])


def test_digits_take_arrays_and_npz(tmp_path):
    table = load("digits")
    make_model(tmp_path, table)
    predictor = Predictor.load(tmp_path)
    frame, _ = table.test_rows()
    np.savez(tmp_path / "new.npz", X=frame.to_numpy())
    expected_NC = predictor.predict_proba(frame)
    for same in (frame.to_numpy(), tmp_path / "new.npz"):
        np.testing.assert_array_equal(predictor.predict_proba(same), expected_NC)


def test_rows_that_cannot_be_used(study, rows, tmp_path):
    predictor = Predictor.load(study)
    frame = pd.read_csv(rows)
    with pytest.raises(DataError, match='column "age" is needed'):
        predictor.predict(frame.drop(columns="age"))
    with pytest.raises(DataError, match="has no column names"):
        predictor.predict(np.zeros((3, 4)))
    with pytest.raises(DataError, match="got list"):
        predictor.predict([[1, 2]])
    frame.assign(age="abc").to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError) as caught:
        predictor.predict(tmp_path / "new.csv")
    assert str(caught.value) == (
        f'{tmp_path / "new.csv"}, column "age": numbers expected, got "abc" in row 1 '
        "(counted from 1)"
    )


def test_only_whole_folders_are_written(study, rows):
    assert sorted(path.name for path in (study / "model").iterdir()) == FILES
    before = Predictor.load(study).predict_proba(rows)
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(
            study,
            network_state={"w": torch.zeros(1)},
            recipe=Recipe(),
            n_inputs=1,
            classes=["a", "b"],
            preprocessor=load(rows, "income").preprocessor,
            info={"loss": float("nan")},
        )
    assert [path.name for path in study.iterdir()] == ["model"]
    np.testing.assert_array_equal(Predictor.load(study).predict_proba(rows), before)


def test_a_model_is_replaced(study, rows):
    make_model(study, load(rows, "income"), Recipe(width=4))
    assert Predictor.load(study).recipe.width == 4
    assert [path.name for path in study.iterdir()] == ["model"]


def test_nothing_is_pickled(study):
    weights = (study / "model" / "model.safetensors").read_bytes()
    header_size = int.from_bytes(weights[:8], "little")
    assert "output.weight" in json.loads(weights[8 : 8 + header_size])
    described = json.loads((study / "model" / "model.json").read_text("utf-8"))
    assert described["classes"] == ["high", "low"]
    assert described["recipe"] == Recipe(width=16).as_dict()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("fault", ["missing", "cut", "flipped", "empty"])
def test_a_damaged_model_is_refused(study, name, fault):
    path = study / "model" / name
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    if fault == "missing":
        path.unlink()
    else:
        changed = {"cut": content[:-20], "flipped": bytes(flipped), "empty": b""}
        path.write_bytes(changed[fault])
    with pytest.raises(DataError) as caught:
        Predictor.load(study)
    message = str(caught.value)
    assert "\n" not in message
    assert ("is missing" if fault == "missing" else "damaged") in message


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"recipe": {"nothing": 1}},
        {"n_inputs": 3},
        {"classes": ["a", "b", "c"]},
        {"preprocessor": {}},
    ],
)
def test_a_model_of_another_make_is_refused(study, change):
    path = study / "model" / "model.json"
    described = json.loads(path.read_text("utf-8")) | change
    path.write_text(json.dumps(described), "utf-8")
    checksums = json.loads((study / "model" / "checksums.json").read_text())
    checksums["model.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (study / "model" / "checksums.json").write_text(json.dumps(checksums))
    with pytest.raises(DataError, match="use the tunekit version that saved it"):
        Predictor.load(study)


def test_folders_without_a_model(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        Predictor.load(tmp_path / "none")
    with pytest.raises(DataError, match="no model in this folder"):
        Predictor.load(tmp_path)
    (tmp_path / "study.toml").touch()
    with pytest.raises(DataError, match=r"unfinished; run the same tunekit\.study"):
        Predictor.load(tmp_path)
    with pytest.raises(DataError, match="got a file"):
        Predictor.load(tmp_path / "study.toml")


def test_command_line_writes_predictions_in_order(study, rows, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert main([str(study), str(rows), "-o", str(out)]) == 0
    predictor = Predictor.load(study)
    header, *written = csv.reader(out.read_text("utf-8").splitlines())
    assert header == ["prediction", "probability_high", "probability_low"]
    assert [line[0] for line in written] == predictor.predict(rows).tolist()
    np.testing.assert_array_equal(
        np.array([line[1:] for line in written], dtype=float),
        predictor.predict_proba(rows),
    )
    assert capsys.readouterr().out == ""
    assert main([str(study), str(rows)]) == 0
    assert capsys.readouterr().out == out.read_text("utf-8")


def test_command_line_writes_labels_exactly(tmp_path, capsys):
    labels = ('a,"b"', "=1+1 é")
    rows = people_csv(tmp_path / "t.csv", labels=labels)
    make_model(tmp_path, load(rows, "income"))
    assert main([str(tmp_path), str(rows)]) == 0
    written = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(written)[1:] == [f"probability_{label}" for label in sorted(labels)]
    assert set(written["prediction"]) <= set(labels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({1: "none.csv"}, "no such file"),
        ({0: "none"}, "no such folder"),
        ({3: "."}, "got a folder"),
        ({3: "people.csv/out.csv"}, "cannot be written"),
        ({2: "--ouput"}, 'unknown option "ouput"; did you mean "output"?'),
        ({2: "--zzz"}, 'unknown option "zzz"'),
        ({0: "n" * 300}, "File name too long"),
        ({1: "n" * 300 + ".csv"}, "File name too long"),
        ({3: "n" * 300}, "File name too long"),
        ({1: "-o", 2: "out.csv", 3: "--output"}, "expected one argument"),
    ],
)
def test_command_line_refuses_in_one_line(
    study, rows, monkeypatch, capsys, change, words
):
    monkeypatch.chdir(rows.parent)
    before = sorted(path.name for path in rows.parent.iterdir())
    arguments = ["study", "people.csv", "-o", "out.csv"]
    for place, word in change.items():
        arguments[place] = word
    assert main(arguments) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.count("\n") == 1
    assert words in caught.err
    assert sorted(path.name for path in rows.parent.iterdir()) == before


def test_text_where_numbers_were_leaves_no_output(study, rows, tmp_path, capsys):
    pd.read_csv(rows).assign(age="abc").to_csv(tmp_path / "new.csv", index=False)
    out = tmp_path / "out.csv"
    assert main([str(study), str(tmp_path / "new.csv"), "-o", str(out)]) == 2
    assert 'column "age": numbers expected, got "abc"' in capsys.readouterr().err
    assert not out.exists()


posix = pytest.mark.skipif(os.name == "nt", reason="POSIX files")


@posix
def test_a_link_is_followed_and_stays(study, rows, tmp_path):
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    for content in (None, "old"):
        if content is not None:
            target.write_text(content)
        link.unlink(missing_ok=True)
        link.symlink_to(target.name)
        assert main([str(study), str(rows), "-o", str(link)]) == 0
        assert link.is_symlink()
        assert not target.is_symlink()
        assert len(target.read_text("utf-8").splitlines()) == 61


@posix
@pytest.mark.parametrize(("mask", "wanted"), [(0o027, 0o640), (0o077, 0o600)])
def test_what_is_written_has_the_umasks_permissions(
    study, rows, tmp_path, mask, wanted
):
    before = os.umask(mask)
    try:
        assert main([str(study), str(rows), "-o", str(tmp_path / "out.csv")]) == 0
        make_model(tmp_path / "other", load(rows, "income"))
    finally:
        os.umask(before)
    model = tmp_path / "other" / "model"
    for file in (tmp_path / "out.csv", *model.iterdir()):
        assert stat.S_IMODE(file.stat().st_mode) == wanted
    assert stat.S_IMODE(model.stat().st_mode) == 0o777 & ~mask


@posix
def test_a_pipe_is_written_into(study, rows, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text("utf-8")))
    reader.start()
    assert main([str(study), str(rows), "-o", str(pipe)]) == 0
    reader.join(30)
    assert len(heard[0].splitlines()) == 61
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="no /dev/stdout")  # noqa: PTH110
def test_standard_output_by_its_name_keeps_what_stands_there(study, rows, tmp_path):
    command = [sys.executable, "-m", "tunekit.predict", str(study), str(rows)]
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("a") as file:
        subprocess.run([*command, "-o", "/dev/stdout"], stdout=file, check=True)
    written = log.read_text("utf-8").splitlines()
    assert (len(written), written[0]) == (62, "before")
    done = subprocess.run([*command, "-o", "/dev/stdout"], capture_output=True)
    assert done.stdout.decode().splitlines() == written[1:]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("output", [[], ["-o", "/dev/full"]])
def test_a_full_disk_is_told_in_one_line(study, rows, output):
    command = [sys.executable, "-m", "tunekit.predict", str(study), str(rows)]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [*command, *output], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot be written (No space left on device)" in done.stderr


def test_labels_are_utf8_whatever_the_terminal(tmp_path):
    rows = people_csv(tmp_path / "t.csv", labels=("да", "нет"))
    make_model(tmp_path, load(rows, "income"))
    command = [sys.executable, "-m", "tunekit.predict", str(tmp_path), str(rows)]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    shown = subprocess.run(command, capture_output=True, env=environment, check=True)
    out = tmp_path / "out.csv"
    subprocess.run([*command, "-o", str(out)], env=environment, check=True)
    assert "probability_нет" in out.read_text("utf-8")
    assert shown.stdout == out.read_bytes()
    done = subprocess.run(
        [*command[:-1], "нет.csv"], capture_output=True, env=environment, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert rb"\u043d\u0435\u0442.csv: no such file" in done.stderr


def test_text_from_a_file_cannot_reach_the_terminal_raw(study, tmp_path, capsys):
    table = tmp_path / "evil.csv"
    table.write_text('"\x1b[2Ja\nb",c\n1,2\n3,4\n', "utf-8")
    assert main([str(study), str(table)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "\x1b" not in told
    assert r"\x1b[2Ja\nb" in told


@posix
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (15, 143)])
def test_an_interrupt_ends_it_without_a_traceback(study, rows, tmp_path, signum, code):
    # Nobody reads the pipe: the command waits in the middle of its writing.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    python = (
        "import sys, tunekit.predict.__main__ as m\n"
        "write = m._write_output\n"
        "def told(*arguments):\n"
        "    print('writing', flush=True)\n"
        "    write(*arguments)\n"
        "m._write_output = told\n"
        "sys.exit(m.main(sys.argv[1:]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", python, str(study), str(rows), "-o", str(pipe)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signum)
        try:
            _, told = process.communicate(timeout=240)
        finally:
            process.kill()
    assert process.returncode == code
    assert told == "\nstopped\n"


@pytest.mark.parametrize("unwanted", ["torch", "pandas"])
def test_help_is_quick_and_clean(unwanted):
    code = (
        "import runpy, sys; sys.argv = ['predict', '--help']\n"
        "try: runpy.run_module('tunekit.predict', run_name='__main__')\n"
        f"finally: assert {unwanted!r} not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--output FILE" in done.stdout


def test_as_a_program(study, rows):
    command = [sys.executable, "-W", "error", "-m", "tunekit.predict"]
    done = subprocess.run(
        [*command, str(study), str(rows)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 61
    done = subprocess.run([*command, str(study)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the following arguments are required: rows")
