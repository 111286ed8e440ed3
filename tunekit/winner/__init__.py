"""The winner: trained anew, judged on the locked test rows, and saved."""

from tunekit.winner.crown import crown
from tunekit.winner.judge import Judge

__all__ = ["Judge", "crown"]
