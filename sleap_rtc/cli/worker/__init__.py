"""``sleap-rtc worker``, and one module for each command below it."""

from pathlib import Path

import click

from sleap_rtc.cli.lazy import LazyGroup
from sleap_rtc.cli.options import (
    relay_option,
    room_secret_option,
    secrets_for,
    server_option,
    settings_for,
    transport_option,
)
from sleap_rtc.errors import UsageError

COMMANDS = {
    "trust": ("sleap_rtc.cli.worker.trust:trust", "On a client: see and change which workers are known."),
}
"""The commands of this group."""


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND]",
    epilog="""\b
Examples:
  sleap-rtc worker
  sleap-rtc worker --api-key slp_… --name lab-gpu-1
  sleap-rtc worker --room "Fly lab"
  sleap-rtc worker --gpus 1,2

The key is better given as SLEAP_RTC_API_KEY or as api_key in the configuration:
what is typed can be read in the list of processes.
""",
)
@server_option
@click.option(
    "--api-key",
    metavar="KEY",
    envvar="SLEAP_RTC_API_KEY",
    show_envvar=True,
    help="The token of a room: its members can then train here.",
)
@click.option(
    "-r",
    "--room",
    metavar="ROOM",
    help="With a key: check that it opens this room. Without: serve this room of yours, with your login.",
)
@room_secret_option
@click.option("--session", is_flag=True, help="Make a session string, even where a key is configured.")
@click.option("--name", help="What clients see.  [default: the key's name, else this machine's]")
@click.option(
    "--jobs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where jobs are kept; ~/.sleap-rtc/jobs by default.",
)
@click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where files that clients sent are kept; ~/.sleap-rtc/store by default.",
)
@click.option(
    "--slots",
    type=click.IntRange(1, 64),
    metavar="N",
    envvar="SLEAP_RTC_WORKER_SLOTS",
    show_envvar=True,
    help="Jobs at once: at most one a GPU; without a GPU, that many on the processor.  [default: one a GPU, else 1]",
)
@click.option(
    "--gpus",
    metavar="LIST",
    envvar="SLEAP_RTC_WORKER_GPUS",
    show_envvar=True,
    help="GPUs to use: indices or UUIDs with commas between, within CUDA_VISIBLE_DEVICES.  [default: all]",
)
@click.option(
    "--warm/--no-warm",
    default=None,
    help="Import sleap-nn before there is a job, so that it starts at once.  [default: warm]",
)
@click.option(
    "--allow-wandb/--no-allow-wandb",
    default=None,
    help="Let jobs report to Weights & Biases, each with its submitter's key.  [default: no]",
)
@click.option(
    "--auto-export",
    type=click.Choice(["onnx", "tensorrt", "none"]),
    envvar="SLEAP_RTC_WORKER_AUTO_EXPORT",
    show_envvar=True,
    help="Export each model that was trained here in this format, too, as a job of its own.  [default: none]",
)
@click.option(
    "--keep-jobs",
    metavar="DAYS",
    type=click.IntRange(1, 3650),
    default=14,
    show_default=True,
    help="How long jobs and their models are kept after their end.",
)
@click.option(
    "--mount",
    "mounts",
    metavar="LABEL=PATH[:rw]",
    multiple=True,
    help="A folder that jobs may read, such as the lab's videos: clients name a file in it as LABEL:/path. Repeatable.",
)
@click.option(
    "--sandbox",
    type=click.Choice(["auto", "bwrap", "none"]),
    envvar="SLEAP_RTC_WORKER_SANDBOX",
    show_envvar=True,
    help="What keeps jobs apart: bubblewrap where it works, bubblewrap or no start, nothing.  [default: auto]",
)
@click.option("--drain", is_flag=True, help="On Ctrl-C, take no new job and wait for those that run or wait.")
@transport_option
@relay_option
@click.pass_context
def worker(
    context: click.Context,
    server: str | None,
    api_key: str | None,
    room: str | None,
    room_secret: str | None,
    session: bool,
    name: str | None,
    jobs: Path | None,
    store: Path | None,
    slots: int | None,
    gpus: str | None,
    warm: bool | None,
    allow_wandb: bool | None,
    auto_export: str | None,
    keep_jobs: int,
    mounts: tuple[str, ...],
    sandbox: str | None,
    drain: bool,
    transport: str | None,
    ice_policy: str | None,
) -> int:
    """Offer this machine's GPUs for training.

    With a key it serves the key's room. Without one it prints a session
    string: give it to whoever may train here. Ctrl-C ends the worker; jobs
    that run go on, and the next start finds them and begins those that wait.
    """
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.serving import WorkerRequest, serve
    from sleap_rtc.config.schema import read_mount

    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return 0
    typed_key = context.get_parameter_source("api_key") is click.core.ParameterSource.COMMANDLINE
    if session and (typed_key or room is not None):
        raise UsageError("--session serves whoever has the session string: leave --api-key and --room out.")
    at_once = None if slots is None else str(slots)
    settings = settings_for(
        server=server, transport=transport, api_key=api_key, slots=at_once, gpus=gpus, warm=warm,
        allow_wandb=allow_wandb, sandbox=sandbox, auto_export=auto_export, ice_policy=ice_policy,
    )  # fmt: skip
    typed_mounts = tuple(read_mount(text, "--mount") for text in mounts)
    request = WorkerRequest(
        settings, name or settings.worker.name, room, session, jobs, store, drain, keep_jobs, typed_mounts,
        secrets_for(settings, room_secret),
    )  # fmt: skip
    return run_async(serve(request))


def _refuse_options(context: click.Context) -> None:
    typed = [
        param.opts[-1]
        for param in context.command.params
        if param.name and context.get_parameter_source(param.name) is click.core.ParameterSource.COMMANDLINE
    ]
    if typed:
        raise UsageError(
            f"{', '.join(typed)} before '{context.invoked_subcommand}' would be an option of the worker itself. Write "
            f"options behind '{context.invoked_subcommand}'."
        )
