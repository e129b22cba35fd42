"""Where room secrets are kept and found, and that a room which had one is never entered without."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from sleap_rtc.config.desktop_keyring import DesktopKeyring
from sleap_rtc.config.room_secrets import GRACE_MS, RoomSecretStore
from sleap_rtc.config.secret_lookup import SecretLookup
from sleap_rtc.config.settings import Kind, Layer, Settings, merge
from sleap_rtc.errors import AuthenticationError, ConfigError, ConflictError, ProtocolError, StorageError
from sleap_rtc.protocol.room_secrets import MAX_EPOCH, RoomSecret
from tests.config.keyrings import LockedKeyring, MemoryKeyring, OpenKeyring, using

SERVER, ROOM, OTHER_ROOM = "https://rtc.example", "r_room0000", "r_other000"
OLD, NEW, NEWEST = (RoomSecret.make(bytes([number]) * 32, 1_800_000_000 + number) for number in (1, 2, 3))


class Clock:
    """A clock that stands until it is set."""

    now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> RoomSecretStore:
    return RoomSecretStore(tmp_path / "room_secrets.json", clock=clock)


def lookup(store: RoomSecretStore, given: str | None = None, **written: str) -> SecretLookup:
    """A lookup where these secrets of rooms are written in the configuration."""
    own = Layer("~/sleap-rtc.toml", {f"secrets.{room}": text for room, text in written.items()} | {"server": SERVER})
    return SecretLookup(merge([own]), given, store=store)


def test_a_secret_is_kept_in_a_file_of_the_user_alone_where_there_is_no_keyring(store: RoomSecretStore) -> None:
    assert not store.keep(SERVER, ROOM, NEW).in_keyring
    assert store.secrets(SERVER + "/", ROOM) == (NEW,)
    assert store.secrets("https://other.example", ROOM) == ()
    assert store.secrets(SERVER, OTHER_ROOM) == ()
    assert store.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_a_file_that_others_can_read_is_refused_and_not_changed(store: RoomSecretStore) -> None:
    store.keep(SERVER, ROOM, NEW)
    store.path.chmod(0o640)
    before = store.path.read_bytes()
    for act in (lambda: store.secrets(SERVER, ROOM), lambda: store.keep(SERVER, ROOM, NEWEST)):
        with pytest.raises(ConfigError, match=f"chmod 600 {store.path}"):
            act()
    assert store.path.read_bytes() == before


@pytest.mark.parametrize(
    "content", ["", "[]", '{"https://rtc.example": 3}', '{"https://rtc.example": {"r_room0000": {"newest": "x"}}}']
)
def test_a_damaged_file_is_no_room_without_a_secret(store: RoomSecretStore, content: str) -> None:
    store.path.write_text(content)
    store.path.chmod(0o600)
    with pytest.raises(ConfigError, match="is damaged"):
        lookup(store).secrets(SERVER, ROOM)


@pytest.mark.parametrize("room", ["../../.ssh/id_rsa", "r_..", "r_" + "x" * 65, "", "u_user0000", "r_room0000\n"])
def test_what_is_no_room_id_is_no_key_either(store: RoomSecretStore, room: str) -> None:
    for act in (
        lambda: store.keep(SERVER, room, NEW),
        lambda: store.kept(SERVER, room),
        lambda: store.forget(SERVER, room),
        lambda: lookup(store, NEW.text).secrets(SERVER, room),
    ):
        with pytest.raises(ProtocolError, match="not a room id"):
            act()
    assert not store.path.exists()


def test_the_one_before_is_good_for_a_day_and_no_longer(store: RoomSecretStore, clock: Clock) -> None:
    store.keep(SERVER, ROOM, OLD)
    store.keep(SERVER, ROOM, NEW)
    assert store.secrets(SERVER, ROOM) == (NEW, OLD)
    clock.now += GRACE_MS - 1
    assert store.secrets(SERVER, ROOM) == (NEW, OLD)
    clock.now += 1
    assert store.secrets(SERVER, ROOM) == (NEW,)


def test_a_clock_that_is_set_back_makes_an_old_secret_no_better(store: RoomSecretStore, clock: Clock) -> None:
    store.keep(SERVER, ROOM, OLD)
    store.keep(SERVER, ROOM, NEW)
    clock.now -= 1
    assert store.secrets(SERVER, ROOM) == (NEW,)


def test_one_that_is_ended_is_good_no_more_and_gone_from_the_disk(store: RoomSecretStore) -> None:
    store.keep(SERVER, ROOM, OLD)
    store.keep(SERVER, ROOM, NEW, end_old=True)
    assert store.secrets(SERVER, ROOM) == (NEW,)
    assert OLD.text not in store.path.read_text()


def test_an_old_one_can_be_ended_after_the_newer_one_came(store: RoomSecretStore) -> None:
    store.keep(SERVER, ROOM, OLD)
    store.keep(SERVER, ROOM, NEW)
    store.keep(SERVER, ROOM, NEW, end_old=True)
    assert store.secrets(SERVER, ROOM) == (NEW,)


def test_giving_the_same_secret_again_does_not_lengthen_the_life_of_the_old_one(
    store: RoomSecretStore, clock: Clock
) -> None:
    store.keep(SERVER, ROOM, OLD)
    store.keep(SERVER, ROOM, NEW)
    clock.now += GRACE_MS
    store.keep(SERVER, ROOM, NEW)
    assert store.secrets(SERVER, ROOM) == (NEW,)


def test_an_older_secret_does_not_replace_a_newer_one(store: RoomSecretStore) -> None:
    store.keep(SERVER, ROOM, NEW)
    for older in (OLD, replace(NEW, key=b"x" * 32)):
        with pytest.raises(ConflictError, match=r"set-secret --server https://rtc\.example r_room0000 --forget"):
            store.keep(SERVER, ROOM, older)
    assert store.secrets(SERVER, ROOM) == (NEW,)


def test_a_third_secret_ends_the_first(store: RoomSecretStore) -> None:
    for secret in (OLD, NEW, NEWEST):
        store.keep(SERVER, ROOM, secret)
    assert store.secrets(SERVER, ROOM) == (NEWEST, NEW)


def test_a_keyring_keeps_the_secrets_and_the_file_the_fact(store: RoomSecretStore) -> None:
    desktop = MemoryKeyring()
    with using(desktop):
        store.keep(SERVER, ROOM, OLD)
        assert store.keep(SERVER, ROOM, NEW).in_keyring
        assert store.secrets(SERVER, ROOM) == (NEW, OLD)
        assert "slrs_" not in store.path.read_text()
        assert desktop.items == {("sleap-rtc", f"{SERVER} {ROOM}"): f"{NEW.text} {OLD.text}"}
        assert store.forget(SERVER, ROOM)
        assert not desktop.items
    assert store.kept(SERVER, ROOM) is None


def test_an_open_keyring_is_asked_once_until_there_is_something_new(store: RoomSecretStore) -> None:
    desktop = MemoryKeyring()
    with using(desktop):
        store.keep(SERVER, ROOM, NEW)
        asked = desktop.asked
        assert [store.secrets(SERVER, ROOM) for _ in range(3)] == [(NEW,)] * 3
        assert desktop.asked == asked + 1
        RoomSecretStore(store.path, clock=store.now).keep(SERVER, ROOM, NEWEST)  # by another command
        assert store.secrets(SERVER, ROOM) == (NEWEST, NEW)


def test_a_keyring_that_keeps_everything_in_the_open_is_none(store: RoomSecretStore) -> None:
    desktop = OpenKeyring()
    with using(desktop):
        assert not store.keep(SERVER, ROOM, NEW).in_keyring
    assert not desktop.items
    assert store.secrets(SERVER, ROOM) == (NEW,)


def test_a_locked_keyring_is_given_up_and_the_file_takes_its_place(tmp_path: Path) -> None:
    store = RoomSecretStore(tmp_path / "room_secrets.json", keyring=DesktopKeyring(0.01, 0.01))
    with using(LockedKeyring()):
        assert not store.keep(SERVER, ROOM, NEW).in_keyring
        assert store.secrets(SERVER, ROOM) == (NEW,)


def test_a_keyring_that_was_locked_since_is_no_room_without_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "room_secrets.json"
    with using(MemoryKeyring()):
        RoomSecretStore(path).keep(SERVER, ROOM, NEW)
    store = RoomSecretStore(path, keyring=DesktopKeyring(0.01, 0.01))
    with using(LockedKeyring()), pytest.raises(StorageError, match="may be locked"):
        lookup(store).secrets(SERVER, ROOM)


def test_a_room_whose_secret_was_taken_away_is_not_entered_without(store: RoomSecretStore) -> None:
    desktop = MemoryKeyring()
    with using(desktop):
        store.keep(SERVER, ROOM, NEW)
        desktop.items.clear()
        with pytest.raises(AuthenticationError, match=r"sleap-rtc room set-secret --server .* r_room0000 "):
            lookup(store).secrets(SERVER, ROOM)
        store.keep(SERVER, ROOM, NEW)
        assert lookup(store).secrets(SERVER, ROOM) == (NEW,)


@pytest.mark.parametrize("written", [{}, {ROOM: NEW.text}])
def test_a_room_that_had_a_secret_by_other_means_is_not_entered_without(
    store: RoomSecretStore, written: dict[str, str]
) -> None:
    assert lookup(store).secrets(SERVER, ROOM) == ()
    given = None if written else NEW.text
    assert lookup(store, given, **written).secrets(SERVER, ROOM) == (NEW,)
    with pytest.raises(AuthenticationError, match="SLEAP_RTC_ROOM_SECRET"):
        lookup(store).secrets(SERVER, ROOM)
    assert "slrs_" not in store.path.read_text()
    assert store.forget(SERVER, ROOM)
    assert lookup(store).secrets(SERVER, ROOM) == ()


def test_what_is_typed_holds_alone_and_the_configuration_together_with_what_is_kept(store: RoomSecretStore) -> None:
    store.keep(SERVER, ROOM, NEW)
    assert lookup(store, NEWEST.text, **{ROOM: NEW.text}).secrets(SERVER, ROOM) == (NEWEST,)
    assert lookup(store, **{ROOM: NEWEST.text}).secrets(SERVER, ROOM) == (NEWEST, NEW)
    assert lookup(store, **{OTHER_ROOM: NEWEST.text}).secrets(SERVER, ROOM) == (NEW,)


def test_the_secret_of_a_file_belongs_to_the_service_of_that_file(store: RoomSecretStore) -> None:
    assert lookup(store, **{ROOM: NEW.text}).secrets("https://other.example", ROOM) == ()


def test_an_ended_secret_is_not_used_whoever_gives_it(store: RoomSecretStore, clock: Clock) -> None:
    store.keep(SERVER, ROOM, OLD)
    store.keep(SERVER, ROOM, NEW)
    assert lookup(store, OLD.text).secrets(SERVER, ROOM) == (OLD,)
    assert lookup(store, **{ROOM: OLD.text}).secrets(SERVER, ROOM) == (NEW, OLD)
    clock.now += GRACE_MS
    with pytest.raises(AuthenticationError, match="The secret from SLEAP_RTC_ROOM_SECRET has ended"):
        lookup(store, OLD.text).secrets(SERVER, ROOM)
    assert lookup(store, **{ROOM: OLD.text}).secrets(SERVER, ROOM) == (NEW,)


def test_a_weak_secret_is_refused_when_it_is_used_and_not_when_the_file_is_read(store: RoomSecretStore) -> None:
    weak = lookup(store, **{ROOM: "hunter2"})
    assert weak.secrets(SERVER, OTHER_ROOM) == ()
    with pytest.raises(ConfigError, match=r"from ~/sleap-rtc.toml cannot be used.*create-secret") as caught:
        weak.secrets(SERVER, ROOM)
    assert "hunter2" not in caught.value.sentence
    with pytest.raises(ConfigError, match="from SLEAP_RTC_ROOM_SECRET cannot be used"):
        lookup(store, "hunter2").secrets(SERVER, ROOM)


def test_a_weak_secret_in_our_own_file_is_refused_when_it_is_used(store: RoomSecretStore) -> None:
    store.keep(SERVER, ROOM, NEW)
    store.path.write_text(store.path.read_text().replace(NEW.text, "hunter2"))
    assert store.kept(SERVER, ROOM) is not None
    with pytest.raises(ConfigError, match="no room secret"):
        store.secrets(SERVER, ROOM)


def in_project(store: RoomSecretStore, secret: RoomSecret, *more: Layer) -> SecretLookup:
    """A lookup in a folder whose `sleap-rtc.toml` somebody else may have written."""
    project = Layer("sleap-rtc.toml", {"server": SERVER, f"secrets.{ROOM}": secret.text}, Kind.PROJECT)
    return SecretLookup(merge([project, *more]), store=store)


def test_the_secret_of_a_project_holds_where_there_is_no_other_and_stays_known(store: RoomSecretStore) -> None:
    for _ in range(2):
        assert in_project(store, NEW).secrets(SERVER, ROOM) == (NEW,)
    with pytest.raises(AuthenticationError, match="does not have it"):
        lookup(store).secrets(SERVER, ROOM)
    with pytest.raises(AuthenticationError, match="does not have it"):
        in_project(store, NEWEST).secrets(SERVER, ROOM)


def test_the_secret_of_a_project_does_not_replace_one_of_the_user(store: RoomSecretStore) -> None:
    own = Layer("~/sleap-rtc.toml", {"server": SERVER, f"secrets.{ROOM}": NEW.text})
    assert in_project(store, NEWEST, own).secrets(SERVER, ROOM) == (NEW,)
    with pytest.raises(AuthenticationError, match="does not have it"):
        in_project(store, NEWEST).secrets(SERVER, ROOM)
    store.keep(SERVER, ROOM, NEW)
    assert in_project(store, NEWEST).secrets(SERVER, ROOM) == (NEW,)


def test_a_name_that_means_another_room_than_before_is_refused(store: RoomSecretStore) -> None:
    store.keep(SERVER, ROOM, NEW, name="Fly lab")
    found = lookup(store)
    for typed, room in (("Fly lab", ROOM), ("Mice", OTHER_ROOM), (OTHER_ROOM, OTHER_ROOM)):
        found.check_name(SERVER, typed, room)
    with pytest.raises(AuthenticationError, match="name the room by its id"):
        found.check_name(SERVER, " fly LAB", OTHER_ROOM)


def test_a_name_that_led_to_a_room_with_a_secret_is_remembered(store: RoomSecretStore) -> None:
    found = lookup(store)
    found.check_name(SERVER, "Mice", ROOM)
    store.keep(SERVER, ROOM, NEW, name="Fly lab")
    found.check_name(SERVER, "Mice", OTHER_ROOM)  # it had led to a room of which no secret was known
    found.check_name(SERVER, "Flies", ROOM)  # renamed since
    for name in ("Fly lab", "flies"):
        with pytest.raises(AuthenticationError, match="which has a secret"):
            found.check_name(SERVER, name, OTHER_ROOM)


def test_a_secret_of_the_end_of_time_has_no_successor(store: RoomSecretStore) -> None:
    store.keep(SERVER, ROOM, replace(NEW, epoch=MAX_EPOCH))
    with pytest.raises(ConflictError, match="--forget"):
        lookup(store).make_newer(SERVER, ROOM)


def test_a_key_that_leads_to_another_room_than_before_is_refused(store: RoomSecretStore) -> None:
    found = lookup(store)
    found.check_worker_key(SERVER, "slp_one", ROOM)
    store.keep(SERVER, ROOM, NEW)
    found.check_worker_key(SERVER, "slp_one", ROOM)
    found.check_worker_key(SERVER, "slp_two", OTHER_ROOM)
    with pytest.raises(AuthenticationError, match="A key never changes its room"):
        found.check_worker_key(SERVER, "slp_one", OTHER_ROOM)
    assert "slp_one" not in store.path.read_text()
    assert store.secrets(SERVER, ROOM) == (NEW,)


def test_nothing_shows_a_secret_by_accident(store: RoomSecretStore) -> None:
    store.keep(SERVER, ROOM, NEW)
    shown = repr(store.kept(SERVER, ROOM)) + repr(Settings(secrets={ROOM: NEW.text})) + repr(lookup(store, NEW.text))
    assert NEW.text not in shown


def test_two_that_keep_secrets_at_once_both_succeed(store: RoomSecretStore) -> None:
    store.keep(SERVER, ROOM, NEW)
    RoomSecretStore(store.path).keep(SERVER, OTHER_ROOM, OLD)
    assert set(json.loads(store.path.read_text())[SERVER]) == {ROOM, OTHER_ROOM}
