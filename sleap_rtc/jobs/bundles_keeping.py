"""From a job that is over to a bundle on the shelf: once for each of its ends, and never again after it was removed."""

from sleap_rtc.config.clock import utc_ms
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.training import TrainOptions

from .bundles import Mark, claimed_size, loss_of, make_bundle, mark_of, write_mark
from .bundles_shelf import BundleShelf, Note
from .folder import JobFolder


def bundle_job(folder: JobFolder, room: str, shelf: BundleShelf) -> bool:
    """Put the bundle of a job of a room onto the shelf, once for each of its ends; whether that was done. Blocks.

    Raises:
        SleapRTCError, OSError: if it cannot be done now.
    """
    state, spec = folder.state(), folder.spec()
    if not state.state.ended or spec.owner.room != room or folder.next_attempt() is not None:
        return False
    known = mark_of(folder)
    if known is not None and known.t == state.t:
        return False
    with shelf.fresh() as place:
        shelf.check_free(claimed_size(folder))
        bundle = make_bundle(folder, place)
        if folder.state().t != state.t:
            return False
        if bundle is not None:
            options = spec.options
            wanted = options.register_as if isinstance(options, TrainOptions) else None
            note = Note.of(
                bundle,
                arrived=utc_ms(),
                user=spec.owner.user,
                loss=loss_of(folder, bundle.record.parts[-1].folder),
                # half a model is kept, for it may be all there will be; the name is for the whole one
                register_as=wanted if state.state is JobState.DONE else None,
            )
            shelf.add(room, bundle, note)
    # noted last: a model that the room deletes later is not made again out of its job
    write_mark(folder, Mark(t=state.t, digest=bundle.digest if bundle else None))
    return bundle is not None
