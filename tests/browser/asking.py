"""What a test arranges without clicking: asked of the service as the page asks it, with the visitor's own login."""

from dataclasses import dataclass
from typing import Any

from tests.browser.chromium import Visitor

_ASK = """async ([method, path, body]) => {
    const init = {method};
    if (body !== null) Object.assign(init, {body: JSON.stringify(body), headers: {"Content-Type": "application/json"}});
    const answer = await fetch(`/api/v1/${path}`, init);
    const text = await answer.text();
    return [answer.status, text ? JSON.parse(text) : null];
}"""


def ask(visitor: Visitor, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """The service's answer to what has to go well."""
    status, answer = visitor.page.evaluate(_ASK, [method, path, body])
    assert status < 300, answer
    return answer


@dataclass(frozen=True)
class MadeRoom:
    """A room of a visitor."""

    owner: Visitor
    id: str
    name: str

    def token(self, name: str = "gpu-1") -> str:
        """A worker token."""
        made: str = ask(self.owner, "POST", f"rooms/{self.id}/tokens", {"name": name})["token"]
        return made

    def let_in(self, somebody: Visitor) -> None:
        """Make somebody a member."""
        code = ask(self.owner, "POST", f"rooms/{self.id}/invites", {})["code"]
        ask(somebody, "POST", "invites/redeem", {"code": code})


def make_room(owner: Visitor, name: str = "lab", days: int | None = 30) -> MadeRoom:
    """Make a room that belongs to a visitor."""
    return MadeRoom(owner, ask(owner, "POST", "rooms", {"name": name, "expires_days": days})["room_id"], name)
