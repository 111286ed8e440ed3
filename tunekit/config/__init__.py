"""Options of a study, from the command line, a TOML file or Python."""

from tunekit.config.answer import answer, resumable
from tunekit.config.command import (
    Command,
    Parser,
    add_data,
    asks_for_module,
    read_command,
)
from tunekit.config.settings import (
    PRUNERS,
    SAMPLERS,
    Config,
    check_name,
    read_toml,
)
from tunekit.config.typed import parse_seconds

__all__ = [
    "PRUNERS",
    "SAMPLERS",
    "Command",
    "Config",
    "Parser",
    "add_data",
    "answer",
    "asks_for_module",
    "check_name",
    "parse_seconds",
    "read_command",
    "read_toml",
    "resumable",
]
