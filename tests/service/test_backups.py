"""Backups: all of it comes back, on either kind of database, or nothing is changed."""

import hashlib
import json
import shutil
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from signaling_server.backups.archive import MANIFEST
from signaling_server.backups.restoring import restore
from signaling_server.backups.saving import back_up
from signaling_server.db import Database, revisions, upgrade
from signaling_server.keys import load_pepper
from signaling_server.models import RoomEvent
from signaling_server.settings import Settings
from sleap_rtc.cli.server import server
from sleap_rtc.errors import ConfigError, ConflictError, NotFoundError, PackageError, StorageError
from sleap_rtc.signaling.api import ServiceAPI
from tests.service.databases import Postgres, connected, empty_database, everything_in, settings_for
from tests.service.people import dev_service, join, person
from tests.service.running import running_service
from tests.service.test_permissions import add_models

NOW = 1_800_000_000_000


def settings(folder: Path, **changes: Any) -> Settings:
    return Settings.model_validate(settings_for(folder) | changes)


def empty(folder: Path) -> Settings:
    return settings(folder, database_url=empty_database(folder))


async def contents(of: Settings) -> str:
    database = Database(of.database_url)
    try:
        return await everything_in(database)
    finally:
        await database.close()


async def lab(folder: Path, **changes: Any) -> str:
    """Use a service a little; the login of who did."""
    async with dev_service(folder, **changes) as service:
        ada, bob = await person(service, "ada"), await person(service, "bob")
        room = await ada.room("Fly lab \u2603")
        await join(service, bob, room)
        await ada.worker_token(room)
        async with service.service.database.transaction() as session:
            for number in range(3):
                words = {"actor": ada.user_id, "actor_name": "ada", "action": "made", "subject": "", "detail": 'é\n"'}
                session.add(RoomEvent(room_id=room.room_id, at=number, **words))
        await add_models(service, room.room_id, ada.user_id)
        return ada.token


async def rooms_of(token: str, folder: Path, **changes: Any) -> list[str]:
    """What who holds `token` sees at the service."""
    async with dev_service(folder, **changes) as service:
        return [room.name for room in await ServiceAPI(service.url, token).rooms()]


async def test_what_a_service_keeps_comes_back_into_an_empty_database(tmp_path: Path) -> None:
    token, file = await lab(tmp_path), tmp_path / "backup.zip"
    manifest = await back_up(settings(tmp_path), file, now=NOW)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (manifest.made_at, manifest.revision) == (NOW, revisions()[0])
    target = empty(tmp_path)
    restored = await restore(target, file, replace=False, now=NOW)
    assert (restored.manifest, restored.before) == (manifest, None)
    before = await contents(settings(tmp_path))
    assert "Fly lab" in before
    assert before.count("'fly'") == 5  # the name (twice in its row), two versions, an alias
    assert "'production'" in before
    assert await contents(target) == before
    assert await rooms_of(token, tmp_path, database_url=target.database_url) == ["Fly lab \u2603"]


@pytest.mark.postgres
async def test_a_lab_that_grows_moves_to_postgresql_and_back(tmp_path: Path, postgres_server: Postgres) -> None:
    small = {"database_url": f"sqlite+aiosqlite:///{tmp_path / 'small.db'}", "pepper": None}
    token = await lab(tmp_path, **small)
    await back_up(settings(tmp_path, **small), tmp_path / "small.zip", now=NOW)
    pepper = load_pepper(settings(tmp_path, **small)).decode()
    large = {"database_url": postgres_server.new(), "pepper": pepper}
    await restore(settings(tmp_path, **large), tmp_path / "small.zip", replace=False, now=NOW)
    assert await contents(settings(tmp_path, **large)) == await contents(settings(tmp_path, **small))
    async with dev_service(tmp_path, **large) as service:
        room = (await ServiceAPI(service.url, token).rooms())[0]
        async with service.service.database.transaction() as session:  # its number is one that is free
            words = {"actor": "u_x", "actor_name": "ada", "action": "made", "subject": "", "detail": ""}
            session.add(RoomEvent(room_id=room.room_id, at=4, **words))
    await back_up(settings(tmp_path, **large), tmp_path / "large.zip", now=NOW)
    home = {"database_url": f"sqlite+aiosqlite:///{tmp_path / 'home.db'}", "pepper": None}
    await restore(settings(tmp_path, **home), tmp_path / "large.zip", replace=False, now=NOW)
    assert load_pepper(settings(tmp_path, **home)).decode() == pepper
    assert await rooms_of(token, tmp_path, **home) == ["Fly lab \u2603"]


async def test_a_backup_is_made_of_one_moment_while_the_service_runs(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        await ada.room("before")
        await back_up(settings(tmp_path), tmp_path / "a.zip", now=NOW)
        await ada.room("after")
        with pytest.raises(ConflictError, match="Stop it"):
            await restore(settings(tmp_path), tmp_path / "a.zip", replace=True, now=NOW)
        assert len(await ada.api.rooms()) == 2
    await restore(settings(tmp_path), tmp_path / "a.zip", replace=True, now=NOW)
    assert await rooms_of(ada.token, tmp_path) == ["before"]


async def test_what_is_there_stays_unless_it_is_to_be_replaced_and_is_kept_then(tmp_path: Path) -> None:
    await lab(tmp_path)
    file = tmp_path / "backup.zip"
    await back_up(settings(tmp_path), file, now=NOW)
    with pytest.raises(ConflictError, match="is not overwritten"):
        await back_up(settings(tmp_path), file, now=NOW)
    async with dev_service(tmp_path) as service:
        await person(service, "mallory")
    before = await contents(settings(tmp_path))
    with pytest.raises(ConflictError, match="--replace"):
        await restore(settings(tmp_path), file, replace=False, now=NOW)
    assert await contents(settings(tmp_path)) == before
    restored = await restore(settings(tmp_path), file, replace=True, now=NOW)
    assert "mallory" not in await contents(settings(tmp_path))
    assert restored.before == tmp_path / "backup-before-20270115T080000.zip"
    await restore(settings(tmp_path), restored.before, replace=True, now=NOW + 1000)
    assert await contents(settings(tmp_path)) == before


async def test_a_backup_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    old = empty(tmp_path)
    await upgrade(old.database_url, "0002")
    load_pepper(old)
    await back_up(old, tmp_path / "old.zip", now=NOW)
    target = settings(tmp_path)
    await restore(target, tmp_path / "old.zip", replace=False, now=NOW)
    async with running_service(tmp_path) as service:
        assert await everything_in(service.service.database) == ""


def with_file(name: str, change: Callable[[bytes], bytes], *, honest: bool = False) -> Callable[[Path], None]:
    """Rewrite a file of an archive; an honest archive's manifest says so."""

    def rewrite(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            files = {each: archive.read(each) for each in archive.namelist()}
        files[name] = change(files[name])
        if honest:
            manifest = json.loads(files[MANIFEST])
            table = manifest["tables"][Path(name).stem]
            table |= {"rows": files[name].count(b"\n"), "sha256": hashlib.sha256(files[name]).hexdigest()}
            files[MANIFEST] = json.dumps(manifest).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for each, content in files.items():
                archive.writestr(each, content)

    return rewrite


def in_manifest(**changes: object) -> Callable[[Path], None]:
    return with_file(MANIFEST, lambda content: json.dumps(json.loads(content) | changes).encode())


ROOMS = "tables/rooms.jsonl"
DAMAGE: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "no zip": (lambda path: path.write_bytes(b"noise"), "is no backup"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is no backup"),
    "another zip": (in_manifest(format="tar"), "this version of sleap-rtc can read"),
    "newer": (in_manifest(revision="9999"), "newer version"),
    "a row less": (with_file(ROOMS, lambda _: b""), "rooms is damaged"),
    "a word changed": (with_file(ROOMS, lambda rows: rows.replace(b"Fly", b"Bee")), "rooms is damaged"),
    "another pepper": (with_file("pepper", lambda _: b"p" * 64), "pepper is damaged"),
    "no room of the members": (with_file(ROOMS, lambda _: b"", honest=True), "The "),
    "a row twice": (with_file(ROOMS, lambda rows: rows * 2, honest=True), "The "),
    "other columns": (with_file(ROOMS, lambda rows: rows.replace(b'"kind"', b'"k"'), honest=True), "other columns"),
}


async def test_a_backup_that_is_damaged_changes_nothing(tmp_path: Path) -> None:
    await lab(tmp_path)
    good = tmp_path / "backup.zip"
    await back_up(settings(tmp_path), good, now=NOW)
    before, pepper = await contents(settings(tmp_path)), load_pepper(settings(tmp_path))
    # as each leaves everything as it was, one lab is enough for all
    for name, (damage, reason) in DAMAGE.items():
        file = Path(shutil.copy(good, tmp_path / f"{name}.zip"))
        damage(file)
        with pytest.raises((PackageError, StorageError), match=reason):
            await restore(settings(tmp_path), file, replace=True, now=NOW)
        assert (await contents(settings(tmp_path)), load_pepper(settings(tmp_path))) == (before, pepper), name


async def test_what_is_not_there_cannot_be_backed_up(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        await back_up(empty(tmp_path), tmp_path / "backup.zip", now=NOW)
    assert not (tmp_path / "backup.zip").exists()
    with pytest.raises(StorageError, match="cannot be read"):
        await restore(empty(tmp_path), tmp_path / "backup.zip", replace=False, now=NOW)


@pytest.mark.one_database
async def test_a_backup_without_its_pepper_is_refused(tmp_path: Path) -> None:
    await lab(tmp_path)
    (tmp_path / "service.pepper").unlink()
    with pytest.raises(ConfigError, match="is missing"):
        await back_up(settings(tmp_path), tmp_path / "backup.zip", now=NOW)


async def test_a_service_with_another_pepper_is_told_which(tmp_path: Path) -> None:
    await lab(tmp_path)
    await back_up(settings(tmp_path), tmp_path / "backup.zip", now=NOW)
    other = settings(tmp_path, database_url=empty_database(tmp_path / "other"), pepper="another one 0123456789 " * 2)
    with pytest.raises(ConfigError, match=r"unzip -p .*backup\.zip pepper"):
        await restore(other, tmp_path / "backup.zip", replace=False, now=NOW)


@pytest.mark.postgres
async def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    await lab(tmp_path)
    await back_up(settings(tmp_path), tmp_path / "backup.zip", now=NOW)
    other = empty(tmp_path)
    async with connected(other.database_url) as connection:
        await connection.execute("CREATE TABLE wiki (page text)")
        with pytest.raises(ConflictError, match="something else: wiki"):
            await restore(other, tmp_path / "backup.zip", replace=True, now=NOW)
        assert await connection.fetchval("SELECT count(*) FROM wiki") == 0


@pytest.mark.one_database
def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    def ran(*words: str) -> str:
        result = CliRunner().invoke(server, ["db", *words, "--database", str(tmp_path / "x" / "service.db")])
        assert result.exception is None, result.exception
        return " ".join(result.output.split())

    assert "it was empty" in ran("upgrade")
    assert "is up to date" in ran("upgrade")
    assert json.loads(ran("upgrade", "--json")) == {"from": revisions()[0], "to": revisions()[0]}
    load_pepper(Settings(database_url=f"sqlite+aiosqlite:///{tmp_path / 'x' / 'service.db'}"))
    file = str(tmp_path / "backup.zip")
    assert "holds 0 rows" in ran("backup", file)
    shutil.rmtree(tmp_path / "x")
    assert "0 rows of " in ran("restore", file)
    assert json.loads(ran("restore", file, "--json"))["before"] is None
