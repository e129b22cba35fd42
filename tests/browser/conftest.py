"""The dashboard in a real browser, against a real service."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser import chromium
from tests.browser.chromium import Visitor, log_in, visitors
from tests.e2e.programs import end, start, word_with

Visit = Callable[..., Visitor]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these tests share one browser and one service, in one process."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))


# of the package, not of the session: while Playwright's loop runs in a thread, no asynchronous test can run there
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = chromium.program()
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with chromium.running_chromium(path) as running:
        yield running


@pytest.fixture(scope="package")
def site_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where that service keeps its data."""
    return tmp_path_factory.mktemp("site") / "service.db"


@pytest.fixture(scope="package")
def site(site_database: Path) -> Iterator[str]:
    """The address of a service where anybody logs in by name."""
    service = start(
        site_database.parent, "server", "run", "--dev", "--port", "0", "--database", str(site_database), quiet=True
    )
    try:
        yield word_with(service, "http://")
    finally:
        service.terminate()
        end(service)


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Visit]:
    """Opens a browser for somebody; in none of them may anything go wrong that the test does not expect."""
    with visitors() as opened:

        def open_for(name: str, **options: object) -> Visitor:
            opened.append(log_in(browser, site, name, **options))
            return opened[-1]

        yield open_for
