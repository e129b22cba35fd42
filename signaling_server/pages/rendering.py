"""From a template to an answer, and from an error to a page."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException

from signaling_server.errors import status_of
from sleap_rtc.errors import SleapRTCError

LOGIN = "/login"
# forms go to ourselves alone. With no-referrer browsers would not say where a form comes from, not even to us
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_ENVIRONMENT = Environment(
    loader=PackageLoader("signaling_server.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
)


class LogInFirst(Exception):  # noqa: N818 - a way to the login page, not an error anyone sees
    """Somebody opened a page that is for who is logged in.

    Args:
        return_to: the page to show afterwards.
    """

    def __init__(self, return_to: str) -> None:
        super().__init__()
        self.return_to = return_to


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, with our way of saying what went wrong."""
        handler = super().get_route_handler()

        async def shown(request: Request) -> Response:
            try:
                return await handler(request)
            except LogInFirst as error:
                return go_to(f"{LOGIN}?return_to={error.return_to}")
            except SleapRTCError as error:
                return error_page(status_of(error), error.sentence)
            except RequestValidationError:
                return error_page(422, "This form was not filled in as it ought to be. Go back and try again.")
            except HTTPException as error:
                return error_page(error.status_code, str(error.detail), error.headers)

        return shown


def page(template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """The page made from a template; whatever stands in `context` is text to it."""
    text = _ENVIRONMENT.get_template(f"{template}.html").render(context)
    return HTMLResponse(text, status_code=status, headers=HEADERS)


def go_to(path: str) -> RedirectResponse:
    """Send a browser on, with GET."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER, headers=HEADERS)


def error_page(status: int, sentence: str, headers: Any = None) -> HTMLResponse:
    """A page that says what went wrong."""
    answer = page("error", status=status, sentence=sentence)
    answer.headers.update(headers or {})
    return answer
