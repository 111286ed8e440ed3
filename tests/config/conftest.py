"""The one line of a complaint."""

from __future__ import annotations

from typing import Any

import pytest

from tunekit.config import Config
from tunekit.errors import ConfigError


def line_of(**options: Any) -> str:
    """The one line with which these options are refused."""
    with pytest.raises(ConfigError) as caught:
        Config(**options)
    line = str(caught.value)
    assert "\n" not in line
    return line
