"""The dashboard in a browser, with everything behind it, for whoever measures it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser

from tests.bench.processes import BenchError
from tests.browser.chromium import Visitor, log_in, program, running_chromium
from tests.browser.labs import PageLab, page_lab
from tests.e2e.programs import end, start, word_with


@contextmanager
def running_site(folder: Path) -> Iterator[str]:
    """The address of a service where anybody logs in by name."""
    service = start(folder, "server", "run", "--dev", "--port", "0", "--database", str(folder / "service.db"))
    try:
        yield word_with(service, "http://")
    finally:
        service.terminate()
        end(service)


@contextmanager
def page_at_work(engine: str = "auto") -> Iterator[tuple[Browser, Visitor, PageLab, Path]]:
    """A browser with somebody who is logged in, their room for a worker of that engine, and a folder for files.

    Raises:
        BenchError: if there is no Chromium.
    """
    path = program()
    if path is None:
        raise BenchError("Chromium is not installed: apt-get install chromium")
    with (
        TemporaryDirectory(prefix="sleap-rtc-bench-") as name,
        running_site(Path(name)) as site,
        running_chromium(path) as browser,
    ):
        visitor = log_in(browser, site, "ada")
        with page_lab(visitor, Path(name) / "worker", engine=engine) as lab:
            yield browser, visitor, lab, Path(name)
