"""A test that a page names is there: what is promised to be tested is tested."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
NAMED = re.compile(r"`(tests/[\w/]+\.py)`: ((?:`test_\w+`(?:, )?)+)")


def test_tests_that_the_security_page_names_exist() -> None:
    named = NAMED.findall((DOCS / "security.md").read_text())
    assert named
    missing = [
        f"{path}: {name}"
        for path, names in named
        for name in re.findall(r"test_\w+", names)
        if f"def {name}(" not in (DOCS.parent / path).read_text()
    ]
    assert missing == []
