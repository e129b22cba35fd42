"""Checks of the way round: the service's TURN servers, and which way the link to a worker goes."""

import asyncio
import time
from collections.abc import Sequence

from sleap_rtc.cli.doctor.check import Finding, Scene, fail, ok, skip, warn
from sleap_rtc.cli.doctor.link import self_link
from sleap_rtc.cli.doctor.servers import ice_servers
from sleap_rtc.cli.formats import format_rate
from sleap_rtc.errors import SleapRTCError
from sleap_rtc.protocol.sdp import IceServer
from sleap_rtc.transport.engines import preload
from sleap_rtc.transport.paths import NetworkPath, relay_urls
from sleap_rtc.transport.turn_probe import Outcome, Probe, probe
from sleap_rtc.transport.turn_urls import turn_server

WITHIN = 4.0
"""Seconds in which a relay has to answer."""
MEASURED = 2.0
"""Seconds for which bytes are sent through a relay."""

_MEANING = {
    Outcome.REFUSED: "The secret that it shares with the service may be another one, or its clock wrong",
    Outcome.BUSY: "Its quotas may be too small",
    Outcome.UNTRUSTED: "Its certificate must be one that this machine trusts, and name it",
    Outcome.BROKEN: "Something else may listen there",
    Outcome.SILENT: "It may be down, or a firewall keeps this machine from it",
}


async def check_turn(scene: Scene) -> Finding:
    """Do the service's TURN servers relay for this machine, over what, and how fast?"""
    servers, remark = await ice_servers(scene)
    known = [turn_server(server, url) for server, url in relay_urls(servers)]
    if not any(known):
        return _without(scene, remark)
    probes = await asyncio.gather(*(probe(each, WITHIN) for each in known if each is not None))
    good = [each for each in probes if each.outcome is Outcome.LENT]
    details: dict[str, object] = {each.server.url: str(each.outcome) for each in probes}
    if not good:
        bad = fail if scene.settings.limits.relay_only else warn
        return bad(
            f"No TURN server of the service relays for this machine: {_list(probes)}. {_meaning(probes)}; tell the "
            "service's admin. Between two firewalled networks links will fail.",
            **details,
        )
    said, rate = await _relayed(scene, servers)
    details["bytes_per_second"] = rate
    if len(good) == len(probes):
        return ok(f"The service relays for this machine over {_carriers(good)}. {said}", **details)
    rest = [each for each in probes if each.outcome is not Outcome.LENT]
    return warn(f"{_partly(good, rest)} {said}", **details)


async def check_worker(scene: Scene) -> Finding:
    """Which way does the link to a worker go, and why?"""
    from sleap_rtc.cli.jobs.reaching import enter, find_place

    if scene.request is None:
        return skip("The link to a worker is looked at if you name one: --worker NAME.")
    await asyncio.to_thread(preload, scene.engine)
    async with enter(scene.request, find_place(scene.request)) as (client, workers):
        began = time.monotonic()
        async with client.dial(workers[0].worker_id, name=workers[0].name) as worker:
            opened = time.monotonic()
            await worker.jobs()
            answered = time.monotonic()
            path = await worker.link.path()
    details = {
        "worker": workers[0].worker_id,
        "seconds_to_open": round(opened - began, 3),
        "seconds_to_answer": round(answered - opened, 3),
    }
    if path is None:
        return warn(f"The link to {workers[0].name} ended at once.", **details)
    details |= {"way": path.way, "local": path.local, "remote": path.remote, "carrier": path.carrier}
    said = (
        f"The link to {workers[0].name} is {path}{_why(path, scene)}. It was up after {1000 * (opened - began):.0f} ms "
        f"and answers within {1000 * (answered - opened):.0f} ms."
    )
    return warn(said, **details) if path.carrier in ("tcp", "tls") else ok(said, **details)


def _without(scene: Scene, remark: str) -> Finding:
    if scene.settings.limits.relay_only:
        return fail(f"Links may go through relays alone here, and no TURN server is known.{remark}")
    if remark.startswith(" STUN"):
        return skip(remark.strip())
    return warn("The service names no TURN server: links between two firewalled networks will fail.")


async def _relayed(scene: Scene, servers: Sequence[IceServer]) -> tuple[str, int | None]:
    """A link of this machine with itself through a relay: what to say of it, and its bytes a second."""
    try:
        found = await self_link(scene, servers=servers, relay_only=True, seconds=MEASURED)
    except SleapRTCError as error:
        return f"But no link came about through it: {error.sentence}", None
    return f"A link of this machine with itself, {found.path}, carried {format_rate(found.rate)}.", round(found.rate)


def _carriers(probes: Sequence[Probe]) -> str:
    names = sorted({each.server.carrier for each in probes}, key=("udp", "tcp", "tls").index)
    *most, last = (name.upper() for name in names)
    return f"{', '.join(most)} and {last}" if most else last


def _partly(good: Sequence[Probe], bad: Sequence[Probe]) -> str:
    over = {each.server.carrier for each in good}
    if "udp" not in over and all(each.outcome is Outcome.SILENT for each in bad):
        return (
            f"UDP gets nowhere from here, or not to the relay: the service relays over {_carriers(good)} alone, which "
            "is slower where packets are lost."
        )
    return f"The service relays for this machine over {_carriers(good)}, but {_list(bad)}. {_meaning(bad)}."


def _list(probes: Sequence[Probe]) -> str:
    said = [f"{each.server.url} {each.outcome}{f' ({each.reason})' if each.reason else ''}" for each in probes]
    return "; ".join(said)


def _meaning(probes: Sequence[Probe]) -> str:
    # whoever said something is nearer to the reason than who was silent
    outcomes = {each.outcome for each in probes}
    return next(words for outcome, words in _MEANING.items() if outcome in outcomes)


def _why(path: NetworkPath, scene: Scene) -> str:
    if path.way != "relay":
        return ""
    if scene.settings.limits.relay_only:
        return ", as only relays may be used here"
    if path.carrier in ("tcp", "tls"):
        return ": UDP gets nowhere from here"
    return ": no direct pair of addresses answered, as where neither router lets anything in"
