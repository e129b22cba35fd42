"""Which of a room's models a user means, and what a model came from: looked up in what the service lists."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from sleap_rtc.errors import NotFoundError, UsageError
from sleap_rtc.protocol.models import ModelRef
from sleap_rtc.protocol.text import printable
from sleap_rtc.signaling.model_records import NamedVersion, RoomModelRecord

_SHOWN = 8
MOST_ANCESTORS = 100


@dataclass(frozen=True)
class Meant:
    """A model, and as which version it was meant; None where the job that trained it was typed.

    Attributes:
        models: all models of the room, the newest first.
    """

    model: RoomModelRecord
    named: NamedVersion | None
    models: Sequence[RoomModelRecord]

    @property
    def ref(self) -> str:
        """What to call it."""
        return self.named.ref if self.named is not None else called(self.model)


@dataclass(frozen=True)
class Lineage:
    """What a model came from.

    Attributes:
        chain: the model itself, what its training began with, and so on.
        unknown: the digest at which the chain leaves what the room knows; None if it ends with a model that began
            with nothing.
    """

    chain: Sequence[RoomModelRecord]
    unknown: str | None


def called(model: RoomModelRecord) -> str:
    """What to call a model: its newest name, else the job that trained it, else the beginning of its digest."""
    if model.names:
        return model.names[0].ref
    return model.job_id or model.digest[:12]


def find_meant(models: Sequence[RoomModelRecord], ref: ModelRef, room: str) -> Meant:
    """The model that is meant.

    Args:
        models: those of the room, the newest first.
        ref: what was typed.
        room: what the room is called, for sentences.

    Raises:
        NotFoundError: if there is none; the sentence says what is called nearly so.
        UsageError: if several jobs begin like that.
    """
    if ref.job is not None:
        return Meant(_of_job(models, ref.job, room), None, models)
    line = [(named, model) for model in models for named in model.names if named.name == ref.name]
    if not line:
        raise unknown_name(models, ref.name, room)
    found = [pair for pair in line if _fits(pair[0], ref)]
    if not found:
        raise NotFoundError(_no_version([named for named, _ in line], ref, room))
    named, model = max(found, key=lambda pair: pair[0].version)
    return Meant(model, named, models)


def unknown_name(models: Sequence[RoomModelRecord], name: str, room: str) -> NotFoundError:
    """Say that a room has no model of that name, and which names it has."""
    names = sorted({each.name for model in models for each in model.names})
    folded = {each.casefold(): each for each in names}
    near = [folded[each] for each in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)]
    if near:
        hint = f"Did you mean {' or '.join(near)}?"
    elif names:
        hint = f"It has: {', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''}."
    else:
        hint = "None of its models has a name yet."
    return NotFoundError(f"The room '{_shown(room)}' has no model '{name}'. {hint} See: sleap-rtc models list")


def lineage(models: Sequence[RoomModelRecord], model: RoomModelRecord) -> Lineage:
    """Follow a model's parents as far as the room knows them."""
    known = {each.digest: each for each in models}
    chain, seen = [model], {model.digest}
    while (parent := chain[-1].parent) is not None:
        # what workers tell is not believed to end: a circle, or a chain without end, is cut
        if parent not in known or parent in seen or len(chain) == MOST_ANCESTORS:
            return Lineage(chain, parent)
        chain.append(known[parent])
        seen.add(parent)
    return Lineage(chain, None)


def _fits(named: NamedVersion, ref: ModelRef) -> bool:
    if ref.alias is not None:
        return ref.alias in named.aliases
    return ref.version is None or named.version == ref.version


def _of_job(models: Sequence[RoomModelRecord], job: str, room: str) -> RoomModelRecord:
    found = [each for each in models if each.job_id == job] or [
        each for each in models if each.job_id and each.job_id.startswith(job)
    ]
    if not found:
        raise NotFoundError(
            f"The room '{_shown(room)}' knows no model that the job {job} trained. See: sleap-rtc models list --all"
        )
    ids = sorted({each.job_id or "" for each in found})
    if len(ids) > 1:
        raise UsageError(f"Several jobs begin with {job}: {', '.join(ids[:_SHOWN])}. Type more of the id.")
    # a job that was resumed may have left several bundles: the newest is meant
    return found[0]


def _no_version(line: Sequence[NamedVersion], ref: ModelRef, room: str) -> str:
    if ref.alias is not None:
        have = ", ".join(sorted(f"{alias} (@{each.version})" for each in line for alias in each.aliases)[:_SHOWN])
        return (
            f"No version of the model '{ref.name}' of the room '{_shown(room)}' is called '{ref.alias}'. "
            f"Aliases: {have or 'none'}."
        )
    have = ", ".join(f"@{version}" for version in sorted(each.version for each in line)[-_SHOWN:])
    return f"The model '{ref.name}' of the room '{_shown(room)}' has no version {ref.version}. There are: {have}."


def _shown(text: str) -> str:
    return printable(text, limit=80)
