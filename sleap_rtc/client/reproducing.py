"""What a model was trained on, compared with what somebody has now. Pure."""

from pydantic import ValidationError

from sleap_rtc.errors import PackageError, UsageError
from sleap_rtc.protocol.files import Manifest
from sleap_rtc.protocol.models import ModelRecord
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.training import TrainOptions


def options_of(record: ModelRecord, ref: str) -> TrainOptions:
    """What was asked for when a model was trained.

    Args:
        record: its ``model.json``.
        ref: what it is called.

    Raises:
        UsageError: if that is not known.
    """
    if record.manifest is None or record.options is None:
        raise UsageError(
            f"What {ref} was trained on is not known: it was pushed from a folder, or what was asked for was too much "
            "to be kept. Train it with sleap-rtc train."
        )
    try:
        return TrainOptions.model_validate(record.options)
    except ValidationError as error:
        raise UsageError(
            f"What was asked for when {ref} was trained cannot be read: another version of sleap-rtc wrote it. Upgrade "
            "this one, or train with sleap-rtc train."
        ) from error


def check_same(record: ModelRecord, manifest: Manifest, ref: str) -> None:
    """See that a package is the one that a model was trained on.

    Args:
        record: the model's ``model.json``.
        manifest: the package's.
        ref: what the model is called.

    Raises:
        PackageError: if it is another one, with the labels that differ.
    """
    if manifest.digest == record.manifest:
        return
    given = {entry.path: entry.sha256 for entry in manifest.files}
    other = f"This is not the package that {ref} was trained on"
    for path, sha256 in sorted(record.labels.items()):
        shown = printable(path, limit=120)
        if path not in given:
            raise PackageError(f"{other}: it has no labels '{shown}'. Give the package as it was then.")
        if given[path] != sha256:
            raise PackageError(f"{other}: the labels '{shown}' have changed. Give the package as it was then.")
    raise PackageError(
        f"{other}: its labels are the same, but a config or another file is not, unless it was submitted in a "
        "browser, where that cannot be told. Give the package as it was then, or train it as a new model with "
        "sleap-rtc train."
    )
