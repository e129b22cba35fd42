"""How soon the page of a job with many events shows all of its curves, and whether it answers meanwhile.

``python -m tests.bench.dashboard_jobs [--quick] [--json]`` writes a journal of 100,000 events (10,000 with ``--quick``)
for a job of a real worker, and opens the job's page in Chromium over a real service:

- ``events_100k_s``: seconds from opening the page until its curves end with the last epoch;
- ``longest_task_ms``: the longest time for which the page answered nothing, until then and while all curves are drawn
  and read afterwards; 0 if no task took 50 ms.
"""

import argparse
import json
import sys

from playwright.sync_api import Page

from sleap_rtc.jobs.events import Journal
from sleap_rtc.jobs.folder import JobFolder, StateRecord
from sleap_rtc.protocol.jobs import EpochEnded, EpochStarted, JobState, RunEnded, RunStarted, StateChanged, Step
from tests.bench.pages import page_at_work
from tests.bench.processes import end_when_interrupted, now
from tests.browser.job_views import submitted
from tests.browser.labs import PageLab

FULL, QUICK = 100_000, 10_000
EPOCH = 100
"""Events of an epoch."""
WATCHED = "j_watchedbybench"
RUN = "single"
WATCH_TASKS = """() => {
    globalThis.longest = 0;
    new PerformanceObserver((list) => {
      for (const task of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, task.duration);
    }).observe({ type: "longtask", buffered: true });
}"""
NOTE = """async ([job, worker]) => (await import("/dashboard/static/job_source.js")).noteWorker(job, worker)"""
READ_ALL = """async () => {
    for (const box of document.querySelectorAll(".metrics input:not(:checked)")) box.click();
    const reader = document.querySelector(".reader");
    for (let at = 0; at < 60; at += 1) {
      reader.value = at * 8;
      reader.dispatchEvent(new Event("input"));
      await new Promise(requestAnimationFrame);
    }
}"""


def write_job(lab: PageLab, events: int) -> None:
    """A job of the lab's owner that has ended, with so many events in its journal."""
    spec = JobFolder(lab.jobs / submitted(lab, ended=True)).spec().model_copy(update={"job": WATCHED})
    folder = JobFolder.create(lab.jobs / WATCHED, spec)
    epochs = events // EPOCH
    with Journal(folder.events) as journal:
        for state in (JobState.STAGED, JobState.QUEUED, JobState.STARTING, JobState.RUNNING):
            journal.append(StateChanged(state=state))
        journal.append(RunStarted(index=1, runs=1, model_type="single_instance", max_epochs=epochs), RUN)
        for epoch in range(epochs):
            journal.append(EpochStarted(epoch=epoch), RUN)
            for batch in range(EPOCH - 2):
                journal.append(Step(epoch=epoch, batch=batch, metrics={"loss": 1 / (epoch + batch / EPOCH + 1)}), RUN)
            losses = {"val/loss": 1 / (epoch + 1), "train/loss": 0.9 / (epoch + 1), "train/lr": 1e-3}
            journal.append(EpochEnded(epoch=epoch, metrics=losses), RUN)
        journal.append(RunEnded(outcome="done", folder=RUN), RUN)
        journal.append(StateChanged(state=JobState.FINISHING))
        event = journal.append(StateChanged(state=JobState.DONE), durable=True)
    folder.write_state(StateRecord(state=JobState.DONE, t=event.t))


def measure(page: Page, lab: PageLab, events: int) -> dict[str, float]:
    """Open the page of the job, wait for all of it, then draw and read every curve."""
    page.evaluate(NOTE, [WATCHED, lab.worker_id])
    page.evaluate(WATCH_TASKS)
    began = now()
    page.evaluate("(where) => { location.hash = where; }", f"#/rooms/{lab.room}/jobs/{WATCHED}")
    last = f"Epoch {events // EPOCH}"
    page.locator(".readout strong", has_text=last).wait_for(timeout=300_000)
    seconds = now() - began
    page.evaluate(READ_ALL)
    return {"events_100k_s": round(seconds, 2), "longest_task_ms": round(page.evaluate("longest"))}


def run(events: int) -> dict[str, float]:
    """Start everything, measure, print a line, and return the figures under their keys.

    Raises:
        BenchError: if there is no Chromium.
    """
    with page_at_work() as (_, ada, lab, _):
        lab.start_worker()
        write_job(lab, events)
        figures = measure(ada.page, lab, events)
    shown = ", ".join(f"{key} {value}" for key, value in figures.items())
    sys.stdout.write(f"page of a job of {events} events: {shown}\n")
    return figures


def main() -> None:
    """Measure and print."""
    end_when_interrupted()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = run(QUICK if options.quick else FULL)
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
