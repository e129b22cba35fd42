"""Chromium as tests see the dashboard: whatever a page complains of, or asks of somebody else, fails the test."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# pages of tests are ours, and as root Chromium has no sandbox of its own
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking")

WAIT_MS = 30_000
"""After which something has not happened; a machine with much else to do is slow."""


def program() -> str | None:
    """Where Chromium is; None where there is none."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@contextmanager
def running_chromium(path: str) -> Iterator[Browser]:
    """A browser without a window."""
    # asyncio's own checks would be made of Playwright's code
    os.environ.pop("PYTHONASYNCIODEBUG", None)
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """Somebody with a browser of their own.

    Attributes:
        name: whom they are logged in as.
        base: the origin of the page: whatever it asks of another one is a complaint.
        context: their cookies and storage.
        page: the tab they look at.
        complaints: what went wrong in their tabs, whether they saw it or not.
        home: the page's path.
    """

    name: str
    base: str
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    home: str = "/dashboard/"

    def expect(self, complaint: str) -> None:
        """Say that the test causes complaints with these words: a network that is cut, a service that is away."""
        self.expected.append(complaint)

    def unexpected(self) -> list[str]:
        """What nobody expected."""
        return [text for text in self.complaints if not any(words in text for words in self.expected)]

    def watch(self, page: Page) -> None:
        """Note what goes wrong in a tab."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and f"{parts.scheme}://{parts.netloc}" != self.base:
            self.complaints.append(f"foreign request: {request.url}")

    def go(self, *parts: str) -> Page:
        """Open a view of the dashboard."""
        self.page.goto(f"{self.base}{self.home}#/" + "/".join(parts))
        return self.page


def log_in(browser: Browser, base: str, name: str, **options: object) -> Visitor:
    """Open a browser for somebody, and log in on the login page as they would.

    Args:
        browser: the browser.
        base: the service's address.
        name: who they are, on a service that asks for no password.
        options: of the context: the size of its window, its colours.
    """
    context = browser.new_context(base_url=base, **options)  # type: ignore[arg-type] # Playwright's own words
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    visitor = Visitor(name, base, context, page)
    visitor.watch(page)
    page.goto("/login?return_to=/dashboard/")
    page.get_by_label("Any name").fill(name)
    page.get_by_role("button", name="Log in without a password").click()
    page.wait_for_url("**/dashboard/**")
    return visitor


@contextmanager
def visitors() -> Iterator[list[Visitor]]:
    """A list for those who open pages in the block; in none of them may anything go wrong that nobody expects."""
    opened: list[Visitor] = []
    yield opened
    complaints = [complaint for visitor in opened for complaint in visitor.unexpected()]
    for visitor in opened:
        visitor.context.close()
    assert not complaints
