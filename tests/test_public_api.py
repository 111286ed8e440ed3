"""The public names: lazy, sorted, each where it says, and nothing heavy on import."""

import subprocess
import sys

import pytest

import tunekit
from tunekit.errors import TunekitError

PROMISED = {
    "Categorical",
    "ConfigError",
    "DataError",
    "IntLogUniform",
    "IntUniform",
    "LitMLP",
    "LogUniform",
    "MLP",
    "MissingExtraError",
    "OneMinusLogUniform",
    "Predictor",
    "ResumeError",
    "Result",
    "SpaceError",
    "TableData",
    "TrialCallback",
    "TuneResult",
    "TunedClassifier",
    "TunekitError",
    "Uniform",
    "tune",
}
HEAVY = ("torch", "pandas", "optuna", "numpy", "sklearn", "pytorch_lightning", "rich")


def python(code, *flags):
    return subprocess.run(
        [sys.executable, *flags, "-c", code],
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_the_public_names_are_sorted_and_hold_what_was_promised():
    assert tunekit.__all__ == sorted(set(tunekit.__all__))
    assert set(tunekit.__all__) >= PROMISED
    assert dir(tunekit) == tunekit.__all__


@pytest.mark.parametrize("name", tunekit.__all__)
def test_every_public_name_can_be_imported_and_is_a_thing_with_a_docstring(name):
    value = getattr(tunekit, name)
    assert callable(value)
    assert value.__doc__
    assert value.__name__ == name
    home = sys.modules[value.__module__]
    # A package's name may live in one of its files; it is the same thing there.
    assert getattr(home, name) is value
    assert value.__module__.startswith("tunekit")


def test_every_public_error_is_a_tunekit_error():
    public = [n for n in tunekit.__all__ if n.endswith("Error")]
    assert len(public) >= 6
    assert all(issubclass(getattr(tunekit, name), TunekitError) for name in public)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'tunekit' has no attribute 'tunee'"):
        tunekit.tunee  # noqa: B018
    assert not hasattr(tunekit, "__wrapped__")


def test_importing_the_package_loads_nothing_heavy_and_warns_of_nothing():
    code = f"import sys, tunekit; print([m for m in {HEAVY} if m in sys.modules])"
    done = python(code, "-W", "error")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_the_scales_and_errors_load_neither_torch_nor_optuna():
    code = (
        "import sys, tunekit; tunekit.LogUniform(1e-4, 1); tunekit.ConfigError\n"
        "from tunekit.space import recipe_space; recipe_space({}, 100).as_settings()\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = python(code, "-W", "error")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


@pytest.mark.parametrize("module", ["trial", "feed", "machine", "errors"])
def test_words_that_all_floors_share_cost_nothing(module):
    code = (
        f"import sys, tunekit.{module}\nprint([m for m in {HEAVY} if m in sys.modules])"
    )
    done = python(code, "-W", "error")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_random_streams_load_torch_only_when_it_draws():
    code = (
        "import sys\n"
        "from tunekit.seeds import numpy_generator, row_words, seed_for, unit_words\n"
        "seed_for(0), numpy_generator(0), row_words(0, 1, 2), unit_words(1, 0, 0, 3)\n"
        "print('torch' in sys.modules)"
    )
    done = python(code, "-W", "error")
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_star_import_gives_exactly_the_public_names():
    names: dict[str, object] = {}
    exec("from tunekit import *", names)
    assert sorted(set(names) - {"__builtins__"}) == tunekit.__all__
