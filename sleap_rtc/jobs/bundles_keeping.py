"""From a job that is over to a bundle on the shelf: once for each of its ends, and never again after it was removed."""

from functools import partial

from sleap_rtc.config.clock import utc_ms
from sleap_rtc.protocol.exporting import ExportFormat, ExportOptions
from sleap_rtc.protocol.jobs import JobSpec, JobState, Verb
from sleap_rtc.protocol.training import TrainOptions

from .bundles import Mark, claimed_size, loss_of, make_bundle, mark_of, write_mark
from .bundles_exported import is_exported, make_exported
from .bundles_shelf import BundleShelf, Note
from .folder import JobFolder


def bundle_job(folder: JobFolder, room: str, shelf: BundleShelf, *, export_as: ExportFormat | None = None) -> bool:
    """Put the bundle of a job of a room onto the shelf, once for each of its ends; whether that was done. Blocks.

    Args:
        folder: the job's.
        room: the room that is served.
        shelf: where the bundle goes.
        export_as: the format that a training's bundle shall be exported in.

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
        options = spec.options
        is_kept = partial(is_exported, options.format) if isinstance(options, ExportOptions) else None
        shelf.check_free(claimed_size(folder, is_kept))
        if isinstance(options, ExportOptions):
            bundle = make_exported(folder, options, place)
        else:
            bundle = make_bundle(folder, place)
        if folder.state().t != state.t:
            return False
        if bundle is not None:
            # half a model is kept, for it may be all there will be; name and export are for the whole one
            whole = state.state is JobState.DONE or _trained_whole(folder, spec)
            trained = options if isinstance(options, TrainOptions) and whole else None
            note = Note.of(
                bundle,
                arrived=utc_ms(),
                user=spec.owner.user,
                loss=loss_of(folder, bundle.record.parts[-1].folder),
                register_as=trained.register_as if trained else None,
                export_as=export_as if trained else None,
            )
            shelf.add(room, bundle, note)
    # noted last: a model that the room deletes later is not made again out of its job
    write_mark(folder, Mark(t=state.t, digest=bundle.digest if bundle else None))
    return bundle is not None


def _trained_whole(folder: JobFolder, spec: JobSpec) -> bool:
    """Whether all that a job trains is trained: what failed was to look at something with it."""
    record = folder.exit()
    done = {run.name for run in record.runs if run.outcome == "done"} if record else set()
    return {run.name for run in spec.runs if run.verb is Verb.TRAIN} <= done
