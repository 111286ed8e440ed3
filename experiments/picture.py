"""A picture of tunekit's report as a file of its own."""

from __future__ import annotations

__all__ = ["COLOURS", "STYLE", "alone"]

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
