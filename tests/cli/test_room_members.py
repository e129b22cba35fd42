"""Inviting, joining, leaving and handing over, typed one after the other at a real service."""

import json
import re

import pytest
import pytest_asyncio

from sleap_rtc.cli.choosing import RoomChoice
from sleap_rtc.cli.where import WhereTyped, find_where
from sleap_rtc.config.settings import load_settings
from sleap_rtc.protocol.invites import read_code
from tests.cli.shell import Shell
from tests.service.people import DAY, Clock
from tests.service.running import RunningService


@pytest_asyncio.fixture
async def ada(service: RunningService, shell: Shell) -> Shell:
    """A shell in which ada is logged in, and owns a room."""
    await shell.ok("login", "--name", "ada")
    await shell.ok("room", "create", "--name", "Fly lab")
    return shell


async def room_id(shell: Shell) -> str:
    [room] = json.loads(await shell.ok("room", "list", "--json"))
    assert isinstance(room["room_id"], str)
    return room["room_id"]


async def invited(shell: Shell, *more: str) -> str:
    code = json.loads(await shell.ok("room", "invite", "Fly lab", "--json", *more))["code"]
    assert isinstance(code, str)
    return code


async def joined(shell: Shell, name: str, code: str) -> None:
    await shell.ok("login", "--name", name)
    await shell.ok("room", "join", "--code", code)


async def test_a_lab_sets_itself_up(ada: Shell, service: RunningService) -> None:
    room = await room_id(ada)
    token = json.loads(await ada.ok("token", "create", "--room", room, "--name", "gpu-1", "--json"))
    out = await ada.ok("room", "invite", "Fly lab")
    lines = out.splitlines()
    assert re.fullmatch(
        r"The invite to the room 'Fly lab' is made, for 1 person; it expires .*, in 24 hours\.", lines[0]
    )
    code = lines[3].strip()
    assert read_code(code) == code.replace("-", "")
    assert lines[-2:] == [
        f"  sleap-rtc login --server {service.url}",
        f"  sleap-rtc room join --server {service.url} --code {code}",
    ]
    await ada.ok("login", "--name", "grace")
    assert await ada.ok("room", "list") == ""
    typed = await ada.run("room", "join", "--code", code.lower())
    assert re.fullmatch(rf"You are a member of the room 'Fly lab' \({room}\) now; it expires .*\.\n", typed.out)
    assert f"  sleap-rtc train --server {service.url} --room {room} --pkg-path PACKAGE.zip\n" in typed.err
    assert f"  sleap-rtc room set-default --server {service.url} {room}\n" in typed.err
    await ada.ok("room", "set-default", "fly lab")
    # and train, typed without --room, goes there
    where = find_where(WhereTyped(None, False, None, None, None, None), load_settings())
    assert isinstance(where, RoomChoice)
    assert where.room == room
    info = json.loads(await ada.ok("room", "info", "--json"))
    assert [(each["name"], each["role"]) for each in info["people"]] == [("ada", "owner"), ("grace", "member")]
    # joining again is no error, and suggests no default that is there already
    typed = await ada.run("room", "join", "--code", code)
    assert (typed.code, "already, as its member" in typed.out, "set-default" in typed.err) == (0, True, False)
    typed = await ada.run("token", "rotate", token["token_id"], "-r", room)
    assert (typed.code, "Only the owner" in typed.err) == (3, True)


async def test_a_code_that_is_not_good_is_a_sentence(ada: Shell) -> None:
    code = await invited(ada)
    await joined(ada, "grace", code)
    await ada.ok("login", "--name", "mary")
    sentences = {(await ada.run("room", "join", "--code", each)).err for each in (code, "00000-00000", "nonsense")}
    assert len(sentences) == 1
    assert "This invite is not good" in sentences.pop()
    typed = await ada.run("room", "join")
    assert (typed.code, "Add --code" in typed.err) == (2, True)
    await ada.ok("logout")
    typed = await ada.run("room", "join", "--code", code)
    assert (typed.code, "sleap-rtc login" in typed.err) == (3, True)


async def test_invites_are_listed_and_revoked(ada: Shell) -> None:
    assert "has no invites" in (await ada.run("room", "invite", "Fly lab", "--list")).err
    code = await invited(ada, "--uses", "3", "--expires", "7d")
    listed = (await ada.ok("room", "invite", "Fly lab", "--list")).splitlines()
    assert listed[0].split() == ["code", "state", "used", "expires", "made", "by", "id"]
    assert listed[1].split()[:5] == [f"{code[:3]}…", "open", "0", "of", "3"]
    assert code not in "".join(listed)
    out = await ada.ok("room", "invite", "Fly lab", "--revoke", code[:3])
    assert out == f"The invite {code[:3]}… to the room 'Fly lab' is revoked; who has joined with it stays.\n"
    [invite] = json.loads(await ada.ok("room", "invite", "Fly lab", "--list", "--json"))
    assert (invite["state"], invite["uses"]) == ("revoked", 3)
    for again in (code, invite["invite_id"]):
        typed = await ada.run("room", "invite", "Fly lab", "--revoke", again)
        assert (typed.code, "no open invite" in typed.err, code in typed.err) == (2, True, False)


@pytest.mark.parametrize(
    "words",
    [("--uses", "0"), ("--uses", "101"), ("--expires", "0"), ("--expires", "31d"), ("--expires", "24"),
     ("--expires", "soon"), ("--list", "--revoke", "x")],
)  # fmt: skip
async def test_an_invite_that_cannot_be_is_usage(ada: Shell, words: tuple[str, ...]) -> None:
    assert (await ada.run("room", "invite", "Fly lab", *words)).code == 2
    assert json.loads(await ada.ok("room", "invite", "Fly lab", "--list", "--json")) == []


async def test_a_member_is_listed_and_removed(ada: Shell) -> None:
    await joined(ada, "grace", await invited(ada))
    await ada.ok("login", "--name", "ada")
    lines = (await ada.ok("room", "members", "Fly lab")).splitlines()
    assert lines[0].split() == ["person", "role", "since", "id"]
    assert [line.split()[:2] for line in lines[1:]] == [["ada", "owner"], ["grace", "member"]]
    grace = json.loads(await ada.ok("room", "members", "Fly lab", "--json"))[1]["user_id"]
    open_one = await invited(ada)
    typed = await ada.run("room", "remove", "Fly lab", "grace")
    assert (typed.code, "Add --yes" in typed.err) == (2, True)
    typed = await ada.run("room", "remove", "Fly lab", "mary", "--yes")
    assert (typed.code, "no member with the id or name 'mary'" in typed.err) == (2, True)
    typed = await ada.run("room", "remove", "Fly lab", "Grace", "--yes")
    assert typed.out == f"grace ({grace}) is removed from the room 'Fly lab'.\n"
    assert "1 open invite ended with it" in typed.err
    typed = await ada.run("room", "remove", "Fly lab", "ada", "--yes")
    assert "Nobody removes themselves" in typed.err
    await ada.ok("login", "--name", "grace")
    assert await ada.ok("room", "list") == ""
    assert (await ada.run("room", "join", "--code", open_one)).code == 2


async def test_leaving_forgets_the_default_room(ada: Shell) -> None:
    typed = await ada.run("room", "leave", "Fly lab")
    assert "a room needs an owner" in typed.err
    room = await room_id(ada)
    await joined(ada, "grace", await invited(ada))
    await ada.ok("room", "set-default", "Fly lab")
    typed = await ada.run("room", "leave", "Fly lab")
    assert typed.out == f"You belong to the room 'Fly lab' ({room}) no longer.\n"
    assert "now there is none" in typed.err
    assert (await ada.run("room", "info", room)).code == 2


async def test_a_room_changes_hands(ada: Shell) -> None:
    room = await room_id(ada)
    await ada.ok("token", "create", "-r", room, "-n", "gpu-1")
    await joined(ada, "grace", await invited(ada))
    await ada.ok("login", "--name", "ada")
    assert "Add --yes" in (await ada.run("room", "transfer", "Fly lab", "grace")).err
    out = await ada.ok("room", "transfer", "Fly lab", "grace", "--yes")
    assert re.fullmatch(rf"The room 'Fly lab' \({room}\) belongs to grace \(u_\w+\) now\.\n", out)
    assert "Only the owner" in (await ada.run("room", "rename", "Fly lab", "x")).err
    await ada.ok("login", "--name", "grace")
    typed = await ada.run("room", "remove", "Fly lab", "ada", "--yes")
    assert "ada made 1 worker token of this room that can be used still" in typed.err


async def test_a_room_is_renamed_and_extended(ada: Shell, service: RunningService) -> None:
    room = await room_id(ada)
    clock = Clock(service)
    (ada.folder / "sleap-rtc.toml").write_text('default_room = "Fly lab"\n')
    typed = await ada.run("room", "rename", "Fly lab", "Mice")
    assert typed.out == f"The room 'Fly lab' ({room}) is called 'Mice' now.\n"
    assert "by its old name" in typed.err
    assert "lives for 29 days already" in (await ada.run("room", "extend", "Mice", "--expires", "7d")).err
    clock.now += 29 * DAY
    assert "error" not in (await ada.run("login", "--name", "ada")).err
    typed = await ada.run("room", "list")
    assert "warning: Of the room 'Mice': it expires" in typed.err
    assert f"sleap-rtc room extend {room}" in typed.err
    assert "warning: Of the room 'Mice'" in (await ada.run("room", "info", room)).err
    assert json.loads(await ada.ok("room", "list", "--json"))[0]["expires_soon"] is True
    out = await ada.ok("room", "extend", "Mice")
    assert out.startswith(f"The room 'Mice' ({room}) lives on; it expires ")
    assert (await ada.run("room", "list")).err == ""
    changed = json.loads(await ada.ok("room", "extend", room, "--expires", "never", "--json"))
    assert changed == {"room_id": room, "name": "Mice", "expires_at": None}


async def test_the_log_tells_who_did_what(ada: Shell) -> None:
    await joined(ada, "grace", await invited(ada))
    await ada.ok("login", "--name", "ada")
    lines = (await ada.ok("room", "log", "Fly lab")).splitlines()
    assert [re.split(r"  +", line)[1:3] for line in lines] == [
        ["who", "what"],
        ["grace", "member joined"],
        ["ada", "invite made"],
        ["ada", "room created"],
    ]
    events = json.loads(await ada.ok("room", "log", "Fly lab", "--limit", "2", "--json"))
    assert [(each["actor"], each["action"]) for each in events] == [("grace", "member_joined"), ("ada", "invite_made")]
    await ada.ok("login", "--name", "grace")
    assert "Only the owner" in (await ada.run("room", "log", "Fly lab")).err


async def test_a_long_log_is_read_page_by_page(ada: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sleap_rtc.cli.room.log.PAGE", 2)
    room = await room_id(ada)
    for number in range(4):
        await ada.ok("room", "rename", room, f"lab {number}")
    for limit, count in ((1, 1), (3, 3), (4, 4), (5, 5), (50, 5)):
        events = json.loads(await ada.ok("room", "log", room, "--limit", str(limit), "--json"))
        assert [each["subject"] for each in events] == ["lab 3", "lab 2", "lab 1", "lab 0", "Fly lab"][:count]


async def test_a_token_gets_a_successor(ada: Shell, service: RunningService) -> None:
    room = await room_id(ada)
    clock = Clock(service)
    old = json.loads(await ada.ok("token", "create", "-r", room, "-n", "gpu-1", "--json"))
    clock.now += 6 * DAY
    typed = await ada.run("token", "list", "-r", room)
    assert "warning: Of the token 'gpu-1': it expires" in typed.err
    assert f"sleap-rtc token rotate {old['token_id']}" in typed.err
    lines = (await ada.ok("token", "rotate", "gpu-1", "-r", room)).splitlines()
    assert re.fullmatch(
        r"The token 'gpu-1' of the room 'Fly lab' has a successor; the old one works until .*\.", lines[0]
    )
    token = lines[4].strip()
    assert token.startswith("slp_")
    assert f"  sleap-rtc worker --server {service.url} --api-key {token}" in lines
    typed = await ada.run("token", "list", "-r", room)
    assert typed.err == ""
    assert sorted("active, replaced" in line for line in typed.out.splitlines()[1:]) == [False, True]
    # by name the newest is meant, by id the very one
    newest = json.loads(await ada.ok("token", "rotate", "gpu-1", "-r", room, "--grace", "0", "--json"))
    states = [
        (each["token_id"] == newest["token_id"], each["state"])
        for each in json.loads(await ada.ok("token", "list", "-r", room, "--json"))
    ]
    assert sorted(states) == [(False, "active"), (False, "expired"), (True, "active")]
    assert "replaced already" in (await ada.run("token", "rotate", old["token_id"], "-r", room)).err
    assert (await ada.run("token", "rotate", "gpu-1", "-r", room, "--grace", "31d")).code == 2
