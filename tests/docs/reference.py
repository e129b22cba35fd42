"""Writes the reference parts of the pages from the code: ``python -m tests.docs.reference --write``.

Without ``--write`` it says which pages are out of date.
"""

import dataclasses
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, get_type_hints

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel

from signaling_server.limit_settings import Limits
from signaling_server.settings import ENVIRONMENT_PREFIX, Settings
from sleap_rtc.cli.main import cli
from sleap_rtc.config.schema import KEYS, SECRETS
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import SleapRTCError
from sleap_rtc.protocol import jobs
from sleap_rtc.protocol.codec import Message, Registry
from sleap_rtc.protocol.hello import HELLO
from sleap_rtc.protocol.ids import worker_id_from_key
from sleap_rtc.protocol.link import LINK
from sleap_rtc.protocol.proof import ClientExchange, LinkContext, WorkerExchange, transcript
from sleap_rtc.protocol.room_secrets import RoomSecret
from sleap_rtc.protocol.signaling import SIGNALING
from tests.docs.field_types import models_in, own_fields
from tests.docs.pages import blocks, pages, table, with_blocks

# who says a message whose first words do not tell
_ENVELOPE = ("id", "re", "error")


def prose(text: str | None) -> str:
    """A docstring as one line of Markdown."""
    return re.sub(r"``([^`]+)``", r"`\1`", " ".join((text or "").split()))


def _first_paragraph(kind: type) -> str:
    return prose(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0])


def said_by(message: type[Message]) -> tuple[str, str]:
    """Who says a message and what it means, from its docstring."""
    text = prose(message.__doc__)
    head, colon, rest = text.partition(": ")
    if not (colon and ("→" in head or head.startswith("Either side"))):
        raise ValueError(f"the docstring of {message.__name__} does not begin with who says it to whom")
    return head, rest[0].upper() + rest[1:]


def messages(registry: Registry) -> str:
    """The table of a registry."""
    rows = []
    for message in registry.messages:
        direction, meaning = said_by(message)
        rows.append([f"`{message.TYPE}`", direction, _fields(message, _ENVELOPE) or "none", meaning])
    return table(["type", "who says it", "fields", "meaning"], rows)


def _fields(model: type[BaseModel], without: tuple[str, ...] = ()) -> str:
    return "<br>".join(
        f"`{name}`: {words}{' (optional)' if optional else ''}" for name, words, optional in own_fields(model, without)
    )


def objects() -> str:
    """The objects and enumerations that messages contain."""
    waiting: list[Any] = [message for registry in (HELLO, LINK, SIGNALING) for message in registry.messages]
    found: dict[str, type[BaseModel] | type[StrEnum]] = {}
    while waiting:
        model = waiting.pop(0)
        for hint in get_type_hints(model, include_extras=True).values():
            for inner in models_in(hint):
                if inner.__name__ not in found:
                    found[inner.__name__] = inner
                    if issubclass(inner, BaseModel):
                        waiting.append(inner)
    bodies = {kind.__name__ for kind in _event_bodies()}
    return "".join(_object(found[name]) for name in sorted(found) if name not in bodies)


def _object(kind: type[BaseModel] | type[StrEnum]) -> str:
    text = f"### {kind.__name__}\n\n{_first_paragraph(kind)}\n\n"
    if issubclass(kind, StrEnum):
        return text + "One of " + ", ".join(f"`{value}`" for value in kind) + ".\n\n"
    rows = [[f"`{name}`", words, "yes" if optional else ""] for name, words, optional in own_fields(kind)]
    return text + table(["field", "type", "optional"], rows) + "\n"


def _event_bodies() -> tuple[type[BaseModel], ...]:
    return tuple(models_in(jobs.EventBody))  # type: ignore[arg-type]


def events() -> str:
    """The bodies of events."""
    rows = [
        [f"`{kind.model_fields['type'].default}`", _fields(kind, ("type",)), _first_paragraph(kind)]
        for kind in _event_bodies()
    ]
    return table(["type", "fields", "meaning"], rows)


def transitions() -> str:
    """The states of a job and what may follow them."""
    rows = []
    for state, after in jobs.TRANSITIONS.items():
        follow = [f"`{each}`" for each in jobs.JobState if each in after]
        rows.append([f"`{state}`", ", ".join(follow) or "nothing: the job is over"])
    return table(["state", "may become"], rows)


def errors() -> str:
    """Every error code, with its exit code."""
    rows = [[f"`{kind.code}`", str(kind.exit_code), _first_paragraph(kind)] for kind in _error_tree(SleapRTCError)]
    return table(["code", "exit code", "meaning"], rows)


def _error_tree(kind: type[SleapRTCError]) -> Iterator[type[SleapRTCError]]:
    if kind.__module__ == SleapRTCError.__module__:
        yield kind
        for child in kind.__subclasses__():
            yield from _error_tree(child)


def times() -> str:
    """Every waiting time of a peer."""
    meanings = _attributes(Timeouts)
    rows = [[f"`{each.name}`", f"{each.default:g} s", meanings[each.name]] for each in dataclasses.fields(Timeouts)]
    return table(["name", "default", "meaning"], rows)


def settings() -> str:
    """The service's settings, its limits after them."""
    names = [name for name in Settings.model_fields if name != "limits"]
    rows = [_setting(Settings, name, "") for name in names]
    rows += [_setting(Limits, name, "limits.") for name in Limits.model_fields]
    return table(["setting", "environment variable", "default", "meaning"], rows)


def configuration() -> str:
    """The keys of ``sleap-rtc.toml``."""
    rows = [
        [f"`{key}`", f"`{known.variable}`" if known.variable else "", known.meaning[0].upper() + known.meaning[1:]]
        for key, known in KEYS.items()
    ]
    return table(["key", "environment", "meaning"], [*rows, [f"`{SECRETS}.ROOM_ID`", "", "The secret of a room"]])


def _setting(model: type[BaseModel], name: str, prefix: str) -> list[str]:
    key = prefix + name
    variable = ENVIRONMENT_PREFIX + key.upper().replace(".", "__")
    default = model.model_fields[name].get_default(call_default_factory=True)
    plain = json.dumps(default).strip('"').removesuffix(".0")
    shown = "none" if default in (None, []) else f"`{plain}`"
    return [f"`{key}`", f"`{variable}`", shown, _attributes(model)[name]]


def _attributes(kind: type) -> dict[str, str]:
    """The ``Attributes:`` section of a docstring."""
    _, _, section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", section, re.MULTILINE)
    return {name: prose(text)[0].upper() + prose(text)[1:] for name, text in entries}


def commands() -> str:
    """The command line, a section a command."""
    context = click.Context(cli, info_name="sleap-rtc", terminal_width=100)
    return "".join(_command(context, cli))


def _command(context: click.Context, command: click.Command) -> Iterator[str]:
    yield f"## {context.command_path}\n\n{_help(command)}\n\n"
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{context.command_path} {pieces}\n```\n\n"
    rows = [row for param in command.params if (row := _option(param, context))]
    if rows:
        yield table(["option", "meaning", "default", "environment"], rows) + "\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield from _command(click.Context(child, info_name=name, parent=context), child)


def _help(command: click.Command) -> str:
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(prose(paragraph) for paragraph in paragraphs)


def _option(param: click.Parameter, context: click.Context) -> list[str] | None:
    if not isinstance(param, click.Option):
        return None
    names = ", ".join(f"`{name}`" for name in param.opts)
    metavar = (
        ""
        if param.is_flag
        else f" {param.make_metavar(context).strip('[]').replace('|', ' or ').replace(' RANGE', '')}"
    )
    default = "required" if param.required else ""
    if param.show_default and isinstance(param.default, str | int | float | Path):
        default = f"`{str(param.default).removesuffix('.0')}`"
    # what the service's options write by hand, because their defaults come from a settings file
    text, _, by_hand = prose(param.help).partition("[default: ")
    default = f"`{by_hand.rstrip(']')}`" if by_hand else default
    variable = f"`{param.envvar}`" if param.envvar else ""
    return [f"{names}{metavar}", text.strip(), default, variable]


def proof_example() -> str:
    """An exchange of proofs with a fixed secret, fixed keys and nonces, as a test vector."""
    room, secret = "r_exampleroom", RoomSecret.make(bytes(range(0x20, 0x40)), 1_800_000_000)
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key().public_bytes_raw()
    context = LinkContext(
        room=room, user="u_exampleuser", session="l_examplelink",
        fp_client=bytes([0xC1]) * 32, fp_worker=bytes([0x0E]) * 32, secrets=(secret,),
    )  # fmt: skip
    worker = WorkerExchange(context, public_key=public, sign=key.sign, nonce=bytes([1]) * 32, abilities=("train",))
    client = ClientExchange(context, worker_id=worker_id_from_key(public), nonce=bytes([2]) * 32, abilities=("train",))
    said: list[str] = []
    for speaker, listener in ((worker, client), (client, worker), (worker, client)):
        (text,) = speaker.messages_to_send()
        said.append(text)
        listener.receive_message(text)
    hello = HELLO.decode(said[0])
    inner = HELLO.decode(said[1])
    assert hello is not None
    assert inner is not None
    covered = transcript(context, hello, said[0], inner.hello)  # type: ignore[arg-type, attr-defined]
    return "".join(
        f"{caption}:\n\n```text\n{text}\n```\n\n"
        for caption, text in (
            ("The secret as people copy it", secret.text),
            ("Kc and Kw, in hex", "\n".join(secret.proof_key(room, role).hex() for role in ("client", "worker"))),
            ("The worker's hello", said[0]),
            ("The client's proof", said[1]),
            ("The transcript, in hex", "\n".join(textwrap.wrap(covered.hex(), 64))),
            ("The worker's proof", said[2]),
        )
    )


GENERATORS: dict[str, Callable[[], str]] = {
    "hello": lambda: messages(HELLO),
    "link": lambda: messages(LINK),
    "signaling": lambda: messages(SIGNALING),
    "objects": objects,
    "events": events,
    "states": transitions,
    "errors": errors,
    "times": times,
    "settings": settings,
    "configuration": configuration,
    "commands": commands,
    "proof-example": proof_example,
}
"""What writes each generated part."""


def generated(text: str) -> str:
    """The page as it ought to be."""
    return with_blocks(text, {name: f"\n{GENERATORS[name]().strip()}\n\n" for name in blocks(text)})


def main(arguments: list[str]) -> int:
    """Check the pages, or write them."""
    stale = []
    for page in pages():
        text = page.read_text("utf-8")
        if (fresh := generated(text)) != text:
            stale.append(page.name)
            if "--write" in arguments:
                page.write_text(fresh, "utf-8", newline="\n")
    if stale:
        done = "written" if "--write" in arguments else "out of date; run: python -m tests.docs.reference --write"
        sys.stdout.write(f"{', '.join(stale)}: {done}\n")
    return 0 if not stale or "--write" in arguments else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
