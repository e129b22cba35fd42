"""What the token endpoint answers when it hands out nothing (RFC 6749 §5.2, RFC 8628 §3.5)."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl

RefusalCode = Literal[
    "authorization_pending",
    "slow_down",
    "access_denied",
    "expired_token",
    "invalid_grant",
    "invalid_request",
    "unsupported_grant_type",
]


@dataclass(frozen=True)
class Refusal:
    """Why nothing is handed out. Returned and not raised, as what the database notes beside it must stay.

    Attributes:
        code: the standards' word, for programs.
        sentence: the same for people, in printable ASCII without quotes and backslashes, as the standard wants.
    """

    code: RefusalCode
    sentence: str


_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 16


def read_form(body: bytes, content_type: str) -> dict[str, str] | Refusal:
    """Read the parameters of a request to the token endpoint (RFC 6749 §3.2, appendix B).

    Args:
        body: what was sent.
        content_type: what it is said to be.
    """
    if content_type.partition(";")[0].strip().lower() != _FORM:
        return Refusal("invalid_request", f"The parameters come as {_FORM}.")
    try:
        fields = parse_qsl(body.decode(), strict_parsing=True, max_num_fields=_MOST_FIELDS)
    except ValueError:  # broken percent signs or UTF-8, a part without =, too many of them
        return Refusal("invalid_request", f"The parameters are not {_FORM}.")
    form = dict(fields)
    if len(form) != len(fields):
        return Refusal("invalid_request", "A parameter was sent twice.")
    return form
