"""A picture of tunekit's report as a file of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["COLOURS", "STYLE", "alone", "beside"]

COLOURS = ("#1d3f72", "#2f7fb8", "#3aa38f", "#8aa832", "#d9902f", "#c4472f")
STYLE = (
    "text{font-family:system-ui,sans-serif;fill:#1d2329}.title{font-weight:600}"
    ".name{fill:#5b6670}.middle{text-anchor:middle}.end{text-anchor:end}"
    "path,polyline{fill:none}.axis{stroke:#8b97a2}.grid{stroke:#dde2e6}"
    ".bar{fill:#8b97a2}.best{fill:#2467a8}.whisker{stroke:#1d2329;stroke-width:1.5}"
    ".dot{stroke:none}"
)


def alone(svg: str, style: str) -> str:
    """A picture with its style, on white paper."""
    head, _, rest = str(svg).partition(">")
    head = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    paper = '<rect width="100%" height="100%" fill="#fff"/>'
    return f"{head}><style>{style}</style>{paper}{rest}\n"


def beside(panels: Sequence[str], columns: int, width: int, height: int) -> str:
    """Several pictures as one, row by row.

    Args:
        panels: Pictures of one size.
        columns: How many stand in a row.
        width: The width of each, in pixels.
        height: Its height.
    """
    placed = []
    for n, panel in enumerate(map(str, panels)):
        x, y = n % columns * width, n // columns * height
        placed.append(panel.replace("<svg ", f'<svg x="{x}" y="{y}" ', 1))
    across, down = columns * width, -(-len(placed) // columns) * height
    names = re.findall(r'aria-label="([^"]*)"', "".join(placed))
    return (
        f'<svg viewBox="0 0 {across} {down}" width="{across}" height="{down}" '
        f'role="img" aria-label="{"; ".join(names)}">{"".join(placed)}</svg>'
    )
