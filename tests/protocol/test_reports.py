"""What workers tell of jobs and models: bounded, typed, and nothing else."""

import json
from typing import Any

import pytest

from sleap_rtc.errors import ProtocolError
from sleap_rtc.protocol import reports
from sleap_rtc.protocol.codec import MAX_MESSAGE
from sleap_rtc.protocol.reports import JobReport, ReportJobs, size_of
from sleap_rtc.protocol.signaling import SIGNALING


def job(number: int = 0, **changes: Any) -> dict[str, Any]:
    fields = {"job": f"j_{number:08}", "user": "u_alice1234", "user_name": "Alice", "kind": "train"}
    return fields | {"state": "running", "submitted": 1} | changes


def model(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {"title": f"centroid-{number}", "digest": f"{number:064x}", "size": 1, "made": 1} | changes


def read(kind: str, **fields: Any) -> Any:
    return SIGNALING.decode(json.dumps({"type": kind} | fields, ensure_ascii=False))


@pytest.mark.parametrize(
    "changes",
    [
        {"job": "../../etc"},
        {"user": "alice"},
        {"user_name": "x" * 129},
        {"kind": "Train it"},
        {"state": "sleeping"},
        {"submitted": -1},
        {"facts": {"runs": [{"name": "../run", "model_type": "centroid"}]}},
        {"facts": {"runs": [{"name": "run", "model_type": "centroid"}] * (reports.MAX_RUNS + 1)}},
        {"facts": {"error": "a sentence with /home/alice in it"}},
        {"facts": {"attempt": 0}},
    ],
)
def test_a_job_of_a_wrong_form_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="report_jobs message arrived with a wrong value"):
        read("report_jobs", jobs=[job(**changes)])


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "0" * 63},
        {"digest": "../" + "0" * 61},
        {"format": "pickle"},
        {"source": "x" * 64},
        {"title": "x" * 129},
        {"size": -1},
        {"made": 2**53},
        {"user": "alice"},
        {"facts": {"loss": "NaN"}},
        {"facts": {"parent": "fly@3"}},
        {"facts": {"types": ["centroid"] * (reports.MAX_RUNS + 1)}},
    ],
)
def test_a_model_of_a_wrong_form_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="report_models message arrived with a wrong value"):
        read("report_models", models=[model(**changes)], complete=True)


@pytest.mark.parametrize("name", ["", "-fly", "fly@1", "../fly", "fl\u0443", "f" * 65, "fly "])
def test_a_name_of_a_wrong_form_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError, match="register_model message arrived with a wrong value"):
        read("register_model", name=name, digest="0" * 64)


def test_what_is_not_in_the_message_s_form_is_left_out() -> None:
    told = read("report_jobs", jobs=[job(config="/home/alice/centroid.yaml", facts={"log": "epoch 1"})])
    assert told == ReportJobs(jobs=(JobReport.model_validate(job()),))


def test_control_characters_do_not_get_through() -> None:
    told = read("report_jobs", jobs=[job(user_name="Al\x1b[31mice\n\x00")])
    assert told.jobs[0].user_name == "Alice"


def test_a_report_has_a_bound_in_items() -> None:
    most, models = reports.JOBS_AT_ONCE, reports.MODELS_AT_ONCE
    assert len(read("report_jobs", jobs=[job(i) for i in range(most)]).jobs) == most
    with pytest.raises(ProtocolError):
        read("report_jobs", jobs=[job(i) for i in range(most + 1)])
    assert len(read("report_models", models=[model(i) for i in range(models)], complete=True).models) == models
    with pytest.raises(ProtocolError):
        read("report_models", models=[model(i) for i in range(models + 1)], complete=True)


def test_a_report_has_a_bound_in_bytes_that_leaves_space_for_the_envelope() -> None:
    runs = [{"name": "r" * 64, "model_type": "ä" * 128}] * reports.MAX_RUNS
    large = job(facts={"runs": runs})
    fitting = reports.REPORT_BYTES // size_of(JobReport.model_validate(large))
    assert fitting < reports.JOBS_AT_ONCE
    text = SIGNALING.encode(read("report_jobs", id=2**52, jobs=[large] * fitting))
    assert len(text.encode()) < MAX_MESSAGE
    with pytest.raises(ProtocolError):
        read("report_jobs", jobs=[large] * (fitting + 1))
