"""Commands of ours in text, and whether the command line would take them."""

import re
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path

import click

from sleap_rtc.cli.main import cli

_FENCE = re.compile(r"^```(?:bash|ini)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_ANY_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`(sleap-rtc(?: [^`]*)?)`")
_EXPORT = re.compile(r"^export (\w+)=", re.MULTILINE)


def in_fences(text: str) -> Iterator[tuple[list[str], set[str]]]:
    """What is typed after ``sleap-rtc``, and the variables exported before it, in blocks of shell or a systemd unit."""
    for block in _FENCE.findall(text):
        exported = set(_EXPORT.findall(block))
        for line in block.splitlines():
            for part in line.removeprefix("ExecStart=").split("&&"):
                words = _without_output(shlex.split(part, comments=True))
                words = words[2:] if words[:2] == ["uv", "run"] else words
                if words and Path(words[0]).name == "sleap-rtc":
                    yield words[1:], exported


def in_prose(text: str) -> Iterator[list[str]]:
    """What is typed after ``sleap-rtc``, for every command in running text."""
    for line in _INLINE.findall(_ANY_FENCE.sub("", text)):
        yield shlex.split(line)[1:]


def problem(words: list[str], *, complete: bool, exported: Collection[str] = ()) -> str | None:
    """Why the command line would refuse this; None if it would take it.

    Args:
        words: what is typed after ``sleap-rtc``.
        complete: whether required options must be there.
        exported: variables that may stand for options.
    """
    command, name = _command(words)
    if command is None:
        return f"there is no command {' '.join(words)}"
    try:
        # parses, checks and runs nothing
        command.make_context(name, _after(words, name))
    except click.exceptions.Exit:
        return None  # --help and --version leave at once
    except click.MissingParameter as error:
        from_variable = error.param is not None and error.param.envvar in exported
        return error.format_message() if complete and not from_variable else None
    except click.UsageError as error:
        return error.format_message()
    return None


def _command(words: list[str]) -> tuple[click.Command | None, str]:
    command: click.Command | None = cli
    name = "sleap-rtc"
    for word in words:
        if not isinstance(command, click.Group) or word.startswith("-"):
            break
        command, name = command.get_command(click.Context(command), word), word
    return command, name


def _after(words: list[str], name: str) -> list[str]:
    rest = words[words.index(name) + 1 :] if name in words else words
    # a group alone asks for a command: that is help, no mistake
    return rest or (["--help"] if name == "sleap-rtc" else rest)


def _without_output(words: list[str]) -> list[str]:
    return words[: words.index(">")] if ">" in words else words
