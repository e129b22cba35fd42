"""Which of a room's models a user means, and what a model came from: looked up in what the service lists."""

from collections.abc import Sequence
from dataclasses import dataclass

from sleap_rtc.client.model_finding import trained_by, unknown_alias, unknown_name, unknown_version
from sleap_rtc.protocol.models import ModelRef
from sleap_rtc.signaling.model_records import NamedVersion, RoomModelRecord

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
        # a job that was resumed may have left several bundles: the newest is meant
        return Meant(trained_by(models, ref.job, room)[0], None, models)
    line = [(named, model) for model in models for named in model.names if named.name == ref.name]
    if not line:
        raise unknown_name(models, ref.name, room, or_folder=False)
    found = [pair for pair in line if _fits(pair[0], ref)]
    if not found:
        if ref.alias is not None:
            raise unknown_alias(ref, {alias: named.version for named, _ in line for alias in named.aliases}, room)
        raise unknown_version(ref.name, ref.version, [named.version for named, _ in line], room)
    named, model = max(found, key=lambda pair: pair[0].version)
    return Meant(model, named, models)


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
