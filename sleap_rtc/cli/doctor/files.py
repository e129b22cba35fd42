"""Checks of our own files: the settings, and who may read what is secret."""

import asyncio
import os
import stat
from pathlib import Path

from sleap_rtc.cli.doctor.check import Finding, Scene, fail, ok, skip, warn
from sleap_rtc.errors import AuthenticationError
from sleap_rtc.protocol.tokens import check_token

SECRET_FILES = ("credentials.json", "identity/worker.key", "room_secrets.json")
"""What commands refuse to use while others can read it."""


async def check_settings(scene: Scene) -> Finding:
    """Can the settings files be read, and is what they hold usable?"""
    settings = scene.settings
    if scene.settings_error is not None:
        return fail(f"{scene.settings_error.sentence} The other checks go on with the defaults.")
    details = {"files": [str(path) for path in settings.files], "warnings": list(settings.warnings)}
    if settings.worker.api_key is not None and (problem := _problem(settings.worker.api_key)):
        return fail(f"The worker key of {settings.origin('worker.api_key')} is no worker key: {problem}", **details)
    if remarks := [*settings.warnings, *settings.withheld.values()]:
        return warn(" ".join(remarks), **details)
    if not settings.files:
        return ok("There is no settings file; the defaults hold.", **details)
    return ok(f"Read from {', '.join(map(str, settings.files))}.", **details)


def _problem(api_key: str) -> str | None:
    try:
        kind = check_token(api_key)
    except AuthenticationError as error:
        return error.sentence
    return None if kind == "worker" else "it is another kind of token. A worker key begins with slp_."


async def check_permissions(scene: Scene) -> Finding:
    """Are our files ours, and readable by nobody else?"""
    if os.name != "posix":
        return skip("Permissions are looked at on Linux and macOS only.")
    return await asyncio.to_thread(look_at_permissions, scene.home)


def look_at_permissions(home: Path) -> Finding:
    """See who can read our files. Blocks."""
    open_secrets = [path for name in SECRET_FILES if _is_open(path := home / name)]
    if open_secrets:
        names = " ".join(map(str, open_secrets))
        return fail(f"Others can read what must be secret. Run: chmod 600 {names}", open=list(map(str, open_secrets)))
    foreign = [path for path in (home, *home.iterdir()) if path.lstat().st_uid != os.getuid()]
    if foreign:
        return fail(
            f"{foreign[0]} belongs to another user; was something run with sudo? Run: sudo chown -R $USER {home}",
            foreign=list(map(str, foreign)),
        )
    if _is_open(home):
        return warn(f"Other users of this machine can look into {home}. Run: chmod 700 {home}", open=[str(home)])
    return ok(f"{home} and the secrets in it are readable by you alone.", open=[])


def _is_open(path: Path) -> bool:
    return path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
