"""Options of a study, from the command line, a TOML file or Python."""

from tunekit.config.command import Command, Parser, read_command
from tunekit.config.settings import PRUNERS, SAMPLERS, Config, parse_seconds, read_toml

__all__ = [
    "PRUNERS",
    "SAMPLERS",
    "Command",
    "Config",
    "Parser",
    "parse_seconds",
    "read_command",
    "read_toml",
]
