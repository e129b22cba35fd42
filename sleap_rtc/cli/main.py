"""The root of the command line: finds commands, turns errors into sentences and exit codes."""

import signal
import sys

import click

from sleap_rtc import __version__
from sleap_rtc.cli.keeping_bugs import keep_bug
from sleap_rtc.cli.lazy import LazyGroup
from sleap_rtc.cli.output import fail, note
from sleap_rtc.errors import SleapRTCError

COMMANDS = {
    "client": ("sleap_rtc.cli.train:client", "Train on the worker of a session string (short for train)."),
    "config": ("sleap_rtc.cli.config:config", "Show and change the settings of this machine."),
    "dashboard": (
        "sleap_rtc.cli.dashboard.command:dashboard",
        "Show the dashboard with this machine's login.",
    ),
    "demo": ("sleap_rtc.cli.demo.command:demo", "Try everything on this machine: train a small model, score it."),
    "doctor": ("sleap_rtc.cli.doctor.command:doctor", "Check this machine, the service and a link."),
    "jobs": ("sleap_rtc.cli.jobs:jobs", "List, watch, stop and fetch the jobs of workers."),
    "login": ("sleap_rtc.cli.login:login", "Log in to a signaling service."),
    "logout": ("sleap_rtc.cli.logout:logout", "End the login on this machine."),
    "ls": ("sleap_rtc.cli.ls:ls", "List the folders of a worker's machine that jobs may read."),
    "models": ("sleap_rtc.cli.models:models", "List, pull, push and name the models of a room."),
    "room": ("sleap_rtc.cli.room:room", "Make rooms, invite people, see who belongs."),
    "server": ("sleap_rtc.cli.server:server", "Run the signaling service that lets peers find each other."),
    "status": ("sleap_rtc.cli.status:status", "Say who you are; show rooms, workers and jobs."),
    "token": ("sleap_rtc.cli.token:token", "Make, list, rotate and revoke the tokens of workers."),
    "track": ("sleap_rtc.cli.track:track", "Run a model on a remote GPU and bring the predictions home."),
    "train": ("sleap_rtc.cli.train:train", "Train on a remote GPU and bring the models home."),
    "whoami": ("sleap_rtc.cli.whoami:whoami", "Say who is logged in."),
    "worker": ("sleap_rtc.cli.worker:worker", "Offer this machine's GPU to a room or to one person."),
}
"""Where each command lives, and its line in the help: a command is imported only when it is typed."""


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Try 'sleap-rtc demo' first: it needs one machine and about a minute.",
)
@click.version_option(__version__, prog_name="sleap-rtc")
def cli() -> None:
    """Train SLEAP models on any GPU you may use, peer to peer over WebRTC."""


def run() -> None:
    """Run the command line and leave with its exit code; a user never sees a traceback."""
    code = main(sys.argv[1:])
    # all is said and done: another Ctrl-C while the interpreter ends must not change the exit code
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def main(arguments: list[str]) -> int:
    """Run a command.

    Args:
        arguments: what was typed after ``sleap-rtc``.

    Returns:
        The exit code: 0, or that of the error class.
    """
    try:
        result = cli.main(arguments, prog_name="sleap-rtc", standalone_mode=False)
    except SleapRTCError as error:
        return fail(error)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        note("Interrupted.")
        return 130
    except Exception as error:  # noqa: BLE001 - the last line of defence: the details go to a file
        return fail(keep_bug(error))
    return result if isinstance(result, int) else 0
