"""Room secrets as they are typed: made, handed on, replaced, forgotten, and never shown again."""

import json
import os
import re
from pathlib import Path

import pytest
import pytest_asyncio

from sleap_rtc.config.room_secrets import RoomSecretStore
from sleap_rtc.protocol.room_secrets import RoomSecret
from tests.cli.shell import Shell
from tests.config.keyrings import MemoryKeyring, using
from tests.service.running import RunningService

ROOM = "r_abcdefgh"
SERVER = "http://127.0.0.1:8000"
SECRET = RoomSecret.make(bytes(range(32)), 1_800_000_000)
NEWER = RoomSecret.make(bytes(range(1, 33)), 1_900_000_000)


def shown_in(text: str) -> RoomSecret:
    [found] = re.findall(r"slrs_\w{55}", text)
    return RoomSecret.parse(found)


def set_secret(shell: Shell, secret: RoomSecret | str, *more: str) -> str:
    shell.pipe(secret if isinstance(secret, str) else secret.text + "\n")
    typed = shell.now("room", "set-secret", ROOM, "-", *more)
    return typed.out + typed.err


def test_a_secret_is_made_kept_and_shown_once_with_the_lines_that_hand_it_on(shell: Shell) -> None:
    typed = shell.now("room", "create-secret", ROOM)
    assert typed.code == 0, typed.err
    secret = shown_in(typed.out)
    store = RoomSecretStore()
    assert store.secrets(SERVER, ROOM) == (secret,)
    assert f"kept in {store.path}" in typed.out
    assert f"\n  sleap-rtc room set-secret {ROOM}\n" in typed.out
    assert "\n  read -rs SLEAP_RTC_ROOM_SECRET && export SLEAP_RTC_ROOM_SECRET\n" in typed.out
    assert "not by way of the service" in typed.out
    _, *lines = typed.out.splitlines()
    assert max(map(len, lines)) <= 80


def test_typed_again_it_is_replaced_by_a_newer_one_and_the_old_one_lives_for_a_day(shell: Shell) -> None:
    first = shown_in(shell.now("room", "create-secret", ROOM).out)
    typed = shell.now("room", "create-secret", ROOM)
    second = shown_in(typed.out)
    assert second.epoch > first.epoch
    assert "The one before it is good here until 20" in typed.out
    assert RoomSecretStore().secrets(SERVER, ROOM) == (second, first)
    typed = shell.now("room", "create-secret", ROOM, "--end-old")
    assert "The one before it has ended here." in typed.out
    assert f"\n  sleap-rtc room set-secret {ROOM} --end-old\n" in typed.out
    assert RoomSecretStore().secrets(SERVER, ROOM) == (shown_in(typed.out),)


def test_a_secret_that_was_exported_has_a_successor_too(shell: Shell) -> None:
    shell.export("SLEAP_RTC_ROOM_SECRET", NEWER.text)
    typed = shell.now("room", "create-secret", ROOM)
    assert "SLEAP_RTC_ROOM_SECRET is set and holds alone" in typed.err
    made = shown_in(typed.out)
    assert made.epoch == NEWER.epoch + 1
    assert RoomSecretStore().secrets(SERVER, ROOM) == (made, NEWER)


def test_scripts_get_one_line(shell: Shell) -> None:
    made = json.loads(shell.now("room", "create-secret", ROOM, "--json").out)
    assert made["room_id"] == ROOM
    assert RoomSecret.parse(made["secret"]).epoch == made["epoch"]
    assert made["in_keyring"] is False


def test_a_keyring_is_said_where_there_is_one(shell: Shell) -> None:
    with using(MemoryKeyring()):
        assert "kept in the keyring of this machine" in shell.now("room", "create-secret", ROOM).out


def test_a_secret_comes_from_a_pipe_and_is_not_shown(shell: Shell) -> None:
    said = set_secret(shell, SECRET)
    assert f"The secret of the room {ROOM} is kept in" in said
    assert "slrs_" not in said
    assert RoomSecretStore().secrets(SERVER, ROOM) == (SECRET,)
    assert "The one before it is good here until" in set_secret(shell, NEWER)
    assert "a newer secret" in set_secret(shell, SECRET)
    assert "is good here until" not in set_secret(shell, NEWER, "--end-old")
    assert RoomSecretStore().secrets(SERVER, ROOM) == (NEWER,)


@pytest.mark.parametrize("text", ["", "hunter2\n", SECRET.text[:-1], SECRET.text + "x"])
def test_what_is_no_secret_is_not_kept(shell: Shell, text: str) -> None:
    said = set_secret(shell, text)
    assert "sleap-rtc room create-secret ROOM" in said
    assert len(text) < 5 or text.strip() not in said
    assert RoomSecretStore().kept(SERVER, ROOM) is None


def test_a_secret_never_stands_on_the_command_line(shell: Shell) -> None:
    typed = shell.now("room", "set-secret", ROOM, SECRET.text)
    assert (typed.code, "does not belong on the command line" in typed.err) == (2, True)
    assert SECRET.text not in typed.err
    assert "Pipe the secret" in shell.now("room", "set-secret", ROOM).err
    assert shell.now("room", "set-secret", ROOM, "--forget", "--end-old").code == 2
    assert not RoomSecretStore().path.exists()


def test_a_forgotten_secret_is_one_nobody_is_held_to(shell: Shell) -> None:
    assert "knows of no secret" in shell.now("room", "set-secret", ROOM, "--forget").out
    set_secret(shell, SECRET)
    typed = shell.now("room", "set-secret", ROOM, "--forget")
    assert "is forgotten" in typed.out
    assert "the service is trusted" in typed.err
    assert RoomSecretStore().kept(SERVER, ROOM) is None


@pytest.mark.parametrize("room", ["../../.ssh/id_rsa", "r_../../x"])
def test_a_path_is_no_room(shell: Shell, room: str) -> None:
    target = shell.user / ".ssh" / "id_rsa"
    target.parent.mkdir()
    target.write_text("a key")
    for words in (("create-secret", room), ("set-secret", room, "-"), ("set-secret", room, "--forget")):
        shell.pipe(SECRET.text)
        typed = shell.now("room", *words)
        assert (typed.code, "not logged in" in typed.err) == (3, True)
    assert target.read_text() == "a key"
    assert not RoomSecretStore().path.exists()


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_a_file_of_secrets_that_others_can_read_is_refused(shell: Shell) -> None:
    set_secret(shell, SECRET)
    path = RoomSecretStore().path
    path.chmod(0o644)
    typed = shell.now("room", "create-secret", ROOM)
    assert (typed.code, f"chmod 600 {path}" in typed.err) == (2, True)


def test_help_names_the_variable_beside_the_option(shell: Shell) -> None:
    for command in (("worker",), ("train",), ("client",), ("jobs", "list"), ("jobs", "watch")):
        out = " ".join(shell.now(*command, "--help").out.split())
        assert "--room-secret SECRET" in out
        assert "SLEAP_RTC_ROOM_SECRET" in out


@pytest_asyncio.fixture
async def ada(service: RunningService, shell: Shell) -> Shell:
    """A shell in which ada is logged in and owns a room, of which grace is a member."""
    await shell.ok("login", "--name", "ada")
    await shell.ok("room", "create", "--name", "Fly lab")
    code = json.loads(await shell.ok("room", "invite", "Fly lab", "--json"))["code"]
    await shell.ok("login", "--name", "grace")
    await shell.ok("room", "join", "--code", code)
    await shell.ok("login", "--name", "ada")
    return shell


async def test_a_room_tells_whether_its_secret_is_here_and_a_removal_asks_for_another(
    ada: Shell, service: RunningService
) -> None:
    assert "This machine knows of no secret of it." in await ada.ok("room", "info", "Fly lab")
    made = json.loads(await ada.ok("room", "create-secret", "fly LAB", "--json"))
    info = await ada.ok("room", "info", "Fly lab")
    assert "Its secret is kept on this machine since 20" in info
    told = json.loads(await ada.ok("room", "info", "Fly lab", "--json"))["secret"]
    assert (told["known"], told["here"]) == (True, True)
    assert "slrs_" not in info + json.dumps(told)
    typed = await ada.run("room", "remove", "Fly lab", "grace", "--yes")
    assert typed.code == 0
    assert f"  sleap-rtc room create-secret --server {service.url} {made['room_id']} --end-old\n" in typed.err
    path = RoomSecretStore().path
    path.write_text(path.read_text().replace(f'"{made["secret"]}"', ""))
    assert "It has a secret, which is not kept on this machine." in await ada.ok("room", "info", "Fly lab")


async def test_a_name_that_the_service_gives_to_another_room_is_refused(
    ada: Shell, service: RunningService, tmp_path: Path
) -> None:
    made = json.loads(await ada.ok("room", "create-secret", "Fly lab", "--json"))
    await ada.ok("room", "delete", "Fly lab", "--yes")
    await ada.ok("room", "create", "--name", "Fly lab")
    package = tmp_path / "package"
    package.mkdir()
    for words in (("jobs", "list", "--room", "Fly lab"), ("room", "set-secret", "Fly lab", "-")):
        ada.pipe(NEWER.text)
        typed = await ada.run(*words)
        assert typed.code == 3
        assert f"By 'Fly lab' this machine knows the room {made['room_id']}, which has a secret" in typed.err
