"""A model's bundle from whoever holds it: checked as a whole before a file of it is fetched."""

from sleap_rtc.errors import PackageError, ProtocolError, TransferError
from sleap_rtc.protocol.files import Manifest
from sleap_rtc.protocol.models import RECORD, bundle_digest
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.fetch import Fetch, Target
from sleap_rtc.transfer.progress import Progress

MAX_FILES = 1025
"""Files of a bundle: those that ``model.json`` may name, and itself."""
MAX_DEPTH = 2


def bundle_transfer(digest: str) -> str:
    """The id of the transfer that brings a bundle."""
    return f"m_{digest}"


def check_bundle(manifest: Manifest, digest: str) -> None:
    """Check that these are the files of a bundle.

    Args:
        manifest: what a holder offers.
        digest: the bundle's.

    Raises:
        ProtocolError: if it has files that no bundle has.
        TransferError: if it is another bundle, or was changed.
    """
    paths = [entry.path for entry in manifest.files]
    if RECORD not in paths or len(paths) > MAX_FILES or any(path.count("/") >= MAX_DEPTH for path in paths):
        raise ProtocolError("The holder of the model offers files that are no model's. Nothing was written.")
    if bundle_digest((entry.path, entry.sha256) for entry in manifest.files) != digest:
        raise TransferError(
            "What the holder offers is not the model that was asked for: a file was changed, added or left out. "
            "Nothing was written."
        )


async def fetch_bundle(session: Session, digest: str, target: Target, progress: Progress | None = None) -> Manifest:
    """Fetch a bundle over a link, or what is lacking of it.

    Args:
        session: a link to a holder.
        digest: the bundle's.
        target: where its files go.
        progress: told what is here and what arrives.

    Returns:
        What it holds; every file is in its place then, and has the SHA-256 that the digest covers.

    Raises:
        NotFoundError: if the holder has it no more.
        ProtocolError, TransferError: if it offers something else; nothing of it is fetched.
        ConnectionLost: if the link ended; what arrived is kept for the next attempt, also from another holder.
    """
    fetch = Fetch(session, bundle_transfer(digest), target, progress or Progress())
    try:
        manifest = await fetch.manifest()
    except PackageError as error:
        raise ProtocolError(f"The holder of the model offers what no model has. {error.sentence}") from error
    check_bundle(manifest, digest)
    await fetch.files(manifest)
    return manifest
