"""Runs the checks: those that only look at once, those that measure alone after them."""

import asyncio
from collections.abc import Callable, Sequence

from sleap_rtc.cli.doctor.check import Check, Finding, Scene, Status, fail
from sleap_rtc.cli.doctor.files import check_permissions, check_settings
from sleap_rtc.cli.doctor.link import check_ice, check_link
from sleap_rtc.cli.doctor.machine import (
    check_disk,
    check_engines,
    check_gpu,
    check_python,
    check_sandbox,
    check_trainer,
)
from sleap_rtc.cli.doctor.relay import check_turn, check_worker
from sleap_rtc.cli.doctor.service import check_login, check_service
from sleap_rtc.errors import SleapRTCError

CHECKS = (
    Check("python", check_python),
    Check("settings", check_settings),
    Check("permissions", check_permissions),
    Check("disk", check_disk),
    Check("sleap-nn", check_trainer),
    Check("gpu", check_gpu),
    Check("sandbox", check_sandbox),
    Check("engine", check_engines),
    Check("service", check_service),
    Check("login", check_login),
    Check("ice", check_ice),
    Check("link", check_link, alone=True),
    Check("turn", check_turn, alone=True),
    Check("worker", check_worker, alone=True),
)
"""Every check, in the order of a report."""

LONGEST = 30.0
"""Seconds a check may take."""

OnFinding = Callable[[Check, Finding], None]


async def examine(
    scene: Scene, on_finding: OnFinding, checks: Sequence[Check] = CHECKS, *, longest: float = LONGEST
) -> dict[str, Finding]:
    """Run checks.

    Args:
        scene: what they look at.
        on_finding: told each finding when it is there.
        checks: which ones.
        longest: seconds a check may take.

    Returns:
        The finding of each check by name, in the order of `checks`.
    """
    found: dict[str, Finding] = {}

    async def look(check: Check) -> None:
        found[check.name] = await _finding(check, scene, longest)
        on_finding(check, found[check.name])

    async with asyncio.TaskGroup() as tasks:
        for check in checks:
            if not check.alone:
                tasks.create_task(look(check))
    for check in checks:
        if check.alone:
            await look(check)
    return {check.name: found[check.name] for check in checks}


def failed(findings: Sequence[Finding]) -> bool:
    """Tell whether anything is broken."""
    return any(finding.status is Status.FAIL for finding in findings)


async def _finding(check: Check, scene: Scene, longest: float) -> Finding:
    try:
        async with asyncio.timeout(longest):
            return await check.run(scene)
    except TimeoutError:
        return fail(f"This took longer than {longest:g} s, so it was given up.")
    except Exception as error:  # noqa: BLE001 - what is broken in unforeseen ways is just what is looked for here
        return _broken(_first(error))


def _broken(error: Exception) -> Finding:
    if isinstance(error, SleapRTCError):
        return fail(error.sentence, code=error.code)
    return fail(f"The check itself broke ({type(error).__name__}: {error}). Please report that.")


def _first(error: Exception) -> Exception:
    """The error that made a group of tasks end."""
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error
