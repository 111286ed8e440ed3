"""Samplers and pruners by name: seeded, resumable, in memory and in a journal."""

import itertools
import math
import pickle
import warnings

import optuna
import pytest
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
)
from optuna.trial import TrialState

from tunekit.search import SeededSampler, pruner, sampler
from tunekit.space import recipe_space
from tunekit.trial import Recipe

SAMPLERS = ("random", "grid", "qmc", "tpe", "gp", "cmaes")
PRUNERS = ("none", "median", "halving", "hyperband")
DEFAULTS = Recipe().as_dict()
SPACE = recipe_space({}, 1000)
EPOCHS = 9


@pytest.fixture(autouse=True)
def quiet_optuna():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def make_sampler(name, space=SPACE, seed=0, n_trials=12):
    return sampler(name, space, defaults=DEFAULTS, seed=seed, n_trials=n_trials)


def journal(folder):
    return JournalStorage(JournalFileBackend(str(folder / "journal.log")))


def study_of(name, *, storage=None, space=SPACE, seed=0, n_trials=12, by="none"):
    return optuna.create_study(
        study_name="digits",
        storage=storage,
        sampler=make_sampler(name, space, seed, n_trials),
        pruner=pruner(by, EPOCHS),
        load_if_exists=True,
    )


def loss(params, epoch):
    """A toy: best at lr 1e-2 and two layers, falling with the epochs."""
    off = abs(math.log10(params["lr"]) + 2) + abs(params["n_layers"] - 2) / 4
    return 1 + off + 1 / epoch


def train(study, trial, space=SPACE):
    """Report each epoch and tell, as a worker does; the proposal."""
    params = space.suggest(trial)
    best = math.inf
    for epoch in range(1, EPOCHS + 1):
        best = min(best, loss(params, epoch))
        trial.report(best, epoch)
        if trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return params
    study.tell(trial, best)
    return params


def proposals(study, n, space=SPACE):
    return [train(study, study.ask(), space) for _ in range(n)]


def key(params):
    return tuple(sorted(params.items()))


# --- Every name ---------------------------------------------------------------------


@pytest.mark.parametrize("by", PRUNERS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_runs_with_every_pruner_in_a_journal(name, by, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = study_of(name, storage=journal(tmp_path), by=by)
        found = proposals(study, 12)
    assert len(study.trials) == 12
    assert {t.state for t in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    for params, trial in zip(found, study.trials, strict=True):
        assert SPACE.from_stored(trial.params) == params
        Recipe().with_params(params)
    read = optuna.load_study(study_name="digits", storage=journal(tmp_path))
    assert [t.params for t in read.trials] == [t.params for t in study.trials]


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_journal_and_memory_give_the_same_proposals(name, tmp_path):
    in_memory = proposals(study_of(name, by="median"), 12)
    stored = proposals(study_of(name, storage=journal(tmp_path), by="median"), 12)
    assert in_memory == stored


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("none", optuna.pruners.NopPruner),
        ("median", optuna.pruners.MedianPruner),
        ("halving", optuna.pruners.SuccessiveHalvingPruner),
        ("hyperband", optuna.pruners.HyperbandPruner),
    ],
)
@pytest.mark.parametrize("max_epochs", [1, 2, 30])
def test_a_pruner_is_the_one_named_for_any_horizon(name, kind, max_epochs):
    made = pruner(name, max_epochs)
    assert type(made) is kind
    study = optuna.create_study(pruner=made, sampler=RandomSampler(seed=0))
    for number in range(8):
        trial = study.ask()
        for epoch in range(1, max_epochs + 1):
            trial.report(float(number), epoch)
            trial.should_prune()
        study.tell(trial, float(number))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match='unknown pruner "medain"'):
        pruner("medain", 10)
    with pytest.raises(ValueError, match='unknown sampler "tpee"'):
        study_of("tpee").ask()


@pytest.mark.parametrize("by", ["median", "halving", "hyperband"])
def test_a_weak_trial_is_stopped_and_a_strong_one_is_not(by):
    study = study_of("random", by=by)
    for _ in range(30):
        trial = study.ask()
        for epoch in range(1, EPOCHS + 1):
            trial.report(trial.number % 10 + 1 / epoch, epoch)
            if trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, trial.number % 10 + 1 / EPOCHS)
    states = {n: [t.state for t in study.trials if t.number % 10 == n] for n in (0, 9)}
    assert set(states[0]) == {TrialState.COMPLETE}
    assert TrialState.PRUNED in states[9][1:]


# --- Trial 0 ------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
def test_trial_0_is_the_default_recipe(name):
    (params,) = proposals(study_of(name), 1)
    assert Recipe().with_params(params) == Recipe()


@pytest.mark.parametrize("name", SAMPLERS)
def test_trial_0_of_a_narrowed_space_is_the_nearest_to_it(name):
    space = recipe_space(
        {
            "lr": "0.01..0.1",
            "optimizer": "sgd,rmsprop",
            "width": "16..32",
            "dropout": 0,
        },
        1000,
    )
    first, *others = proposals(study_of(name, space=space), 4, space)
    assert first == space.nearest(DEFAULTS)
    assert (first["lr"], first["optimizer"], first["width"]) == (0.01, "sgd", 32)
    assert all(other != first for other in others)


# --- Repeating and resuming ---------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_seed_gives_the_same_proposals_and_another_others(name):
    first = proposals(study_of(name), 12)
    assert proposals(study_of(name), 12) == first
    other = proposals(study_of(name, seed=1), 12)
    assert other[0] == first[0]
    assert all(a != b for a, b in zip(first[1:], other[1:], strict=True))


@pytest.mark.parametrize("by", ["none", "median", "hyperband"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_reopened_study_goes_on_as_one_never_closed(name, by, tmp_path):
    whole = proposals(study_of(name, by=by), 12)
    parts = []
    for n in (5, 1, 5, 1):
        reopened = study_of(name, storage=journal(tmp_path), by=by)
        parts += proposals(reopened, n)
    assert parts == whole


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_trial_broken_off_half_way_asks_for_the_same_second_half(name, tmp_path):
    """What was suggested is recorded; the rest depends on it and not on the process."""
    study = study_of(name)
    proposals(study, 6)
    whole = SPACE.suggest(study.ask())
    stored = study_of(name, storage=journal(tmp_path))
    proposals(stored, 6)
    trial = stored.ask()
    again = study_of(name, storage=journal(tmp_path))
    revived = optuna.trial.Trial(again, trial._trial_id)
    assert SPACE.suggest(revived) == whole


@pytest.mark.parametrize("name", SAMPLERS)
def test_parallel_asks_are_all_different(name):
    study = study_of(name)
    proposals(study, 3)
    asked = [SPACE.suggest(study.ask()) for _ in range(8)]
    assert len({key(params) for params in asked}) == 8


@pytest.mark.parametrize("name", SAMPLERS)
def test_workers_of_one_seed_do_not_repeat_each_other(name, tmp_path):
    workers = [study_of(name, storage=journal(tmp_path)) for _ in range(3)]
    asked = []
    for _ in range(4):
        trials = [(worker, worker.ask()) for worker in workers]
        asked += [train(worker, trial) for worker, trial in trials]
    assert len({key(params) for params in asked}) == 12
    # Which of them asks does not matter where nothing is learnt from the others.
    if name in ("random", "grid"):
        alone = proposals(study_of(name), 12)
        assert {key(params) for params in asked} == {key(params) for params in alone}


@pytest.mark.parametrize(
    "searched",
    [(), ("lr",), ("n_layers",), ("activation",), ("lr", "activation")],
    ids=lambda names: " ".join(names) or "nothing",
)
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_runs_where_little_or_nothing_is_searched(name, searched):
    settings = {n: v for n, v in DEFAULTS.items() if n not in searched}
    space = recipe_space(settings, 1000)
    study = study_of(name, space=space)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(13):
            trial = study.ask()
            assert set(space.suggest(trial)) == set(searched)
            study.tell(trial, float(number % 4))


def test_failed_trials_do_not_stop_a_search():
    for name in SAMPLERS:
        study = study_of(name)
        for number in range(14):
            trial = study.ask()
            SPACE.suggest(trial)
            if number % 2:
                study.tell(trial, state=TrialState.FAIL)
            else:
                study.tell(trial, float(number))
        assert len(study.trials) == 14


@pytest.mark.parametrize(("name", "n"), [("tpe", 40), ("gp", 16), ("cmaes", 60)])
def test_a_sampler_that_learns_beats_chance(name, n):
    """The last third of a search lies nearer to the optimum than random ones do."""
    settings = {n: v for n, v in DEFAULTS.items() if n not in ("lr", "weight_decay")}
    space = recipe_space(settings, 1000)

    def mean_off(name):
        study = optuna.create_study(sampler=make_sampler(name, space, n_trials=n))
        off = []
        for _ in range(n):
            trial = study.ask()
            params = space.suggest(trial)
            off.append(
                abs(math.log10(params["lr"]) + 1.5)
                + abs(math.log10(params["weight_decay"]) + 5) / 2
            )
            study.tell(trial, off[-1])
        last = off[-n // 3 :]
        return sum(last) / len(last)

    assert mean_off(name) < 0.7 * mean_off("random")


def test_qmc_trials_are_points_of_one_sequence():
    """Sixteen points of it fall one into each sixteenth of every scale."""
    settings = {n: v for n, v in DEFAULTS.items() if n not in ("lr", "weight_decay")}
    space = recipe_space(settings, 1000)
    study = study_of("qmc", space=space)
    found = []
    for _ in range(17):
        trial = study.ask()
        found.append(space.suggest(trial))
        study.tell(trial, 0.0)
    for name, scale in space.scales.items():
        whole = math.log(scale.high / scale.low)
        shares = [math.log(p[name] / scale.low) / whole for p in found[1:]]
        assert sorted(int(16 * share) for share in shares) == list(range(16))


@pytest.mark.parametrize("by", PRUNERS)
def test_cmaes_models_every_trial_after_its_first_two_also_among_pruned_ones(by):
    """Conditions and pruned trials must not send it back to drawing at random."""
    for seed in range(2):
        study = study_of("cmaes", seed=seed, by=by)
        proposals(study, 30)
        by_cma = ["cma:generation" in t.system_attrs for t in study.trials]
        # Hyperband has four brackets, each with a start of its own.
        assert sum(by_cma) >= (24 if by == "hyperband" else 29)
        assert all(by_cma[-15:])


class Poison:
    """Runs a command where it is unpickled."""

    def __init__(self, written):
        self.written = written

    def __reduce__(self):
        return exec, (f"open({str(self.written)!r}, 'w').close()",)


def test_cmaes_neither_reads_nor_writes_a_pickle(tmp_path):
    """What its optimizer has learned is told again by the trials, to the same draws."""
    written = tmp_path / "PWNED"
    told = {f"cma:optimizer:{i}": "" for i in range(3)}
    told["cma:optimizer:0"] = told["cma:optimizer"] = pickle.dumps(
        Poison(written)
    ).hex()
    poisoned, clean = (study_of("cmaes", n_trials=30) for _ in range(2))
    for _ in range(30):
        trial = poisoned.ask()
        for key, value in told.items():
            poisoned._storage.set_trial_system_attr(trial._trial_id, key, value)
        train(poisoned, trial)
    proposals(clean, 30)
    assert [t.params for t in poisoned.trials] == [t.params for t in clean.trials]
    assert not written.exists()
    keys = {key for t in clean.trials for key in t.system_attrs}
    assert keys & {"cma:generation"}
    assert not any("optimizer" in key for key in keys)
    generations = [t.system_attrs.get("cma:generation", 0) for t in clean.trials]
    assert generations == sorted(generations)
    assert generations[-1] >= 2


# --- Grid ---------------------------------------------------------------------------


def test_a_grid_comes_after_the_default_recipe_and_covers_every_point_once():
    settings = {
        **DEFAULTS,
        "optimizer": "adamw,sgd",
        "nesterov": "true,false",
        "n_layers": "1..3",
        "lr": [1e-3, 1e-2],
    }
    space = recipe_space(settings, 1000)
    expected = {
        key({"optimizer": o, "n_layers": n, "lr": lr, **extra})
        for n, lr in itertools.product((1, 2, 3), (1e-3, 1e-2))
        for o, extra in (
            ("adamw", {}),
            ("sgd", {"nesterov": True}),
            ("sgd", {"nesterov": False}),
        )
    }
    assert len(expected) == 18
    found = []
    study = study_of("grid", space=space, n_trials=18)
    for _ in range(18):
        trial = study.ask()
        found.append(space.suggest(trial))
        study.tell(trial, 0.0)
    assert found[0] == space.nearest(DEFAULTS)
    # The default is a point of this grid, and is not tried twice.
    assert {key(params) for params in found} == expected
    # Beyond the grid the search goes on, at random.
    for _ in range(3):
        assert key(space.suggest(study.ask())) in expected


@pytest.mark.parametrize("n_trials", [2, 12, 40, None])
def test_a_grid_is_laid_out_for_the_trials_there_will_be(n_trials):
    study = study_of("grid", n_trials=n_trials)
    found = [SPACE.suggest(study.ask()) for _ in range(n_trials or 64)]
    assert len({key(params) for params in found}) == len(found)


# --- Optuna's own suite -------------------------------------------------------------


def over_random(seed):
    return RandomSampler(seed=seed)


def over_tpe(seed):
    return TPESampler(seed=seed, n_startup_trials=0)


class TestSeededRandomInOptunasSuite(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: SeededSampler(over_random, seed=0)


class TestSeededTPEInOptunasSuite(BasicSamplerTestCase, RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: SeededSampler(over_tpe, seed=0)
