"""Tests that a page names are there: what is promised to be tested is tested."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`((?:tests/[\w/]+/)?test_\w+\.py)`")


def test_tests_that_the_security_page_names_exist() -> None:
    folder, missing, seen = "", [], 0
    for name in NAMED.findall((ROOT / "docs/security.md").read_text()):
        # a name without a folder is in the folder that was named before it
        folder, _, file = name.rpartition("/") if "/" in name else (folder, "", name)
        seen += 1
        if not (ROOT / folder / file).is_file():
            missing.append(name)
    assert seen
    assert missing == []
