"""What becomes of an error that nobody foresaw: its details go to a file, and a sentence to the user."""

import traceback

from sleap_rtc.config.paths import home, write_private
from sleap_rtc.errors import SleapRTCError


def keep_bug(error: Exception) -> str:
    """Write an error's details to ``crash.txt`` in our home, and return the sentence that says so."""
    try:
        path = home() / "crash.txt"
        write_private(path, "".join(traceback.format_exception(error)).encode())
    except (SleapRTCError, OSError) as unwritten:
        return f"Something inside sleap-rtc broke ({error!r}), and its details could not be kept ({unwritten})."
    return f"Something inside sleap-rtc broke ({type(error).__name__}). The details are in {path}; please report them."
