import json

import pytest

from sleap_rtc.jobs.progress import Progress, numeric
from sleap_rtc.protocol.jobs import EpochEnded, Event


def test_names_of_metrics_are_made_safe_to_store_and_show() -> None:
    logs = {"\ud800loss": 1.0, "\x1b[31mred": 2.0, "\ud800": 3.0, "": 4.0, " ": 5.0, "x" * 300: 6.0, "val/loss": 0.5}
    found = numeric(logs)
    assert found == {"loss": 1.0, "red": 2.0, "x" * 127 + "\u2026": 6.0, "val/loss": 0.5}
    Event(seq=1, t=1, body=EpochEnded(epoch=0, metrics=found)).model_dump_json().encode()


@pytest.mark.parametrize(
    "message",
    [
        {"event": []}, {"event": {}}, {"event": "epoch_end", "epoch": True}, {"event": "epoch_end", "epoch": 2**70},
        {"event": "batch_end", "epoch": 0, "batch": "\ud800"}, {"event": "epoch_begin", "epoch": None},
    ],
)  # fmt: skip
def test_malformed_progress_makes_no_event(message: dict[str, object]) -> None:
    assert Progress(0.0).receive(message, 0.0) is None


@pytest.mark.parametrize("logs", [[1], "x", {"a": [1]}, {"a": "1"}, {"a": True}, {"\udfff": 1}])
def test_logs_that_are_none_have_no_numbers(logs: object) -> None:
    event = Progress(0.0).receive(json.loads(json.dumps({"event": "epoch_end", "epoch": 0, "logs": logs})), 0.0)
    assert isinstance(event, EpochEnded)
    assert event.metrics == {}
