"""``sleap-rtc status``."""

from collections import Counter
from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.options import json_option, server_option, settings_for

if TYPE_CHECKING:
    from sleap_rtc.cli.survey import LocalJob, StoreUse, Survey
    from sleap_rtc.config.settings import Settings
    from sleap_rtc.signaling.api import Room


@click.command()
@json_option
@server_option
def status(as_json: bool, server: str | None) -> None:
    """Say who you are, and show your rooms, their workers and your jobs.

    Rooms are those at the service; workers those of the default room. What lies
    on this machine is shown with the service down as well: that is said, and
    is no failure of this command.
    """
    from sleap_rtc.cli.output import emit_json
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.survey import look_around
    from sleap_rtc.config.timeouts import Timeouts

    settings = settings_for(server=server)
    survey = run_async(look_around(settings, Timeouts(request=10)))
    if as_json:
        emit_json(_record(settings, survey))
    else:
        _show(settings, survey)


def _show(settings: "Settings", survey: "Survey") -> None:
    from sleap_rtc.cli.output import say, table, warn
    from sleap_rtc.client.choice import COLUMNS, rows

    who = f"Logged in as {survey.login.name}" if survey.login else "Not logged in (sleap-rtc login does that)"
    answer = f"which answers (version {survey.version})" if survey.version else "which does not answer"
    say(f"{who}; the service is {settings.server}, {answer}.")
    for problem in survey.problems:
        warn(problem)
    if survey.rooms:
        say("\nYour rooms:")
        lines = [_room_row(room, default=room == survey.default_room) for room in survey.rooms]
        table(("room", "you are", "workers", "expires", "id"), lines)
    if survey.default_room and survey.workers:
        say(f"\nWorkers of your default room '{survey.default_room.name}':")
        table(COLUMNS, rows(survey.workers))
    elif survey.default_room:
        say(f"\nNo worker of your default room '{survey.default_room.name}' is online.")
    _show_jobs(survey)
    if survey.store:
        _show_store(survey.store)


def _show_store(store: "StoreUse") -> None:
    from sleap_rtc.cli.formats import format_size
    from sleap_rtc.cli.output import say

    say(f"\nKept of transfers, so that they need not come again: {format_size(store.size)} of at most "
        f"{format_size(store.max_bytes)}, in {store.folder}.")  # fmt: skip


def _show_jobs(survey: "Survey") -> None:
    from sleap_rtc.cli.formats import format_size
    from sleap_rtc.cli.output import say, table
    from sleap_rtc.cli.times import format_time

    if survey.pending:
        say("\nSent from here, models not home yet (the same train command brings them):")
        sent = [(each.job, each.name, each.worker_name or each.worker_id, format_time(each.since or None, "?"))
                for each in survey.pending]  # fmt: skip
        table(("job", "package", "worker", "sent"), sent)
    if survey.local:
        size = format_size(sum(each.size for each in survey.local))
        say(f"\nJobs of this machine's worker: {_counts(survey.local)}; {size} on disk.")
        local = [(each.job, each.name, each.state or "damaged", each.owner, format_size(each.size))
                 for each in survey.local]  # fmt: skip
        table(("job", "package", "state", "from", "size"), local)


def _counts(jobs: "tuple[LocalJob, ...]") -> str:
    counted = Counter(each.state or "damaged" for each in jobs)
    return ", ".join(f"{number} {state}" for state, number in counted.items())


def _room_row(room: "Room", *, default: bool) -> tuple[str, ...]:
    from sleap_rtc.cli.times import format_date

    name = f"{room.name} (default)" if default else room.name
    return (name, room.role, str(room.workers_online), format_date(room.expires_at), room.room_id)


def _record(settings: "Settings", survey: "Survey") -> dict[str, object]:
    from dataclasses import asdict

    login = survey.login
    return {
        "server": settings.server,
        "login": login and {"user_id": login.user_id, "name": login.name, "expires_at": login.expires_at},
        "service": {"reachable": survey.version is not None, "version": survey.version},
        "problems": list(survey.problems),
        "rooms": [room.model_dump(mode="json") for room in survey.rooms],
        "default_room": survey.default_room and survey.default_room.room_id,
        "workers": [worker.model_dump(mode="json") for worker in survey.workers],
        "pending": [job.model_dump(mode="json", exclude={"content", "session"}) for job in survey.pending],
        "store": survey.store
        and {
            "folder": str(survey.store.folder),
            "size": survey.store.size,
            "max_bytes": survey.store.max_bytes,
        },
        "local": {"size": sum(job.size for job in survey.local), "jobs": [asdict(job) for job in survey.local]},
    }
