"""The room secrets that this machine keeps, and the bare fact that a room has one.

``room_secrets.json`` in our home says for each room of each service which secret is the newest, since when, and how
long the one before it is good. The secrets themselves lie in the desktop's keyring where there is one, else in the same
file. The fact stays when the secret is lost: a room that had one is never entered without.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from sleap_rtc.config.by_service import ByService
from sleap_rtc.config.clock import utc_ms
from sleap_rtc.config.desktop_keyring import DesktopKeyring, Keyring
from sleap_rtc.config.paths import home
from sleap_rtc.config.servers import normal_server, server_words
from sleap_rtc.errors import ConfigError, ConflictError, StorageError
from sleap_rtc.protocol.ids import check_id
from sleap_rtc.protocol.room_secrets import RoomSecret

FILE_NAME = "room_secrets.json"
MOST_REMEMBERED = 64
"""Names of a room, and keys that lead there, which are remembered."""
GRACE_MS = 24 * 3600 * 1000
"""How long a secret is good after a newer one came here, in milliseconds."""


@dataclass(frozen=True)
class Kept:
    """What this machine knows of a room's secret.

    Attributes:
        newest: the epoch of the newest secret that was kept here; 0 where there is only the fact that the room has one.
        since: when that came here, in UTC milliseconds; 0 likewise.
        previous: the epoch of the one before it, which is good for `GRACE_MS` from then on; 0 if none is.
        names: what the user has called the room; the service is not believed if it means another one by them.
        in_keyring: whether the secrets lie in the keyring.
        secrets: their texts, the newest first, if not.
        from_project: the public id of a secret that a project's file gave when the room was not known here.
        worker_keys: digests of the worker tokens that led to this room.
    """

    newest: int = 0
    since: int = 0
    previous: int = 0
    names: tuple[str, ...] = ()
    in_keyring: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)
    from_project: str = ""
    worker_keys: tuple[str, ...] = ()

    def accepts(self, epoch: int, now: int) -> bool:
        """Tell whether a secret of this epoch is good at `now`, in UTC milliseconds.

        A clock that was set back behind the moment when the newer one came makes an old one no better.
        """
        return epoch >= self.newest or (epoch == self.previous and self.since <= now < self.since + GRACE_MS)


class RoomSecretStore:
    """The file and the keyring. Two processes that change them at once both succeed. Every method blocks.

    Args:
        path: the file; ``room_secrets.json`` in our home by default.
        keyring: the keyring; the desktop's by default.
        clock: this machine's clock, in UTC milliseconds.

    Every method raises `ConfigError` if the file is damaged, a link, or open to others, and `ProtocolError` for what is
    no room's id.
    """

    def __init__(
        self, path: Path | None = None, *, keyring: Keyring | None = None, clock: Callable[[], int] = utc_ms
    ) -> None:
        self._file = ByService(
            path or home() / FILE_NAME,
            ", so it is not known which rooms have a secret. Restore it from a backup; or remove it, and give each "
            "room's secret again: sleap-rtc room set-secret ROOM",
        )
        self._keyring = keyring or DesktopKeyring()
        self._clock = clock
        self._read_before: dict[tuple[str, str], tuple[Kept, tuple[str, ...]]] = {}

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self._file.path

    def kept(self, server: str, room: str) -> Kept | None:
        """What is known of a room's secret; None if the room is not known to have one."""
        return self.rooms(server).get(check_id("room", room))

    def rooms(self, server: str) -> dict[str, Kept]:
        """The rooms of a service that are known to have a secret, by id."""
        return {room: self._made(entry) for room, entry in self._file.entry(server).items()}

    def now(self) -> int:
        """The time by which secrets are judged, in UTC milliseconds."""
        return self._clock()

    def secrets(self, server: str, room: str) -> tuple[RoomSecret, ...]:
        """The secrets kept for a room that are good now, the newest first.

        Raises:
            ConfigError: if one was written there that is none.
            StorageError: if the keyring that has them cannot be asked.
        """
        kept = self.kept(server, room)
        if kept is None:
            return ()
        found = [RoomSecret.parse(text) for text in self._texts(server, room, kept)]
        good = [secret for secret in found if kept.accepts(secret.epoch, self._clock())]
        return tuple(sorted(good, key=lambda secret: secret.epoch, reverse=True))

    def keep(self, server: str, room: str, secret: RoomSecret, *, end_old: bool = False, name: str = "") -> Kept:
        """Keep a secret as the newest of its room.

        Args:
            server: the service's address.
            room: the room's id.
            secret: the secret.
            end_old: whether the one before it ends now, and not in a day.
            name: what the room is called, if that is known.

        Raises:
            ConflictError: if a newer one is kept here.
            StorageError: if the disk refuses.
        """
        check_id("room", room)
        with self._file.changing(server) as rooms:
            before = self._made(rooms.get(room, {}))
            old = self._old_secrets(server, room, before)
            _check_newest(server, room, secret, before, old)
            fresh = replace(before, names=_with(before.names, name))
            if secret.epoch > before.newest:
                fresh = replace(fresh, newest=secret.epoch, since=self._clock(), previous=before.newest)
            if end_old:
                fresh = replace(fresh, previous=0)
            texts = (secret.text, *(each.text for each in old if each.epoch == fresh.previous))
            in_keyring = self._keyring.set(_item(server, room), " ".join(texts))
            fresh = replace(fresh, in_keyring=in_keyring, secrets=() if in_keyring else texts)
            rooms[room] = asdict(fresh)
        return fresh

    def note(self, server: str, room: str, *, from_project: str = "", worker_key: str = "", name: str = "") -> None:
        """Note that a room has a secret, which is given by other means, and what else leads there.

        Args:
            server: the service's address.
            room: the room's id.
            from_project: the public id of the secret, if a project's file gives it.
            worker_key: the digest of a worker token that leads there.
            name: what the user calls the room.

        Raises:
            StorageError: if the disk refuses.
        """

        def noted(kept: Kept) -> Kept:
            keys, names = _with(kept.worker_keys, worker_key), _with(kept.names, name)
            return replace(kept, from_project=kept.from_project or from_project, worker_keys=keys, names=names)

        before = self.kept(server, room)
        if before is not None and noted(before) == before:
            return
        with self._file.changing(server) as rooms:
            rooms[room] = asdict(noted(self._made(rooms.get(room, {}))))

    def forget(self, server: str, room: str) -> bool:
        """Forget a room's secrets and that it has any; tell whether anything was known.

        Raises:
            StorageError: if the keyring that has them cannot be asked.
        """
        check_id("room", room)
        with self._file.changing(server) as rooms:
            entry = rooms.pop(room, None)
            if entry is not None and self._made(entry).in_keyring:
                self._keyring.delete(_item(server, room))
        return entry is not None

    def _texts(self, server: str, room: str, kept: Kept) -> tuple[str, ...]:
        if not kept.in_keyring:
            return kept.secrets
        # the file tells when the keyring has something else: it is asked once, and may be locked afterwards
        at = (normal_server(server), room)
        read_for, texts = self._read_before.get(at, (None, ()))
        if read_for != kept:
            texts = tuple((self._keyring.get(_item(server, room)) or "").split())
            if texts:
                self._read_before[at] = (kept, texts)
        return texts

    def _old_secrets(self, server: str, room: str, before: Kept) -> list[RoomSecret]:
        # what cannot be read ends early, which is no reason not to keep the newer one
        found = []
        with suppress(StorageError):
            for text in self._texts(server, room, before):
                with suppress(ConfigError):
                    found.append(RoomSecret.parse(text))
        return found

    def _made(self, entry: Any) -> Kept:
        kinds = {each.name: type(each.default) for each in fields(Kept)}
        try:
            values: dict[str, Any] = {
                name: tuple(value) if kinds[name] is tuple else value for name, value in entry.items()
            }
            right = all(type(value) is kinds[name] for name, value in values.items())
            texts = [text for value in values.values() if isinstance(value, tuple) for text in value]
            if not right or not all(isinstance(text, str) for text in texts):
                raise self._file.damaged()
            return Kept(**values)
        except (AttributeError, KeyError, TypeError) as error:
            raise self._file.damaged() from error


def _check_newest(server: str, room: str, secret: RoomSecret, before: Kept, old: Sequence[RoomSecret]) -> None:
    same_age = [each for each in old if each.epoch == secret.epoch == before.newest]
    if secret.epoch > before.newest or (secret.epoch == before.newest and (not same_age or secret in same_age)):
        return
    raise ConflictError(
        f"This machine has a newer secret of the room {room}, so this one is not kept. Ask for the newest one. If this "
        f"is really the one to use, first type: sleap-rtc room set-secret{server_words(server)} {room} --forget"
    )


def _with(known: tuple[str, ...], one: str) -> tuple[str, ...]:
    """`known` and one more at its end, each once; only the last ones stay."""
    return known if not one or one in known else (*known, one)[-MOST_REMEMBERED:]


def _item(server: str, room: str) -> str:
    return f"{normal_server(server)} {room}"
