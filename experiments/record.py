"""How experiments put down what they found: tables in a text, and what was measured on.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``, and is made from a
``report.json``. No import but the standard library's, so that a test can make all
tables again.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = [
    "fill",
    "index",
    "made",
    "parts_made",
    "place",
    "processor",
    "table",
    "write",
]

EXPERIMENTS = Path(__file__).resolve().parent
NOTHING = "Not measured yet."
_CODE = ("../tunekit", "*.py", "*.toml")
_CHANGED = " and changes"


def fill(text: str, tables: Mapping[str, str]) -> str:
    """A text with all its tables made anew."""

    def made_anew(found: re.Match[str]) -> str:
        return f"<!-- table: {found[1]} -->\n{tables[found[1]]}\n<!-- end -->"

    pattern = r"<!-- table: ([a-z-]+) -->\n.*?<!-- end -->"
    return re.sub(pattern, made_anew, text, flags=re.DOTALL)


def table(head: Sequence[str], lines: Iterable[Sequence[str]], *, left: int) -> str:
    """A Markdown table whose first ``left`` columns are text, the others numbers."""
    body = [f"| {' | '.join(line)} |" for line in lines]
    if not body:
        return NOTHING
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join([f"| {' | '.join(head)} |", f"|{'|'.join(rule)}|", *body])


def index() -> str:
    """The list of all experiments: question, answer, date and machine, folder."""
    lines = []
    for path in sorted(EXPERIMENTS.glob("*/results.py")):
        spec = importlib.util.spec_from_file_location("results", path)
        assert spec is not None
        assert spec.loader is not None
        results = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(results)
        folder = path.parent
        measured = folder / "report.json"
        report = json.loads(measured.read_text("utf-8")) if measured.is_file() else {}
        made = [part["made"] for part in results.shown(report).values()]
        when = sorted({each["date"] for each in made})
        where = sorted({each["machine"] for each in made})
        link = f"[{folder.name[:2]}]({folder.name}/README.md)"
        told = "; ".join([*when, *where]) or "–"
        lines.append((results.QUESTION, results.answer(report), told, link))
    return table(("question", "answer", "date, machine", "folder"), lines, left=4)


def place(out: Path | None, home: Path, *, quick: bool) -> Path:
    """Where to write, made if need be.

    Args:
        out: What was asked for.
        home: The experiment's own folder, where nothing was asked for.
        quick: Whether the figures are of no use: then they go to a new folder instead.
    """
    if out is None:
        out = Path(tempfile.mkdtemp()) if quick else home
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    return out


def write(
    report: Mapping[str, Any],
    home: Path,
    out: Path,
    filled: Callable[[str, Mapping[str, Any]], str],
) -> None:
    """The report, and the tables of the texts: the experiment's, and at home the index.

    Args:
        report: The parts, in the order in which they are told.
        home: The experiment's own folder.
        out: Where to write.
        filled: Makes the tables of the experiment's text anew.
    """
    text = json.dumps(report, indent=1, ensure_ascii=False)
    # A list of numbers is one line, not one line each.
    text = re.sub(r"\[\s+([^][{}\"]*?)\s+\]", lambda m: _on_one_line(m[1]), text)
    (out / "report.json").write_text(text + "\n", encoding="utf-8")
    readme = (home / "README.md").read_text("utf-8")
    (out / "README.md").write_text(filled(readme, report), "utf-8")
    if out == home:
        every = EXPERIMENTS / "README.md"
        text = every.read_text("utf-8")
        every.write_text(fill(text, {"answer": index()}), "utf-8")


def _on_one_line(numbers: str) -> str:
    return f"[{' '.join(numbers.split())}]"


def made(packages: Sequence[str], machine: str | None = None) -> dict[str, Any]:
    """When, on what and with what something was measured: now, here.

    Args:
        packages: Whose versions are told, beside Python's.
        machine: What it ran on; this processor when None.
    """
    commit = _git("rev-parse", "HEAD").strip() or None
    # What was measured is that commit's only where no code differs from it.
    changed = _git("status", "--porcelain", "--", *_CODE)
    return {
        "date": datetime.date.today().isoformat(),
        "machine": machine or processor(),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in packages},
        },
        "commit": f"{commit}{_CHANGED}" if commit and changed else commit,
    }


def _git(*words: str) -> str:
    git = ["git", "-C", str(EXPERIMENTS), *words]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout


def parts_made(report: Mapping[str, Any]) -> str:
    """When, on what and with what each part of a report was measured."""
    lines = []
    for name, part in report.items():
        found = part["made"]
        versions = ", ".join(f"{k} {v}" for k, v in found["versions"].items())
        commit, *changes = (found["commit"] or "–").split(" ", 1)
        commit = " ".join([commit[:9], *changes])
        # Some older report has other figures of that name.
        seconds = part.get("seconds")
        took = f"{seconds / 60:.1f} min" if isinstance(seconds, int) else "–"
        lines.append((name, found["date"], found["machine"], versions, commit, took))
    head: tuple[str, ...] = ("part", "date", "machine", "versions", "commit", "took")
    if all(line[5] == "–" for line in lines):
        head, lines = head[:5], [line[:5] for line in lines]
    return table(head, lines, left=5)


def processor() -> str:
    """The processor, and how many cores of it are ours."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{os.cpu_count()} cores of {name}"
