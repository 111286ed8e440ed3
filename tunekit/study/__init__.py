"""The main job: search hyperparameters, judge the winner, save it, report.

    python -m tunekit.study --data adult.csv --target income --n-trials 50

From Python:

    from tunekit import Config, run
    result = run(Config(data="adult.csv", target="income", n_trials=50))
"""

from tunekit.interrupt import is_command

is_command(__name__)  # before the rest is imported

from tunekit.study.clock import BEGAN as BEGAN  # first: imports count, too
from tunekit.study.command import main
from tunekit.study.job import dry_run, run
from tunekit.study.result import Result

__all__ = ["Result", "dry_run", "main", "run"]
