"""``sleap-rtc doctor``."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import click

from sleap_rtc.cli.options import (
    json_option,
    relay_option,
    room_option,
    room_secret_option,
    secrets_for,
    server_option,
    transport_option,
)

if TYPE_CHECKING:
    from sleap_rtc.cli.doctor.check import Check, Finding, Scene


@click.command(
    epilog="""\b
Examples:
  sleap-rtc doctor
  sleap-rtc doctor --json
  sleap-rtc doctor --worker lab-gpu-1
"""
)
@json_option
@server_option
@transport_option
@relay_option
@click.option(
    "--worker", metavar="WORKER", help="Look at the link to this worker, too: its name, id or session string."
)
@room_option
@room_secret_option
def doctor(
    as_json: bool,
    server: str | None,
    transport: str | None,
    ice_policy: str | None,
    worker: str | None,
    room: str | None,
    room_secret: str | None,
) -> int:
    """Check this machine, its settings, the service and a link.

    Says one sentence a check: ok, warn for what works only in part, FAIL for
    what is broken, skip for what could not be looked at. Exit code 0 if nothing
    failed, else 1.
    """
    from dataclasses import replace

    from sleap_rtc.cli.doctor.run import CHECKS, examine, failed
    from sleap_rtc.cli.ls import worker_request
    from sleap_rtc.cli.output import emit_json, note
    from sleap_rtc.cli.running import run_async

    scene = _scene({"server": server, "transport": transport, "ice_policy": ice_policy})
    if worker is not None:
        request = worker_request(worker, room, scene.settings, secrets_for(scene.settings, room_secret))
        scene = replace(scene, request=replace(request, timeouts=scene.timeouts))
    if not as_json:
        note(f"{len(CHECKS)} checks; the last ones measure links and take a few seconds.")
    findings = run_async(examine(scene, (lambda check, finding: None) if as_json else _say))
    broken = failed(list(findings.values()))
    if as_json:
        emit_json({"ok": not broken, "checks": [_record(name, found) for name, found in findings.items()]})
    else:
        note(_summary(findings))
    return 1 if broken else 0


def _scene(flags: "Mapping[str, str | None]") -> "Scene":
    from sleap_rtc.cli.doctor.check import Scene
    from sleap_rtc.config.paths import home
    from sleap_rtc.config.settings import Settings, load_settings
    from sleap_rtc.config.timeouts import Timeouts
    from sleap_rtc.errors import ConfigError
    from sleap_rtc.transport.engines import Engine

    problem: ConfigError | None = None
    try:
        settings = load_settings(flags=flags)
    except ConfigError as error:
        settings, problem = Settings(), error
    return Scene(
        settings=settings,
        settings_error=problem,
        server=settings.server,
        engine=cast(Engine, settings.transport),
        home=home(),
        jobs=home() / "jobs",
        timeouts=Timeouts(request=10, connect=10),
    )


def _say(check: "Check", finding: "Finding") -> None:
    from sleap_rtc.cli.output import say

    shown = finding.status.upper() if finding.status == "fail" else finding.status
    say(f"{shown:<4}  {check.name:<11}  {finding.sentence}")


def _record(name: str, finding: "Finding") -> dict[str, object]:
    return {
        "name": name,
        "status": str(finding.status),
        "sentence": finding.sentence,
        "details": dict(finding.details),
    }


def _summary(findings: "Mapping[str, Finding]") -> str:
    counted = Counter(str(finding.status) for finding in findings.values())
    said = [f"{counted[status]} {word}" for status, word in (("ok", "ok"), ("warn", "to know"), ("fail", "failed"),
            ("skip", "skipped")) if counted[status]]  # fmt: skip
    return f"{len(findings)} checks: {', '.join(said)}."
