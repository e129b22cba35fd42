"""From what was typed for ``--then track`` to what is looked at; contradictions are errors."""

from collections.abc import Mapping
from typing import Any

from sleap_rtc.cli.then_options import NAMES, WORDS
from sleap_rtc.cli.track_request import FRAMES_OF_LABELS, check_words
from sleap_rtc.client.then_assembling import ON, PREDICTIONS, SUGGESTED, Then
from sleap_rtc.errors import UsageError

_SPELLED = {"on": ON, "predictions": PREDICTIONS, "formats": "--format"}


def take_then(options: dict[str, Any]) -> Then | None:
    """Take the parameters of `then_options.THEN` out of a command's options; None where nothing is to be looked at.

    Raises:
        UsageError: if they contradict each other.
        ConfigError: if sleap-nn would not take them.
    """
    wanted = options.pop("then")
    typed = {name: options.pop(name) for name in NAMES}
    if wanted is None:
        _check_unsaid(typed)
        return None
    data = tuple(typed["on"])
    if not data:
        raise UsageError(
            f"--then track looks at something. Say at what: {ON} {SUGGESTED}, or {ON} VIDEO, once for each."
        )
    if data.count(SUGGESTED) > 1:
        raise UsageError(f"{ON} names '{SUGGESTED}' twice. Leave one of them out.")
    if typed["frames"] is not None and SUGGESTED in data:
        raise UsageError(f"--frames and {ON} {SUGGESTED} both say which frames. Leave one of them out.")
    words = {name: typed[parameter] for parameter, name in WORDS.items()}
    words["formats"] = ("slp", "analysis_h5") if "analysis_h5" in typed["formats"] else ("slp",)
    check_words({**dict.fromkeys(FRAMES_OF_LABELS, False), "runtime": None, **words})
    return Then(data, words, typed["predictions"], typed["merge"], analysis=len(words["formats"]) > 1)


def _check_unsaid(typed: Mapping[str, Any]) -> None:
    said = next((name for name, value in typed.items() if value not in (None, False, ())), None)
    if said is not None:
        option = _SPELLED.get(said, f"--{said.replace('_', '-')}")
        raise UsageError(f"{option} is about what is done after the training. Add --then track, or leave it out.")
