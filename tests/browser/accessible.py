"""What axe finds in a page that keeps somebody from using it."""

from functools import cache
from importlib.resources import files

from playwright.sync_api import Page

GRAVE = ("serious", "critical")


@cache
def _axe() -> str:
    return (files("axe_core_python") / "axe.min.js").read_text("utf-8")


def grave_findings(page: Page) -> list[str]:
    """Each serious or critical finding with the first element that it is about."""
    # evaluated by the debugger, which no policy of the page holds back
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_axe())
    found = page.evaluate("() => axe.run()")
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found["violations"] if each["impact"] in GRAVE]
