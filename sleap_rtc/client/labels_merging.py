"""Predictions put into labels, where no user has labelled. Runs in the labels helper."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sleap_rtc.client.labels_messages import Merge, Merged, Predicted
from sleap_rtc.jobs.hdf5_links import datasets_of
from sleap_rtc.protocol.text import printable

_SHOWN = 12


class Unmerged(Exception):  # noqa: N818 - it becomes an answer
    """Predictions that do not fit the labels; says why."""


def merge(request: Merge) -> Merged:
    """Write a copy of the labels with the predictions in it.

    A frame that a user has labelled stays as it is. Elsewhere new predictions take the place of older ones.

    Raises:
        Unmerged: if the predictions are about other videos, or another skeleton.
        PackageError: if a file of predictions refers to other files.
    """
    import sleap_io

    labels = sleap_io.load_slp(request.path, open_videos=False)
    frames = {(id(frame.video), frame.frame_idx): frame for frame in labels}
    count = kept = 0
    for predicted in request.predictions:
        for video, guess in _guesses(labels, predicted):
            before = frames.get((id(video), guess.frame_idx))
            if before is not None and (before.is_user_labeled or before.user_instances):
                kept += 1
                continue
            instances = [_moved(instance, _skeleton(labels, instance)) for instance in guess.predicted_instances]
            if before is None:
                before = sleap_io.LabeledFrame(video=video, frame_idx=guess.frame_idx)
                frames[id(video), guess.frame_idx] = before
                labels.append(before)
            before.instances = instances
            count += 1
    labels.update()
    labels.save(request.target, embed=_embedded(labels), verbose=False)
    return Merged(frames=count, kept=kept)


def _guesses(labels: Any, predicted: Predicted) -> Iterator[tuple[Any, Any]]:
    """The frames in which something was found, each with the video of the labels that it is of."""
    import sleap_io

    path = Path(predicted.path)
    datasets_of(path, path.name)  # they come from a worker, and must not lead to other files of this machine
    found = sleap_io.load_slp(predicted.path, open_videos=False)
    if predicted.video is not None and len(found.videos) == 1:
        videos = {id(found.videos[0]): labels.videos[predicted.video]}
    elif predicted.video is None and len(found.videos) == len(labels.videos):
        videos = {id(there): here for there, here in zip(found.videos, labels.videos, strict=True)}
    else:
        raise Unmerged(f"{path.name} is about {len(found.videos)} videos, and the labels about {len(labels.videos)}")
    for frame in found:
        if frame.predicted_instances:
            yield videos[id(frame.video)], frame


def _skeleton(labels: Any, instance: Any) -> Any:
    nodes = [node.name for node in instance.skeleton.nodes]
    for skeleton in labels.skeletons:
        if {node.name for node in skeleton.nodes} == set(nodes):
            return skeleton
    have = "; ".join(_listed([node.name for node in skeleton.nodes]) for skeleton in labels.skeletons)
    raise Unmerged(f"the model's skeleton ({_listed(nodes)}) is not that of the labels ({have})")


def _listed(nodes: list[str]) -> str:
    return printable(", ".join(nodes[:_SHOWN]) + (" …" if len(nodes) > _SHOWN else ""), limit=300)


def _moved(instance: Any, skeleton: Any) -> Any:
    """The same prediction on the labels' own skeleton, whose nodes may come in another order."""
    import sleap_io

    theirs = [node.name for node in instance.skeleton.nodes]
    order = [theirs.index(node.name) for node in skeleton.nodes]
    return sleap_io.PredictedInstance.from_numpy(
        instance.numpy()[order],
        skeleton=skeleton,
        point_scores=instance.points["score"][order],
        score=instance.score,
        track=instance.track,
        tracking_score=instance.tracking_score,
    )


def _embedded(labels: Any) -> Any:
    """The images that the labels hold, which their copy keeps; False where they hold none."""
    held = []
    for video in labels.videos:
        if (video.backend_metadata or {}).get("has_embedded_images"):
            video.open()
            held += [(video, int(index)) for index in video.backend.source_inds]
    return held or False
