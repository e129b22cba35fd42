"""What is dear to set up is set up once: tests of one group run in one process."""

import pytest


@pytest.mark.xdist_group("groups")
def test_groups_are_known_where_tests_are_dealt_out(request: pytest.FixtureRequest) -> None:
    # pytest-xdist writes a test's group behind its name and deals out by that; some versions of pytest undo it
    assert not request.config.getoption("loadgroup", default=False) or request.node.nodeid.endswith("@groups")
