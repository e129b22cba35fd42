"""What a zip is called that a worker hands out: like what it holds, and allowed on every system."""

from sleap_rtc.errors import PackageError
from sleap_rtc.protocol.files import check_path

_LONGEST = 80
_KEPT = " ._-()+@"


def zip_name(title: str, otherwise: str) -> str:
    """A file name for a zip.

    Args:
        title: what somebody called its content.
        otherwise: what it is called if nothing of that is left; an id, which is a good name.
    """
    kept = "".join(letter if letter.isalnum() or letter in _KEPT else "_" for letter in " ".join(title.split()))
    # what was sent as a zip is not called so twice
    stem = kept[:-4] if kept.lower().endswith(".zip") else kept
    stem = stem[:_LONGEST].strip(_KEPT)
    try:
        return check_path(f"{stem or otherwise}.zip")
    except PackageError:
        return f"{otherwise}.zip"
