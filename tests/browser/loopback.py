"""``sleap-rtc dashboard`` as a program, and somebody who looks at its page."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser

from tests.browser.chromium import Visitor
from tests.e2e.programs import end, environment, start
from tests.forked import sleap_rtc


@dataclass
class Machine:
    """A machine of somebody who uses the command line.

    Attributes:
        folder: what it keeps lies here.
        site: the address of the service.
    """

    folder: Path
    site: str

    @property
    def home(self) -> Path:
        return self.folder / "dashboard"

    def type(self, *arguments: str) -> str:
        """Type a command that must succeed, and return what it prints."""
        surroundings = environment(self.home) | {"SLEAP_RTC_SERVER": self.site}
        typed = sleap_rtc(*arguments, cwd=self.folder, environment=surroundings)
        assert typed.code == 0, typed.err
        return typed.out

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start the dashboard."""
        return start(self.folder, "dashboard", "--no-browser", "--json", "--server", self.site, *arguments)


@contextmanager
def dashboard_on(machine: Machine, *arguments: str) -> Iterator[str]:
    """Run the dashboard of a machine, whose user is logged in, and give its address."""
    program = machine.start(*arguments)
    try:
        assert program.stdout
        yield json.loads(program.stdout.readline())["url"]
    finally:
        program.terminate()
        assert end(program) == 0


def open_page(browser: Browser, url: str, name: str, **options: object) -> Visitor:
    """Open the page of a dashboard on this machine; nobody logs in there."""
    parts = urlsplit(url)
    context = browser.new_context(**options)  # type: ignore[arg-type] # Playwright's own words
    context.set_default_timeout(15_000)
    visitor = Visitor(name, f"{parts.scheme}://{parts.netloc}", context, context.new_page(), home=parts.path)
    visitor.watch(visitor.page)
    return visitor
