"""Running a search: the loop, in one process or in many on one study folder.

A worker repeats: take a trial, train it, write down what happened. More workers are
more processes of ``python -m tunekit.workers FOLDER``; all they share is the study
folder.
"""

from tunekit.interrupt import is_command

is_command(__name__)  # before the rest is imported

from tunekit.workers.beside import search_beside
from tunekit.workers.ending import end_paused
from tunekit.workers.loop import work
from tunekit.workers.processes import Worker, stop
from tunekit.workers.setup import Setup

__all__ = ["Setup", "Worker", "end_paused", "search_beside", "stop", "work"]
