"""Where the pages are, and the parts of them that a program writes."""

import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"

_BLOCK = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[a-z-]+) -->\n)(?P<body>.*?)(?P<end><!-- end of (?P=name) -->)", re.DOTALL
)


def pages() -> list[Path]:
    """README and every page, in a fixed order."""
    return [README, *sorted(DOCS.glob("*.md"))]


def blocks(text: str) -> dict[str, str]:
    """The generated parts of a page, by name."""
    return {match["name"]: match["body"] for match in _BLOCK.finditer(text)}


def with_blocks(text: str, new: Mapping[str, str]) -> str:
    """The page with its generated parts replaced."""
    return _BLOCK.sub(lambda match: match["begin"] + new[match["name"]] + match["end"], text)


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *[[cell.replace("|", "\\|") for cell in row] for row in rows]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
