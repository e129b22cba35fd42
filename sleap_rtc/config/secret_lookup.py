"""Which secrets of a room hold on this machine: what was typed, then the environment, the files, and what is kept."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from secrets import token_bytes

from sleap_rtc.config.room_secrets import MOST_REMEMBERED, Kept, RoomSecretStore
from sleap_rtc.config.schema import secret_key
from sleap_rtc.config.servers import normal_server, server_words
from sleap_rtc.config.settings import Settings, load_settings
from sleap_rtc.errors import AuthenticationError, ConfigError, ConflictError, StorageError
from sleap_rtc.protocol.ids import check_id
from sleap_rtc.protocol.room_secrets import KEY_BYTES, MAX_EPOCH, RoomSecret

VARIABLE = "SLEAP_RTC_ROOM_SECRET"
"""The environment's name for a room's secret."""


class SecretLookup:
    """Finds the secrets of rooms, and refuses to find none where a room is known to have one.

    What was typed or exported holds alone. Else that of the configuration and those that are kept hold together. A
    file found in a project may be anybody's: its secret holds only in a room that never had another one here.

    Args:
        settings: what is set; None reads it when it is needed.
        given: a secret that was typed, or that the environment names; None for neither.
        given_by: where it was given, for sentences.
        store: what is kept on this machine.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        given: str | None = None,
        given_by: str = VARIABLE,
        *,
        store: RoomSecretStore | None = None,
    ) -> None:
        self._settings = settings
        self._given = given
        self._given_by = given_by
        self.store = store or RoomSecretStore()

    @classmethod
    def of_this_machine(cls, environ: Mapping[str, str] | None = None) -> "SecretLookup":
        """What holds where nothing was typed."""
        return cls(given=(os.environ if environ is None else environ).get(VARIABLE) or None)

    def secrets(self, server: str, room: str) -> tuple[RoomSecret, ...]:
        """The secrets for a link in a room, the newest first; none if the room has none. Blocks.

        Args:
            server: the service's address.
            room: the room's id.

        Raises:
            AuthenticationError: if the room is known to have a secret and this machine has none, or one that has ended.
            ConfigError: if what was given is no secret.
            StorageError: if the keyring that has it cannot be asked.
            ProtocolError: if `room` is no room's id.
        """
        check_id("room", room)
        kept = self.store.kept(server, room)
        if self._given is not None:
            secret = _read(self._given, self._given_by)
            self._check_good(secret, kept, room)
            found: tuple[RoomSecret, ...] = (secret,)
        else:
            found = self._kept_or_written(server, room, kept)
        if kept is None and found:
            self._note(server, room)
        return found or self._from_project(server, room, kept)

    def make_newer(self, server: str, room: str, *, end_old: bool = False, name: str = "") -> tuple[RoomSecret, Kept]:
        """Make a secret that is newer than all that this machine knows of a room, and keep it.

        Args:
            server: the service's address.
            room: the room's id.
            end_old: whether the one before it ends now, and not in a day.
            name: what the room is called, if that is known.

        Raises:
            ConfigError: if the file of secrets cannot be used.
            ConflictError: if none can be newer.
            StorageError: if the disk refuses.
        """
        known: tuple[RoomSecret, ...] = ()
        with suppress(AuthenticationError, StorageError):  # one that has ended, or was lost, needs no successor
            known = self.secrets(server, room)
        kept = self.store.kept(server, room) or Kept()
        newest = max([kept.newest, *(secret.epoch for secret in known)])
        if newest == MAX_EPOCH:
            raise ConflictError(
                f"No secret can be newer than that of the room {room}. If it may be given up, first type: "
                f"sleap-rtc room set-secret{server_words(server)} {room} --forget"
            )
        if newest > kept.newest:
            self.store.keep(server, room, known[0], name=name)  # so that it lives on for a day here, too
        secret = RoomSecret.make(token_bytes(KEY_BYTES), max(self.store.now() // 1000, newest + 1))
        return secret, self.store.keep(server, room, secret, end_old=end_old, name=name)

    def check_name(self, server: str, typed: str, room: str) -> None:
        """Refuse a room that the service has found for a name that has led to another one, which has a secret.

        Args:
            server: the service's address.
            typed: what the user typed.
            room: the id of the room that the service means by it.

        Raises:
            AuthenticationError: if the name stands for another room here.
        """
        wanted = typed.strip()
        rooms = self.store.rooms(server)
        if wanted == room:
            return
        for known, kept in rooms.items():
            if known != room and wanted.casefold() in map(str.casefold, kept.names):
                raise AuthenticationError(
                    f"By '{wanted}' this machine knows the room {known}, which has a secret, and the service means "
                    f"{room} now. If that is right, name the room by its id, or forget the old one: "
                    f"sleap-rtc room set-secret{server_words(server)} {known} --forget"
                )

        if room in rooms:
            self._note(server, room, name=wanted)

    def secrets_shown(self, server: str, names: Sequence[str], room: str) -> tuple[RoomSecret, ...]:
        """The secrets of a room that was picked where the service shows it under `names`.

        A room without a secret is refused under a name of one that has a secret: the service may have put it there.

        Args:
            server: the service's address.
            names: what the room was called; names that are new are remembered while there is space for them.
            room: the id of the room that was picked.

        Raises:
            AuthenticationError: as `secrets` does, and if a name stands for another room here.
        """
        found = self.secrets(server, room)
        for name in names:
            if not found:
                self.check_name(server, name, room)
            # none that is known gives way: the service could call the room what it likes until all are forgotten
            elif (kept := self.store.kept(server, room)) is not None and len(kept.names) < MOST_REMEMBERED:
                self._note(server, room, name=name.strip())
        return found

    def check_worker_key(self, server: str, token: str, room: str) -> None:
        """Refuse a room to which a worker's token has not led before, if it led to one with a secret.

        Args:
            server: the service's address.
            token: the worker's token.
            room: the id of the room that it opens, as the service says.

        Raises:
            AuthenticationError: if the service means another room now.
        """
        digest = hashlib.sha256(token.encode()).hexdigest()
        for known, kept in self.store.rooms(server).items():
            if digest in kept.worker_keys and known != room:
                raise AuthenticationError(
                    f"This worker's key opened the room {known} before, which has a secret, and the service says that "
                    f"it opens {room} now. A key never changes its room: do not trust the service; ask its operator."
                )
        if self.store.kept(server, room) is not None:
            self._note(server, room, worker_key=digest)

    def _kept_or_written(self, server: str, room: str, kept: Kept | None) -> tuple[RoomSecret, ...]:
        found = {secret.epoch: secret for secret in self.store.secrets(server, room)}
        secret = self._written(server, room, from_project=False)
        if secret is not None and (kept is None or kept.accepts(secret.epoch, self.store.now())):
            found.setdefault(secret.epoch, secret)
        return tuple(found[epoch] for epoch in sorted(found, reverse=True))

    def _from_project(self, server: str, room: str, kept: Kept | None) -> tuple[RoomSecret, ...]:
        secret = self._written(server, room, from_project=True)
        name = "" if secret is None else secret.name_in(room).id
        if kept is not None and (secret is None or name != kept.from_project):
            raise _lost(server, room)
        if secret is None:
            return ()
        if kept is None:
            self._note(server, room, from_project=name)
        return (secret,)

    def _written(self, server: str, room: str, *, from_project: bool) -> RoomSecret | None:
        settings = self._settings = self._settings or load_settings()
        key = secret_key(room)
        text = settings.secrets.get(room) if normal_server(server) == settings.server else None
        if text is None or (key in settings.from_project) != from_project:
            return None
        return _read(text, settings.origin(key))

    def _note(self, server: str, room: str, **what: str) -> None:
        # a home that cannot be written is no reason to use no secret
        with suppress(StorageError):
            self.store.note(server, room, **what)

    def _check_good(self, secret: RoomSecret, kept: Kept | None, room: str) -> None:
        if kept is not None and not kept.accepts(secret.epoch, self.store.now()):
            raise AuthenticationError(
                f"The secret from {self._given_by} has ended: this machine knows a newer one of the room {room}. Leave "
                "it out to use that, or ask for the newest in the room."
            )


def _read(text: str, origin: str) -> RoomSecret:
    try:
        return RoomSecret.parse(text)
    except ConfigError as error:
        raise ConfigError(f"The room's secret from {origin} cannot be used. {error.sentence}") from error


def _lost(server: str, room: str) -> AuthenticationError:
    command = f"sleap-rtc room set-secret{server_words(server)} {room}"
    return AuthenticationError(
        f"The room {room} has a secret and this machine does not have it, so nothing is sent there. Ask for it in the "
        f"room, then run: {command} (or set {VARIABLE}). If the room shall be used without one from now on: "
        f"{command} --forget"
    )
