"""TensorBoard's files of a study, without TensorFlow."""

from tunekit.board.board import Board
from tunekit.board.trial import TrialBoard, run_name

__all__ = ["Board", "TrialBoard", "run_name"]
