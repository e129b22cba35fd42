"""Which model of a room a user means: found at the service before anything is sent, so that an alias may move on."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

from sleap_rtc.errors import NotFoundError, UnreachableError, UsageError
from sleap_rtc.protocol.models import ModelFormat, ModelRef, RoomModel
from sleap_rtc.protocol.text import printable
from sleap_rtc.signaling.model_records import Holder, ModelLine, RoomModelRecord
from sleap_rtc.signaling.model_requests import ModelRequests

_SHOWN = 8
TRAINED: ModelFormat = "sleap-nn"
"""The format of what was trained."""


async def find_model(
    api: ModelRequests, room_id: str, ref: ModelRef, room: str, in_format: ModelFormat = TRAINED
) -> RoomModel:
    """Ask the service which model is meant.

    Args:
        api: the service.
        room_id: the room.
        ref: what the user typed.
        room: what the room is called, for sentences.
        in_format: the format of its files.

    Raises:
        NotFoundError: if the room has no such model, or not in that format.
        UsageError: if several jobs begin like that.
        UnreachableError: if no worker that has it is online, or the service is out of reach.
    """
    if ref.job is not None:
        return of_job(await api.models(room_id), ref.job, room, in_format)
    try:
        named = await api.model(room_id, ref.name)
    except NotFoundError as error:
        raise unknown_name(await api.models(room_id), ref.name, room) from error
    return of_name(named, ref, room, in_format)


def of_job(models: Sequence[RoomModelRecord], job: str, room: str, in_format: ModelFormat = TRAINED) -> RoomModel:
    """The model that a job trained.

    Args:
        models: those of the room.
        job: the job's id, or its beginning.
        room: what the room is called.
        in_format: the format of its files.

    Raises:
        NotFoundError: if there is none, or not in that format.
        UsageError: if several jobs begin like that.
        UnreachableError: if no worker that has it is online.
    """
    found = trained_by(models, job, room)
    # a job that was resumed has left several bundles: the service lists the newest first
    chosen = found[0]
    return RoomModel(digest=_digest(chosen, job, in_format), format=in_format)


def of_name(named: ModelLine, ref: ModelRef, room: str, in_format: ModelFormat = TRAINED) -> RoomModel:
    """The version that is meant.

    Args:
        named: what the service says of the name.
        ref: what the user typed.
        room: what the room is called.
        in_format: the format of its files.

    Raises:
        NotFoundError: if the name has no such version or alias, or not in that format.
        UnreachableError: if no worker that has it is online.
    """
    numbered = {each.version: line for line in named.versions for each in line.names if each.name == ref.name}
    version = ref.version
    if ref.alias is not None:
        if ref.alias not in named.aliases:
            raise unknown_alias(ref, named.aliases, room)
        version = named.aliases[ref.alias]
    elif version is None and numbered:
        version = max(numbered)
    if version is None or version not in numbered:
        raise unknown_version(ref.name, version, numbered, room)
    line = numbered[version]
    digest = _digest(line, f"{ref.name}@{version}", in_format)
    return RoomModel(digest=digest, name=ref.name, version=version, format=in_format)


def trained_by(models: Sequence[RoomModelRecord], job: str, room: str) -> list[RoomModelRecord]:
    """The models that a job trained, in their order.

    Args:
        models: those of the room.
        job: the job's id, or its beginning.
        room: what the room is called.

    Raises:
        NotFoundError: if there is none.
        UsageError: if several jobs begin like that.
    """
    found = [each for each in models if each.job_id == job] or [
        each for each in models if each.job_id and each.job_id.startswith(job)
    ]
    if not found:
        raise NotFoundError(
            f"The room '{_shown(room)}' knows no model that the job {_shown(job)} trained. See: sleap-rtc models list "
            "--all"
        )
    ids = sorted({each.job_id or "" for each in found})
    if len(ids) > 1:
        raise UsageError(f"Several jobs begin with {_shown(job)}: {', '.join(ids[:_SHOWN])}. Type more of the id.")
    return found


def unknown_name(models: Sequence[RoomModelRecord], name: str, room: str, *, or_folder: bool = True) -> NotFoundError:
    """Say that a room has no such model, and which it has that are called nearly so.

    Args:
        models: those of the room.
        name: what the user typed.
        room: what the room is called.
        or_folder: whether a folder of this machine could have been meant, too.
    """
    names = sorted({each.name for line in models for each in line.names})
    folded = {each.casefold(): each for each in names}
    near = [folded[each] for each in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)]
    if near:
        hint = f"Did you mean {' or '.join(near)}?"
    elif names:
        hint = f"It has: {', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''}."
    else:
        hint = "None of its models has a name yet."
    see = "A folder here is given by its path." if or_folder else "See: sleap-rtc models list"
    return NotFoundError(f"The room '{_shown(room)}' has no model '{_shown(name)}'. {hint} {see}")


def unknown_alias(ref: ModelRef, aliases: Mapping[str, int], room: str) -> NotFoundError:
    """Say that no version of a model is called so, and what its versions are called.

    Args:
        ref: what the user typed.
        aliases: which version each alias points to.
        room: what the room is called.
    """
    have = ", ".join(f"{alias} (@{version})" for alias, version in sorted(aliases.items())[:_SHOWN])
    return NotFoundError(
        f"No version of the model '{ref.name}' of the room '{_shown(room)}' is called '{ref.alias}'. "
        f"Aliases: {have or 'none'}."
    )


def unknown_version(name: str, version: int | None, versions: Iterable[int], room: str) -> NotFoundError:
    """Say that a model has no such version, and which it has.

    Args:
        name: the model's.
        version: the one that is meant; None for the latest.
        versions: those that there are.
        room: what the room is called.
    """
    have = ", ".join(f"@{each}" for each in sorted(versions)[-_SHOWN:]) or "none"
    return NotFoundError(
        f"The model '{name}' of the room '{_shown(room)}' has no version {version or 'at all'}. There are: {have}."
    )


def _digest(line: RoomModelRecord, shown: str, in_format: ModelFormat) -> str:
    """The digest of the model's files in a format; of several that were exported, one that can be had now."""
    held = [(holder, each) for holder in line.holders for each in holder.formats if each.format == in_format]
    if in_format == TRAINED:
        check_online(line.holders, shown)
        return line.digest
    if not held:
        raise NotFoundError(
            f"No worker of the room has the model {shown} as {in_format}. Make it: "
            f"sleap-rtc models export {shown} --format {in_format}"
        )
    check_online([holder for holder, _ in held], f"{shown}, as {in_format},")
    return next(each.digest for holder, each in held if holder.online)


def check_online(holders: Sequence[Holder], shown: str) -> None:
    """See that a model can be had now.

    Args:
        holders: those who have it.
        shown: what it is called.

    Raises:
        UnreachableError: if none of them is online.
    """
    if any(holder.online for holder in holders):
        return
    if not holders:
        raise UnreachableError(f"No worker of the room has the model {shown} any more.")
    names = ", ".join(sorted({_shown(each.worker_name) for each in holders})[:_SHOWN])
    raise UnreachableError(f"The model {shown} is on {names}, which is not online. Try again when it is back.")


def _shown(text: str) -> str:
    return printable(text, limit=80)
