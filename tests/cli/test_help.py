"""The help of every command, down to the last one."""

import re
from collections.abc import Iterator

import click
import pytest

from sleap_rtc.cli.main import cli


def commands(context: click.Context, command: click.Command) -> Iterator[tuple[click.Context, click.Command]]:
    yield context, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(click.Context(child, info_name=name, parent=context), child)


ROOT = click.Context(cli, info_name="sleap-rtc", max_content_width=80, terminal_width=80)
ALL = list(commands(ROOT, cli))


@pytest.mark.parametrize(("context", "command"), ALL, ids=[context.command_path for context, _ in ALL])
def test_help_fits_a_terminal(context: click.Context, command: click.Command) -> None:
    assert command.help
    assert max(map(len, command.get_help(context).splitlines())) <= 80
    assert all(param.help for param in command.params if isinstance(param, click.Option))


@pytest.mark.parametrize("group", ["config", "room", "token"])
def test_a_group_says_of_each_command_what_the_command_says(group: str) -> None:
    found = cli.get_command(ROOT, group)
    assert isinstance(found, click.Group)
    listing = found.get_help(click.Context(found, info_name=group, parent=ROOT))
    for name in found.list_commands(ROOT):
        assert f"  {name} " in listing


def test_a_worker_says_where_it_keeps_files() -> None:
    worker = cli.get_command(ROOT, "worker")
    assert worker
    text = worker.get_help(click.Context(worker, info_name="worker", parent=ROOT))
    assert re.search(r"--store DIRECTORY\s+Where files that clients sent are kept", text)
