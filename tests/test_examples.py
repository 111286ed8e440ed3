"""Every example runs as it stands, prints its result, and leaves nothing elsewhere.

All of them run one after another in one process, because each new one spends seconds on
its imports. The notebook's cells run there as Python, in one namespace and without
Jupyter: what a kernel alone can do, such as ``%magic``, has no place in it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from forked import python

EXAMPLES = Path(__file__).parents[1] / "experiments" / "examples"
NAMES = sorted(p.name for p in EXAMPLES.iterdir() if p.suffix in (".py", ".ipynb"))
RUN = """
import contextlib, io, json, os, runpy, sys, traceback, warnings
from pathlib import Path

told = {}
for path in map(Path, sys.argv[1:]):
    os.mkdir(path.stem)
    os.chdir(path.stem)
    printed, error = io.StringIO(), ""
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        if path.name == "trial_callback.py":
            warnings.simplefilter("ignore")  # a Trainer of one's own has some
        try:
            if path.suffix == ".py":
                runpy.run_path(str(path), run_name="__main__")
            else:
                names = {"__name__": "__main__"}
                for cell in json.loads(path.read_text("utf-8"))["cells"]:
                    if cell["cell_type"] == "code":
                        exec("".join(cell["source"]), names)
        except BaseException:
            error = traceback.format_exc()
    os.chdir("..")
    told[path.name] = (printed.getvalue(), error)
Path("told.json").write_text(json.dumps(told))
"""
SAYS = {
    "classifier.py": r"accuracy 0\.9\d+ on rows kept apart",
    "define_by_run.py": r"accuracy 0\.9\d+ with .*hidden_layer_sizes",
    "first_steps.ipynb": r"test error \d\.\d+%.*9\d\.\d% right.*epochs  0\.\d+  #",
    "optuna_sampler.py": r"accuracy 0\.9[89]\d with .*kernel",
    "own_datamodule.py": r"loss 0\.\d+ with .*noise",
    "own_module.py": r"loss 0\.\d+ with .*9\d\.\d% of the validation rows right",
    "partial_fit.py": r"log loss 0\.\d+ with .*135 epochs in all",
    "plain_pytorch.py": r"loss 0\.\d+ with .*complete",
    "resume.py": r"stopped in epoch 30\n.* after 60 epochs\n.* after 120 epochs",
    "trial_callback.py": r"loss 0\.\d+ with .*\n[1-9]\d* of 12 trials pruned",
    "warm_start.py": r"loss 0\.\d+ on the first data.*cold.*warm",
}
LEAVES = {
    "first_steps.ipynb": {"runs"},
    "own_module.py": {"logs"},
    "resume.py": {"runs"},
}


def test_an_example_prints_its_result_and_leaves_nothing_else(tmp_path: Path) -> None:
    """All in one test: several processes that test would each run all of them."""
    paths = (str(EXAMPLES / name) for name in NAMES)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = python("-c", RUN, *paths, cwd=tmp_path, env=env, timeout=600)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "told.json").read_text("utf-8"))
    assert [*told] == NAMES
    for name, (printed, error) in told.items():
        assert not error, error
        assert re.search(SAYS[name], printed, re.DOTALL), printed
        left = {path.name for path in (tmp_path / Path(name).stem).iterdir()}
        assert left == LEAVES.get(name, set())
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*(Path(name).stem for name in NAMES), "told.json"}
    assert {p.name for p in EXAMPLES.iterdir()} - {"__pycache__"} == {
        *NAMES,
        "README.md",
    }


def test_the_list_names_every_example_once() -> None:
    text = (EXAMPLES / "README.md").read_text("utf-8")
    assert sorted(re.findall(r"^\| \[(\S+)\]\(\1\)", text, re.MULTILINE)) == NAMES


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = json.loads((EXAMPLES / "first_steps.ipynb").read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
