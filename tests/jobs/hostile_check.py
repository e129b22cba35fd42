"""A preflight helper that does what a job's files say, as if a stranger had found the flaw in what reads them.

Run as ``python hostile_check.py SECONDS``. It serves as the real one does and loads nothing: each check executes the
job's ``inputs/do.py``, and answers with what that has ``found``.
"""

import json
import sys
from pathlib import Path

from sleap_rtc.jobs.apart import serve_apart
from sleap_rtc.jobs.findings import READY
from sleap_rtc.jobs.preflight import _take_pipes


def obey(line: bytes) -> bytes:
    request = json.loads(line)
    found: list[object] = []
    exec(Path(request["folder"], "inputs", "do.py").read_text(), {"found": found, "request": request})
    text = json.dumps(found)
    # a sentence is short
    notices = [text[start : start + 500] for start in range(0, len(text), 500)]
    return json.dumps({"problems": [], "notices": notices}).encode() + b"\n"


if __name__ == "__main__":
    requests, answers = _take_pipes()
    answers.write(READY)
    serve_apart(requests, answers, obey, float(sys.argv[1]))
